"""The harness's side of the nursery: start processes of the service, signal them, hear of their ends."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos.ports import ROOT

START_SECONDS = 120.0


@dataclass(slots=True, eq=False)
class Life:
    """One process, from its start to its end."""

    pid: int
    ended: asyncio.Future[int]
    """Its exit code; negative: the signal that ended it."""

    @property
    def is_over(self) -> bool:
        return self.ended.done()


@dataclass(slots=True, eq=False)
class Nursery:
    """A running nursery_program."""

    log: Path
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None
    _starting: dict[str, asyncio.Future[Life]] = field(default_factory=dict[str, "asyncio.Future[Life]"])
    _lives: dict[int, Life] = field(default_factory=dict[int, Life])
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _count: int = 0

    async def open(self) -> None:
        """Start the program and wait until it has imported what there is."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "chaos.nursery_program",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
            )
        self._reader = asyncio.create_task(self._read())
        async with asyncio.timeout(START_SECONDS):
            await self._ready.wait()

    async def close(self) -> None:
        """End it, and with it every child."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        await self._process.wait()
        if self._reader is not None:
            await self._reader

    async def start(
        self, argv: Sequence[str], *, environment: Mapping[str, str], log: Path, clock: Path
    ) -> Life:
        """Begin a life of `chargehand ARGV`."""
        self._count += 1
        name = str(self._count)
        started: asyncio.Future[Life] = asyncio.get_running_loop().create_future()
        self._starting[name] = started
        order = {
            "start": name,
            "argv": [*argv],
            "environment": dict(environment),
            "log": str(log),
            "clock": str(clock),
        }
        self._tell(order)
        async with asyncio.timeout(START_SECONDS):
            return await started

    def signal(self, life: Life, number: int) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if not life.is_over:
            self._tell({"signal": number, "pid": life.pid})

    def _tell(self, order: Mapping[str, object]) -> None:
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("the nursery is not open")
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def _read(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "ready" in told:
                self._ready.set()
            elif "started" in told:
                life = Life(told["pid"], asyncio.get_running_loop().create_future())
                self._lives[life.pid] = life
                started = self._starting.pop(told["started"])
                if not started.done():
                    started.set_result(life)
            elif "ended" in told:
                life = self._lives.pop(told["ended"])
                life.ended.set_result(told["status"])
