"""Private HOME and TMPDIR of one command, where no private file system holds them.

Rule: they are gone with the command, whatever modes it left on its files.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """Two empty folders that only the service's user may enter."""

    home: Path
    temporary: Path

    def used_bytes(self) -> int:
        """What the files below hold. What vanishes during the walk counts nothing."""
        total = 0
        for top in (self.home, self.temporary):
            for folder, _, names in os.walk(top):
                for name in names:
                    with contextlib.suppress(OSError):
                        total += Path(folder, name).lstat().st_blocks * 512
        return total


@contextmanager
def private_folder() -> Generator[Path]:
    """A folder of one's own among the system's temporary ones, for as long as it is used."""
    folder = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-"))
    try:
        yield folder
    finally:
        remove_tree(folder)


@contextmanager
def scratch_folders() -> Generator[Scratch]:
    """Make the folders; remove them at the end, when no process of the command is left."""
    with private_folder() as folder:
        scratch = Scratch(home=folder / "home", temporary=folder / "tmp")
        scratch.home.mkdir()
        scratch.temporary.mkdir()
        yield scratch


def remove_leftovers() -> None:
    """Remove the folders of services that were killed."""
    prefix = _prefix()
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        owner = folder.name.removeprefix(prefix).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            remove_tree(folder)


def _prefix() -> str:
    """Process ids mean something in one process namespace only, and containers may share a folder."""
    with contextlib.suppress(OSError):
        return f"chargehand-run-{Path('/proc/self/ns/pid').stat().st_ino}-"
    return "chargehand-run-"


def remove_tree(folder: Path) -> None:
    """Remove a folder as well as can be; what commands have locked in it is opened first."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        _open_up(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _open_up(top: Path) -> None:
    """Give the owner back what the command took away; links are not followed."""
    for folder, names, _ in os.walk(top):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.chmod(stat.S_IRWXU)
