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
def scratch_folders() -> Generator[Scratch]:
    """Make the folders; remove them at the end, when no process of the command is left."""
    folder = Path(tempfile.mkdtemp(prefix="chargehand-"))
    try:
        scratch = Scratch(home=folder / "home", temporary=folder / "tmp")
        scratch.home.mkdir()
        scratch.temporary.mkdir()
        yield scratch
    finally:
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
