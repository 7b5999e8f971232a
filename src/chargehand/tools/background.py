"""The commands that one attempt leaves running while its agent goes on.

Rule: none outlives the attempt. `end_all` returns only when each one's whole tree of processes is gone.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from chargehand.errors import ChargehandError, ToolError
from chargehand.tools.sandbox.base import Ended, Sandbox, SandboxCommand

MAX_RUNNING = 8
LONGEST_SECONDS = 86_400.0
"""A command in the background has the attempt's time; this only keeps a forgotten one from being endless."""


@dataclass(slots=True, kw_only=True, eq=False)
class BackgroundCommand:
    """One command: what it has written and nobody has taken yet, and how it ended."""

    shell_id: str
    command_line: str
    cap_bytes: int
    dropped_bytes: int = 0
    was_killed: bool = False
    _unread: bytearray = field(default_factory=bytearray)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _work: "asyncio.Task[Ended] | None" = None

    def begin(self, sandbox: Sandbox, command: SandboxCommand) -> None:
        """Start it; what prevents the start is told when its output is asked for."""
        self._work = asyncio.create_task(sandbox.run(command, on_stdout_line=self._heard))
        self._work.add_done_callback(self._over)

    @property
    def is_running(self) -> bool:
        return self._work is not None and not self._work.done()

    @property
    def ended(self) -> Ended | None:
        """How it ended by itself; None while it runs, when it was killed and when it could not be run."""
        done = self._work is not None and self._work.done() and not self._work.cancelled()
        return self._work.result() if self._work and done and self._work.exception() is None else None

    @property
    def failure(self) -> str | None:
        """Why the sandbox could not run it."""
        if self._work is None or not self._work.done() or self._work.cancelled():
            return None
        error = self._work.exception()
        return error.message if isinstance(error, ChargehandError) else (error and type(error).__name__)

    def take(self) -> bytes:
        """The output since it was last taken."""
        taken = bytes(self._unread)
        self._unread.clear()
        if self.is_running:
            self._news.clear()
        return taken

    def put_back(self, taken: bytes) -> None:
        """Undo a `take` whose output nobody saw."""
        self._unread[:0] = taken

    async def news(self, wait_seconds: float) -> None:
        """Return when there is output, when it has ended, or when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await self._news.wait()

    def cancel(self) -> "asyncio.Task[Ended] | None":
        """Ask for its end; the task is done when all that it started is gone."""
        if self._work is not None:
            self._work.cancel()
        return self._work

    async def kill(self) -> None:
        """End it with all that it started; returns when that is done."""
        if self.is_running and (work := self.cancel()) is not None:
            self.was_killed = True
            await all_gone([work])

    def _over(self, work: "asyncio.Task[Ended]") -> None:
        if not work.cancelled():
            work.exception()  # Looked at, so that the event loop does not report it as lost.
        self._news.set()

    async def _heard(self, line: bytes) -> None:
        room = self.cap_bytes - len(self._unread)
        self._unread += line[: max(0, room)]
        self.dropped_bytes += max(0, len(line) - max(0, room))
        self._news.set()


@dataclass(slots=True)
class Background:
    """The attempt's commands in the background, by id."""

    _commands: dict[str, BackgroundCommand] = field(default_factory=dict[str, BackgroundCommand])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end_all()

    @property
    def is_busy(self) -> bool:
        """Whether any of them runs."""
        return any(one.is_running for one in self._commands.values())

    def start(self, sandbox: Sandbox, command: SandboxCommand, command_line: str) -> BackgroundCommand:
        """Start a command; ToolError when too many run already."""
        running = [one.shell_id for one in self._commands.values() if one.is_running]
        if len(running) >= MAX_RUNNING:
            raise ToolError(
                f"{len(running)} commands run in the background already, which is the most there may be;"
                f" end one with KillShell: {', '.join(running)}"
            )
        # By chance, not counted: an id of an attempt before must not come to mean another command.
        made = BackgroundCommand(
            shell_id=f"bash_{secrets.token_hex(4)}",
            command_line=command_line,
            cap_bytes=command.limits.output_bytes,
        )
        self._commands[made.shell_id] = made
        made.begin(sandbox, command)
        return made

    def get(self, shell_id: str) -> BackgroundCommand | None:
        return self._commands.get(shell_id)

    def ids(self) -> list[str]:
        return list(self._commands)

    async def end_all(self) -> None:
        """End all that run and forget them."""
        commands, self._commands = self._commands, {}
        await all_gone([work for one in commands.values() if (work := one.cancel()) is not None])


async def all_gone(works: Iterable["asyncio.Task[Ended]"]) -> None:
    """Wait for their ends. Not to be interrupted: a second cancellation must not leave processes behind."""
    interrupted: asyncio.CancelledError | None = None
    while left := {work for work in works if not work.done()}:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted
