"""The service's processes as the harness keeps them: started again whenever they end, until told to rest."""

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from chaos import clock_jumps
from chaos.nursery import Life, Nursery
from chaos.ports import answers_http

POLL_SECONDS = 0.08
UP_SECONDS = 60.0
STOP_SECONDS = 30.0
AFTER_OWN_END_SECONDS = 0.3
"""A process that ended by itself is not started again at once: what it missed may be gone for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A process that was alive and at work was killed with SIGKILL."""

    at: float
    """By time.time()."""
    node: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEnd:
    """A process that ended though nobody had told it to, or not as it should."""

    at: float
    node: str
    pid: int
    status: int
    last_words: str


@dataclass(slots=True, eq=False, kw_only=True)
class Node:
    """One process of the service and all its lives."""

    name: str
    role: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    nursery: Nursery
    folder: Path
    port: int = 0
    """What it answers HTTP at; 0: it does not."""
    ready_text: str = ""
    """What it says in its log when it takes work; for one without a port."""
    life: Life | None = None
    is_up: bool = False
    is_stopped: bool = False
    lives: int = 0
    kills: list[Kill] = field(default_factory=list[Kill])
    own_ends: list[OwnEnd] = field(default_factory=list[OwnEnd])
    seconds_to_be_up: list[float] = field(default_factory=list[float])
    cpu_seconds_to_be_up: list[float] = field(default_factory=list[float])
    _told_to_end: set[int] = field(default_factory=set[int])
    _keeper: asyncio.Task[None] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def clock(self) -> Path:
        return self.folder / f"{self.name}.clock"

    def begin(self) -> None:
        """Keep it alive from now on."""
        clock_jumps.make(self.clock)
        self._keeper = asyncio.create_task(self._keep())

    async def rest(self) -> None:
        """End it as an operator does, and keep it down; killed when it does not end."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        life = self.life
        if life is None or life.is_over:
            return
        self._told_to_end.add(life.pid)
        for number in (signal.SIGCONT, signal.SIGTERM):
            self.nursery.signal(life, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(life.ended), STOP_SECONDS)
        self.nursery.signal(life, signal.SIGKILL)

    def kill(self) -> bool:
        """SIGKILL, counted when it was up."""
        life = self.life
        if life is None or life.is_over or not self.is_up:
            return False
        self._told_to_end.add(life.pid)
        self.is_up = False
        self.is_stopped = False
        self.nursery.signal(life, signal.SIGKILL)
        self.kills.append(Kill(at=time.time(), node=self.name, pid=life.pid))
        return True

    def restart(self) -> None:
        """SIGTERM, once in a life; it is started again when it has ended."""
        if self.life is not None and not self.life.is_over and self.is_up:
            self._told_to_end.add(self.life.pid)
            self.is_up = False
            self.nursery.signal(self.life, signal.SIGTERM)

    def stop(self) -> None:
        """SIGSTOP: it hangs, and holds what it holds."""
        if self.life is not None:
            self.is_stopped = True
            self.nursery.signal(self.life, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.is_stopped = False
        if self.life is not None:
            self.nursery.signal(self.life, signal.SIGCONT)

    def set_clock(self, seconds: float) -> None:
        """Let its clock be so far ahead, or behind, in this life and the ones to come."""
        clock_jumps.jump(self.clock, seconds)

    async def up(self, seconds: float = UP_SECONDS) -> bool:
        """Whether it is at work within a time."""
        until = time.monotonic() + seconds
        while not self.is_up and time.monotonic() < until:  # noqa: ASYNC110 - with a limit, and it may be over again
            await asyncio.sleep(POLL_SECONDS)
        return self.is_up

    async def _keep(self) -> None:
        while True:
            self.lives += 1
            said = self.log.stat().st_size if self.log.exists() else 0
            began = time.monotonic()
            life = self.life = await self.nursery.start(
                self.argv, environment=self.environment, log=self.log, clock=self.clock
            )
            watching = asyncio.create_task(self._watch(life, said, began))
            try:
                status = await asyncio.shield(life.ended)
            finally:
                watching.cancel()
                self.is_up = False
            if life.pid not in self._told_to_end or status not in (0, -signal.SIGKILL):
                self._note(life, status, said)
                await asyncio.sleep(AFTER_OWN_END_SECONDS)

    async def _watch(self, life: Life, said: int, began: float) -> None:
        """Say that it is up once it answers, or has said that it takes work."""
        while not life.is_over:
            found = await answers_http(self.port) if self.port else self.ready_text in self._words(said)
            if found and life.pid not in self._told_to_end:
                self.is_up = True
                self.seconds_to_be_up.append(time.monotonic() - began)
                with suppress(psutil.Error):
                    used = psutil.Process(life.pid).cpu_times()
                    self.cpu_seconds_to_be_up.append(used.user + used.system)
                return
            await asyncio.sleep(POLL_SECONDS)

    def _words(self, since: int) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read(200_000).decode("utf-8", errors="replace")

    def _note(self, life: Life, status: int, said: int) -> None:
        last = [line for line in self._words(said).splitlines() if line.strip()][-3:]
        self.own_ends.append(
            OwnEnd(
                at=time.time(), node=self.name, pid=life.pid, status=status, last_words=" | ".join(last)[:500]
            )
        )
