"""A command's tree of processes as the guard sees it: through /proc on Linux, through psutil elsewhere."""

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import psutil

from chargehand.tools.sandbox.runner import tree


class Tree(Protocol):
    """Who belongs to a command, and what they use."""

    def below(self, root_pid: int) -> list[int]:
        """The process and its descendants."""
        ...

    def count_tasks(self, pids: Sequence[int]) -> int: ...
    def resident_bytes(self, pids: Sequence[int]) -> int: ...
    def proportional_bytes(self, pids: Sequence[int]) -> int: ...

    def kill_strays(self) -> None:
        """End what was seen below the root and outlived it, where nothing else does."""
        ...


@dataclass(slots=True)
class LinuxTree:
    """The kernel keeps the tree together: by the namespace's first process, or by the runner as subreaper."""

    def below(self, root_pid: int) -> list[int]:
        return tree.tree_of(root_pid)

    def count_tasks(self, pids: Sequence[int]) -> int:
        return tree.count_tasks(list(pids))

    def resident_bytes(self, pids: Sequence[int]) -> int:
        return tree.resident_bytes(list(pids))

    def proportional_bytes(self, pids: Sequence[int]) -> int:
        return tree.proportional_bytes(list(pids))

    def kill_strays(self) -> None:
        """There are none."""


@dataclass(slots=True)
class PsutilTree:
    """Remembers whom it saw: a daemon that leaves the tree is known by then, unless it left at once."""

    _seen: dict[int, psutil.Process] = field(default_factory=dict[int, psutil.Process])

    def below(self, root_pid: int) -> list[int]:
        with contextlib.suppress(psutil.Error):
            self._note(psutil.Process(root_pid))
        for known in list(self._seen.values()):
            with contextlib.suppress(psutil.Error):
                for child in known.children(recursive=True):
                    self._note(child)
        return [pid for pid, process in self._seen.items() if process.is_running()]

    def count_tasks(self, pids: Sequence[int]) -> int:
        return sum(self._number(pid, "num_threads") for pid in pids)

    def resident_bytes(self, pids: Sequence[int]) -> int:
        return sum(self._number(pid, "rss") for pid in pids)

    def proportional_bytes(self, pids: Sequence[int]) -> int:
        """Not told on these systems: shared pages count for each process."""
        return self.resident_bytes(pids)

    def kill_strays(self) -> None:
        for process in self._seen.values():
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil compares start times: a process id used again is left alone

    def _note(self, process: psutil.Process) -> None:
        self._seen.setdefault(process.pid, process)

    def _number(self, pid: int, what: str) -> int:
        with contextlib.suppress(psutil.Error):
            process = self._seen[pid]
            return process.num_threads() if what == "num_threads" else process.memory_info().rss
        return 0


def new_tree() -> Tree:
    return LinuxTree() if sys.platform.startswith("linux") else PsutilTree()
