"""Clocks that jump: a process of the harness adds to its own clock what a file says, at every look.

Rule: the service ships nothing for this. The harness, which forks the processes itself, bends the clock in them; so
each process may have another time than the database and the others, as machines whose clocks were set wrong do.
"""

import mmap
import struct
from datetime import datetime, timedelta
from pathlib import Path

from chargehand.clock import SystemClock

_SECONDS = struct.Struct("d")
_true_now = SystemClock.now


def make(path: Path) -> None:
    """A clock file that says 0."""
    path.write_bytes(_SECONDS.pack(0.0))


def jump(path: Path, seconds: float) -> None:
    """Let every process that follows the file be so many seconds ahead from now on, or behind."""
    with path.open("r+b") as file:
        file.write(_SECONDS.pack(seconds))


def seconds_in(path: Path) -> float:
    """How far ahead the file says."""
    return float(_SECONDS.unpack(path.read_bytes())[0])


def follow(path: str) -> None:
    """Bend this process's clock."""
    with Path(path).open("rb") as file:
        shared = mmap.mmap(file.fileno(), _SECONDS.size, prot=mmap.PROT_READ)

    def now(self: SystemClock) -> datetime:
        return _true_now(self) + timedelta(seconds=_SECONDS.unpack(shared[:])[0])

    SystemClock.now = now
