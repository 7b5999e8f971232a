"""The processes of a demo's fleet: one service and some workers, started anew whenever one dies.

Rule: what was started here is ended here, also what a demo that was itself killed has left running: each process
is written down, with the time it began, before anything else is done with it.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from chargehand.cli.exits import ExitCode, Told
from chargehand.store.folder import read_holder

FALSE_STARTS = 3
"""So many lives in a row that ended before they were ready are a fault that a further one does not mend."""
START_SECONDS = 60.0
STOP_SECONDS = 15.0
LOOK_SECONDS = 0.1
_RUNNING = "fleet.json"
_SAID_LINES = 5
_OWN_GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


class Member:
    """One process of the fleet, through all its lives."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.arguments = list(arguments)
        self.log = log
        self.process: asyncio.subprocess.Process | None = None
        self.is_ready = False
        self.false_starts = 0
        self._said_before = 0

    @property
    def pid(self) -> int:
        """Of the present life, or of the last one."""
        return self.process.pid if self.process is not None else 0

    @property
    def lives(self) -> bool:
        """Whether it runs, as far as is known."""
        return self.process is not None and self.process.returncode is None

    async def start(self, environment: Mapping[str, str]) -> None:
        """Begin a life, in a process group of its own: the terminal's Ctrl-C is the demo's alone."""
        self._said_before = self.log.stat().st_size if self.log.exists() else 0
        self.is_ready = False
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "chargehand",
                *self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                # Windows takes no notice of the one, the others none of the other.
                start_new_session=True,
                creationflags=_OWN_GROUP,
            )

    def said(self) -> str:
        """What it has written in this life."""
        with self.log.open("rb") as log:
            log.seek(self._said_before)
            return log.read().decode("utf-8", "replace")

    def ask_to_stop(self) -> None:
        """Let it end in order."""
        if self.process is None or not self.lives:
            return
        with suppress(ProcessLookupError):
            if sys.platform == "win32":
                self.process.send_signal(signal.CTRL_BREAK_EVENT)
            else:
                self.process.terminate()

    def kill(self) -> None:
        """SIGKILL, or what is like it on Windows."""
        if self.process is not None and self.lives:
            with suppress(ProcessLookupError):
                self.process.kill()


class Processes:
    """The service and the workers of one demo."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], *, workers: int, tell: Callable[[str], None]
    ) -> None:
        logs = folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._environment = environment
        self._tell = tell
        self._stopping = False
        address = ("--host", "127.0.0.1", "--port", "0")
        self.service = Member("the service", ["serve", "--engine", "celery", *address], logs / "service.log")
        self.workers = [
            Member(f"worker {number}", ["worker", "--name", f"demo-{number}"], logs / f"worker-{number}.log")
            for number in range(1, workers + 1)
        ]
        self.url = ""
        self.on_death: Callable[[Member], str] = lambda _: ""
        """What is to be told of a death beside the death."""
        self._watching: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start all; return once the service answers and every worker is ready. Told says why one is not."""
        for member in (self.service, *self.workers):
            await self._begin(member)
        async with asyncio.timeout(START_SECONDS * (1 + len(self.workers))):
            await asyncio.gather(*(self._until_ready(member) for member in (self.service, *self.workers)))
        # At the same address after a death, where those who watch look for it.
        self.service.arguments[-1] = self.url.rpartition(":")[2]
        self._watching = [asyncio.create_task(self._keep_alive(one)) for one in (self.service, *self.workers)]

    async def fault(self) -> None:
        """Return never; raise Told when one of them cannot be kept alive."""
        await asyncio.gather(*self._watching)

    async def stop(self) -> None:
        """Workers first, which give back what they carry, then the service; who does not end is killed."""
        self._stopping = True
        try:
            for some in (self.workers, [self.service]):
                await _ended(some)
        finally:
            for member in (*self.workers, self.service):
                member.kill()
            for watching in self._watching:
                watching.cancel()
            await asyncio.gather(*self._watching, return_exceptions=True)
            (self._folder / _RUNNING).unlink(missing_ok=True)

    async def _begin(self, member: Member) -> None:
        await member.start(self._environment)
        _write_down(self._folder, [one.pid for one in (self.service, *self.workers) if one.lives])

    async def _until_ready(self, member: Member) -> None:
        # No event tells of another process's files.
        while not self._is_ready(member):
            if not member.lives:
                raise _did_not_start(member)
            await asyncio.sleep(LOOK_SECONDS)
        member.is_ready, member.false_starts = True, 0

    def _is_ready(self, member: Member) -> bool:
        if member is not self.service:
            return "worker ready" in member.said()
        holder = read_holder(self._folder)
        url = holder.get("url")
        if holder.get("pid") != member.pid or not isinstance(url, str):
            return False
        self.url = url
        return True

    async def _keep_alive(self, member: Member) -> None:
        """Tell of each death, and start anew."""
        while member.process is not None:
            code = await member.process.wait()
            if self._stopping:
                return
            member.is_ready, member.false_starts = False, member.false_starts + 1
            if member.false_starts > FALSE_STARTS:
                raise _did_not_start(member)
            self._tell(f"{member.name} (pid {member.pid}) died ({_how(code)}){self.on_death(member)}")
            await self._begin(member)
            with suppress(Told):  # Dead again: told in the next turn.
                await self._until_ready(member)
                self._tell(f"{member.name} is back (pid {member.pid})")


def end_left_behind(folder: Path) -> int:
    """Kill what a demo that was killed has left running in this folder; how many there were."""
    try:
        told = json.loads((folder / _RUNNING).read_text(encoding="utf-8"))
        written = [(int(one["pid"]), float(one["began"])) for one in told]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    left: list[psutil.Process] = []
    for pid, began in written:
        with suppress(psutil.Error, ValueError, OverflowError):
            process = psutil.Process(pid)
            # Another process may have the number by now.
            if abs(process.create_time() - began) < 1:
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=STOP_SECONDS)
    (folder / _RUNNING).unlink(missing_ok=True)
    return len(left)


def _write_down(folder: Path, pids: Sequence[int]) -> None:
    told: list[dict[str, float]] = []
    for pid in pids:
        with suppress(psutil.Error):
            told.append({"pid": pid, "began": psutil.Process(pid).create_time()})
    temporary = folder / f"{_RUNNING}.new"
    temporary.write_text(json.dumps(told), encoding="utf-8")
    temporary.replace(folder / _RUNNING)


async def _ended(members: Sequence[Member]) -> None:
    for member in members:
        member.ask_to_stop()
    waiting = [asyncio.create_task(one.process.wait()) for one in members if one.process is not None]
    if waiting:
        _, late = await asyncio.wait(waiting, timeout=STOP_SECONDS)
        for one in late:
            one.cancel()


def _did_not_start(member: Member) -> Told:
    last = [line for line in member.said().splitlines() if line.strip()][-_SAID_LINES:]
    head = f"chargehand: {member.name} of the demo's fleet did not start; all that it said is in {member.log}"
    return Told([head, *(f"  {line}" for line in last)], ExitCode.UNAVAILABLE)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def environment_of(**settings: object) -> dict[str, str]:
    """This process's environment with these settings in it; those that are None are left as they are."""
    mine = {f"CHARGEHAND_{name.upper()}": str(value) for name, value in settings.items() if value is not None}
    return {**os.environ, **mine}
