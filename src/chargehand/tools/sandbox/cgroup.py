"""Memory and process limits by control groups, version 1 or 2, where this service may make one.

Rule: a group is only used where one could really be made; elsewhere the watch over the tree of processes is
the limit.
"""

import contextlib
import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "chargehand-"
_numbers = itertools.count(1)
_REMOVE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupHome:
    """Where groups can be made: one folder for each controller of version 1, a single one for version 2."""

    memory: Path
    processes: Path
    version: int

    def make(self, *, memory_bytes: int, processes: int) -> "Group":
        """A new, empty group with its limits set; raises OSError where that is not allowed."""
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        folders = tuple(dict.fromkeys((self.memory / name, self.processes / name)))
        group = Group(memory=folders[0], folders=folders, version=self.version)
        try:
            for folder in folders:
                folder.mkdir()
            if self.version == 1:
                _write(folders[0] / "memory.limit_in_bytes", memory_bytes)
                with contextlib.suppress(OSError):  # there is no such file where swap is not counted
                    _write(folders[0] / "memory.memsw.limit_in_bytes", memory_bytes)
            else:
                _write(folders[0] / "memory.max", memory_bytes)
                _write(folders[0] / "memory.oom.group", 1)
                with contextlib.suppress(OSError):
                    _write(folders[0] / "memory.swap.max", 0)
            _write(folders[-1] / "pids.max", processes)
        except OSError:
            group.remove()
            raise
        return group


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The group of one command."""

    memory: Path
    folders: tuple[Path, ...]
    version: int

    def add(self, pid: int) -> None:
        """Move a process in; its later children follow. May block for milliseconds: the kernel waits."""
        for folder in self.folders:
            _write(folder / "cgroup.procs", pid)

    def members(self) -> set[int]:
        """The processes that are in all of the group's folders."""
        first, *others = (
            {int(pid) for pid in (folder / "cgroup.procs").read_text(encoding="ascii").split()}
            for folder in self.folders
        )
        return first.intersection(*others)

    def was_out_of_memory(self) -> bool:
        """Whether the kernel killed a member for memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        with contextlib.suppress(OSError):
            for line in (self.memory / name).read_text(encoding="ascii").splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value) > 0
        return False

    def remove(self) -> None:
        """Give the group back. Its last member may need a moment to be gone."""
        until = time.monotonic() + _REMOVE_SECONDS
        for folder in self.folders:
            while not _removed(folder) and time.monotonic() < until:
                time.sleep(0.005)


def find_group_home() -> GroupHome | None:
    """Where this process may make groups that hold processes; None where it may not."""
    own = _own_groups()
    mounts = _mounts()
    candidates: list[GroupHome] = []
    if {"memory", "pids"} <= mounts.keys() & own.keys():
        candidates.append(
            GroupHome(
                memory=mounts["memory"] / own["memory"], processes=mounts["pids"] / own["pids"], version=1
            )
        )
    if "" in mounts and "" in own:
        here = mounts[""] / own[""]
        # A group with members may not hand controllers on: then its parent can, where systemd gave it to us.
        folders = [here, *([here.parent] if _is_delegated(here.parent) else [])]
        candidates += [GroupHome(memory=folder, processes=folder, version=2) for folder in folders]
    for home in candidates:
        if _works(home):
            _remove_leftovers(home)
            return home
    return None


def _works(home: GroupHome) -> bool:
    if home.version == 2:
        with contextlib.suppress(OSError):
            _write(home.memory / "cgroup.subtree_control", "+memory +pids")
    try:
        home.make(memory_bytes=1 << 30, processes=16).remove()
    except OSError:
        return False
    return os.access(home.memory / "cgroup.procs", os.W_OK)


def _is_delegated(folder: Path) -> bool:
    """Whether systemd marked the group as one that its service may arrange by itself."""
    for attribute in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(folder, attribute) == b"1":
                return True
    return False


def _own_groups() -> dict[str, str]:
    """Path of this process's group by controller; version 2 has the empty name."""
    groups: dict[str, str] = {}
    for line in _lines(Path("/proc/self/cgroup")):
        _, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path.lstrip("/"))
    return groups


def _mounts() -> dict[str, Path]:
    """Where each controller's hierarchy is mounted; version 2 has the empty name."""
    mounts: dict[str, Path] = {}
    for line in _lines(Path("/proc/self/mountinfo")):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            mounts.setdefault("", Path(before.split()[4]))
        elif kind == "cgroup":
            for option in options.split()[-1].split(","):
                mounts.setdefault(option, Path(before.split()[4]))
    return mounts


def _remove_leftovers(home: GroupHome) -> None:
    """Groups of services that were killed; a folder that still has members cannot be removed and stays."""
    for parent in {home.memory, home.processes}:
        for folder in parent.glob(f"{_PREFIX}*"):
            owner = folder.name.removeprefix(_PREFIX).split("-")[0]
            if owner.isdigit() and not Path("/proc", owner).exists():
                _removed(folder)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _write(path: Path, value: int | str) -> None:
    with path.open("w", encoding="ascii") as file:
        file.write(str(value))
