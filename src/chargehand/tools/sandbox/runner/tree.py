"""A tree of processes as Linux shows it: who is in it, how many tasks, how much memory.

Rule: a process may vanish between two reads, which is no error; whatever cannot be read counts as gone.
"""

import os

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def tree_of(root_pid: int) -> list[int]:
    """The process and all its descendants, parents first."""
    found = [root_pid]
    for pid in found:
        found.extend(children_of(pid))
    return found


def children_of(pid: int) -> list[int]:
    """The children of all threads of a process."""
    return [
        int(child) for task in tasks_of(pid) for child in text_of(f"/proc/{pid}/task/{task}/children").split()
    ]


def tasks_of(pid: int) -> list[str]:
    """The ids of a process's threads; empty when it is gone."""
    try:
        return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - pathlib costs the runner 5 ms
    except OSError:
        return []


def count_tasks(pids: list[int]) -> int:
    """Processes and their threads: what a limit on processes counts."""
    return sum(len(tasks_of(pid)) for pid in pids)


def resident_bytes(pids: list[int]) -> int:
    """The sum of resident sizes: cheap, and never below the true figure, because shared pages count often."""
    return sum(_resident(pid) for pid in pids)


def proportional_bytes(pids: list[int]) -> int:
    """The memory of the tree, shared pages counted once. It walks page tables: milliseconds for each GiB."""
    return sum(_proportional(pid) for pid in pids)


def text_of(path: str) -> str:
    """The file's text; empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib costs the runner 5 ms
            return file.read()
    except OSError:
        return ""


def _resident(pid: int) -> int:
    fields = text_of(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE_BYTES if len(fields) > 1 else 0


def _proportional(pid: int) -> int:
    for line in text_of(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return _resident(pid)
