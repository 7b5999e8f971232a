"""The folders that one worker process works in: each attempt has one to itself, and nobody else is told of them.

Rule: what counts is the published snapshot, never a folder. A folder that an attempt has left in order may be taken
again for the same workspace, which spares fetching it anew; any other is removed. What dead processes of this host
have left is removed at the next start.
"""

import os
import secrets
import socket
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from chargehand.tools.sandbox.scratch import remove_tree
from chargehand.tools.snapshot import StatIndex

MOST_PARKED = 16
_PREFIX = "worker-"


@dataclass(slots=True)
class WorkingFolder:
    """One folder and what is known of its files."""

    path: Path
    index: StatIndex = field(default_factory=StatIndex)
    is_new: bool = True
    """Whether no attempt has worked in it."""


@dataclass(slots=True)
class WorkingFolders:
    """The folders of this process, below `workspaces`. All of it blocks."""

    workspaces: Path
    _own: Path | None = None
    _made: int = 0
    _parked: "OrderedDict[Path, tuple[str, WorkingFolder]]" = field(
        default_factory=OrderedDict[Path, tuple[str, WorkingFolder]]
    )

    def parked(self, workspace_id: str) -> WorkingFolder | None:
        """Take a folder that an attempt in this workspace has left in order."""
        for path, (parked_id, folder) in reversed(self._parked.items()):
            if parked_id == workspace_id:
                del self._parked[path]
                return folder
        return None

    def made(self, workspace_id: str) -> WorkingFolder:
        """Make an empty folder."""
        if self._own is None:
            remove_leftovers(self.workspaces)
            self._own = self.workspaces / f"{_name_of(os.getpid())}{secrets.token_hex(4)}"
        self._made += 1
        path = self._own / f"{workspace_id}-{self._made}"
        path.mkdir(parents=True)
        return WorkingFolder(path)

    def park(self, workspace_id: str, folder: WorkingFolder) -> None:
        """Keep a folder for a next attempt; of too many the one that was left longest ago goes."""
        self._parked[folder.path] = (workspace_id, folder)
        while len(self._parked) > MOST_PARKED:
            path, _ = self._parked.popitem(last=False)
            remove_tree(path)

    def remove(self, folder: WorkingFolder) -> None:
        """Remove a folder with all that is in it."""
        try:
            folder.path.rmdir()  # Most are empty.
        except OSError:
            remove_tree(folder.path)

    def close(self) -> None:
        """Remove everything; the process takes no more attempts."""
        self._parked.clear()
        if self._own is not None:
            remove_tree(self._own)


def remove_leftovers(workspaces: Path) -> None:
    """Remove the folders of processes of this host that are dead."""
    for path in _of_this_host(workspaces):
        pid = path.name.removeprefix(_name_of("")).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            remove_tree(path)


def _of_this_host(workspaces: Path) -> Iterator[Path]:
    yield from workspaces.glob(f"{_name_of('').removesuffix('-')}*") if workspaces.is_dir() else ()


def _name_of(pid: int | str) -> str:
    """Host and process namespace, because several may share the disk and a process id means something in one only."""
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    host = "".join(character if character.isalnum() else "_" for character in socket.gethostname())[:40]
    return f"{_PREFIX}{host}-{namespace}-{pid}" + ("-" if pid else "")
