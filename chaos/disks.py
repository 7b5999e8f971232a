"""A small disk of the database's own, to be filled without harm to the machine: a tmpfs, which needs root."""

import asyncio
import errno
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chaos.servers import is_root

SIZE_MEGABYTES = 400
PAGE_BYTES = 4096


class NoDisk(Exception):
    """No disk can be mounted here; the message says why."""


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted folder with little space."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self) -> None:
        """Take all the space that is left, and the little that others gave back meanwhile."""
        with self._ballast.open("ab", buffering=0) as file:
            free = os.statvfs(self.folder)
            for size in (free.f_bavail * free.f_frsize, PAGE_BYTES, PAGE_BYTES):
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, max(size, PAGE_BYTES))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def clear(self) -> None:
        """Give it back."""
        self._ballast.unlink(missing_ok=True)


async def mount(folder: Path) -> SmallDisk:
    """Make the folder a small disk; NoDisk where that cannot be."""
    if sys.platform != "linux" or not is_root():
        raise NoDisk("a full disk (a disk of its own can be mounted on Linux, as root)")
    await asyncio.to_thread(folder.mkdir)
    code = await _command("mount", "-t", "tmpfs", "-o", f"size={SIZE_MEGABYTES}m,mode=0711", "tmpfs", folder)
    if code:
        await asyncio.to_thread(folder.rmdir)
        raise NoDisk("a full disk (this machine lets nothing be mounted)")
    return SmallDisk(folder)


async def unmount(disk: SmallDisk) -> None:
    """Give the disk and all that is on it back."""
    for options in ((), ("-l",)):
        if await _command("umount", *options, disk.folder) == 0:
            break
    with suppress(OSError):
        disk.folder.rmdir()


async def _command(*words: str | Path) -> int:
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(word) for word in words),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return 127
    return await process.wait()
