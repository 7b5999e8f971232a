"""Finds the processes of a command whose runner died without its word: killed by hand, or for want of memory.

Their tree is gone with the runner, so each carries a mark in the environment that it was born with.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

MARKER = "CHARGEHAND_COMMAND"
_ROUNDS_SECONDS = 1.0


def kill_marked(marker: str) -> None:
    """Kill until no process with the mark is left, for a second at most."""
    until = time.monotonic() + _ROUNDS_SECONDS
    while time.monotonic() < until and (found := marked(marker)):
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def marked(marker: str) -> list[int]:
    """The living processes with the mark; a dead one that waits to be reaped has no environment."""
    word = f"{MARKER}={marker}".encode()
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if word in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
    return found
