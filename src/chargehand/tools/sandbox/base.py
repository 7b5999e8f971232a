"""The port: what a sandbox is asked to run, within which limits, and how it ended.

Rule: whatever the end is (exit, time-out, limit, cancellation), no process of the command outlives it.
"""

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

MIB = 1024 * 1024

OnLine = Callable[[bytes], Awaitable[None]]
"""Called with each line of standard output, its newline included, in order and one at a time."""

Input = bytes | AsyncIterable[bytes]
"""All of a command's input; or the parts of it as they come, until there are no more. With `OnLine` that is a
conversation. Level `job` takes the first kind only."""


class SandboxLevel(StrEnum):
    """How strong the boundary is; the docs page on the sandbox says what each level holds."""

    STRICT = "strict"
    """Linux: bubblewrap namespaces and seccomp."""
    RESTRICTED = "restricted"
    """Linux without namespaces: Landlock and supervised system calls."""
    SEATBELT = "seatbelt"
    """macOS: a generated sandbox-exec profile."""
    JOB = "job"
    """Windows: a job object. It bounds resources and is no security boundary."""
    NONE = "none"
    """Limits and kill only. Used only when the operator asked for it by name."""


class EndedBy(StrEnum):
    """Why a command is over."""

    EXIT = "exit"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    CPU = "cpu"
    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"
    """The private HOME and TMPDIR outgrew their size where no size-limited file system holds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """What one command may use. `cpu_seconds`, `file_bytes` and `open_files` count per process or file."""

    cpu_seconds: int = 600
    memory_bytes: int = 1024 * MIB
    """Of the whole tree of processes, shared memory included."""
    processes: int = 128
    """Processes and threads alive at once."""
    file_bytes: int = 256 * MIB
    open_files: int = 1024
    output_bytes: int = MIB
    """Kept of standard output and of standard error, each; the rest is drained and counted."""
    scratch_bytes: int = 256 * MIB
    """Size of the private TMPDIR; HOME has a quarter of it."""
    wall_seconds: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxCommand:
    """One program to run in a workspace."""

    argv: tuple[str, ...]
    workspace: Path
    cwd: str = "."
    """Relative to the workspace."""
    stdin: Input = b""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Added to an environment that is built from nothing: the service's own is never passed on."""
    limits: SandboxLimits = field(default_factory=SandboxLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended and what it wrote."""

    exit_code: int | None
    """None when the command was killed from outside: time-out or an overstepped limit."""
    signal: int | None
    ended_by: EndedBy
    stdout: bytes
    stderr: bytes
    dropped_bytes: int
    """Output beyond `output_bytes`, of both streams together."""
    duration_seconds: float

    @property
    def succeeded(self) -> bool:
        return self.ended_by is EndedBy.EXIT and self.exit_code == 0


@runtime_checkable
class Sandbox(Protocol):
    """A level that really ran a child on this machine."""

    @property
    def level(self) -> SandboxLevel: ...

    async def run(self, command: SandboxCommand, *, on_stdout_line: OnLine | None = None) -> Ended:
        """Run the command to its end; cancelling the caller kills the whole tree first.

        Raises `SandboxUnavailable` when the level cannot start it, `InvalidInput` when the command itself
        cannot be meant (an empty argv, a NUL, a cwd that leaves the workspace).
        """
        ...
