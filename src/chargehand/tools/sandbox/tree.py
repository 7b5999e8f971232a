"""A tree of processes as Linux shows it: who is in it, how many tasks, how much memory.

Rule: a process may vanish between two reads, which is no error; whatever cannot be read counts as gone.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_PROC = Path("/proc")


def tree_of(root_pid: int) -> list[int]:
    """The process and all its descendants, parents first."""
    found = [root_pid]
    for pid in found:
        found.extend(_children(pid))
    return found


def count_tasks(pids: list[int]) -> int:
    """Processes and their threads: what a limit on processes counts."""
    return sum(_threads(pid) for pid in pids)


def resident_bytes(pids: list[int]) -> int:
    """The sum of resident sizes: cheap, and never below the true figure, because shared pages count often."""
    return sum(_resident(pid) for pid in pids)


def proportional_bytes(pids: list[int]) -> int:
    """The memory of the tree, shared pages counted once. It walks page tables: milliseconds for each GiB."""
    return sum(_proportional(pid) for pid in pids)


def _children(pid: int) -> Iterator[int]:
    for task in _names(_PROC / str(pid) / "task"):
        yield from map(int, _text(_PROC / str(pid) / "task" / task / "children").split())


def _threads(pid: int) -> int:
    return len(_names(_PROC / str(pid) / "task"))


def _resident(pid: int) -> int:
    fields = _text(_PROC / str(pid) / "statm").split()
    return int(fields[1]) * _PAGE_BYTES if len(fields) > 1 else 0


def _proportional(pid: int) -> int:
    for line in _text(_PROC / str(pid) / "smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return _resident(pid)


def _names(folder: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(folder)  # noqa: PTH208 - the names alone, read a few times a second
    return []


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace")
    return ""
