"""The port to the disk: what a workspace needs of the folder that it holds.

Rule: an implementation never leaves the folder, whatever a process inside swaps meanwhile. Paths come
checked; errors are plain OSErrors, which the workspace puts into words.
"""

import os
import sys
from pathlib import Path
from typing import Protocol

from chargehand.tools.paths import LogicalPath


class Root(Protocol):
    """One folder, held open."""

    def open_file(self, path: LogicalPath) -> int:
        """A descriptor for reading, got without waiting. What it is (a FIFO?) is for the caller to ask."""
        ...

    def lstat(self, path: LogicalPath) -> os.stat_result:
        """The entry itself: a link is not followed."""
        ...

    def link_target(self, path: LogicalPath) -> str:
        """Where a symbolic link points, in its own words."""
        ...

    def scan(self, path: LogicalPath) -> list[tuple[str, os.stat_result]]:
        """Every name in a folder, with what it is; links are not followed."""
        ...

    def replace(self, path: LogicalPath, data: bytes, *, mode: int | None, durable: bool = True) -> None:
        """Put a file in place at once: a reader, or a crash, sees the old content or the new, never a part.

        `mode` None: what the process's umask gives. Without `durable` a power cut may undo it.
        """
        ...

    def make_folders(self, path: LogicalPath) -> int:
        """Make the folder and those above it, and answer how many were missing."""
        ...

    def remove(self, path: LogicalPath) -> None:
        """Remove a file or a link itself."""
        ...

    def remove_folder(self, path: LogicalPath) -> None:
        """Remove an empty folder."""
        ...

    def close(self) -> None: ...


def open_root(folder: Path) -> Root:
    """Hold a folder in the way that this platform can."""
    if sys.platform == "win32":
        from chargehand.tools.root_windows import WindowsRoot  # noqa: PLC0415  # needs msvcrt

        return WindowsRoot(folder)
    from chargehand.tools.root_posix import PosixRoot  # noqa: PLC0415  # needs descriptors of folders

    return PosixRoot(folder)
