"""A folder held by one descriptor (Linux, macOS): every file is addressed relative to it.

Rule: reading may follow links that stay inside; listing and writing follow none.
"""

import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from chargehand.tools.beneath import Opener, best_opener
from chargehand.tools.paths import TEMPORARY_PREFIX, LogicalPath

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO would otherwise wait for a writer that never comes.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PosixRoot:
    """See `Root`."""

    def __init__(self, folder: Path, *, opener: Opener | None = None) -> None:
        self._opener = opener or best_opener()
        self._descriptor = os.open(folder, _FOLDER | os.O_NOFOLLOW)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def open_file(self, path: LogicalPath) -> int:
        return self._opener(self._descriptor, path.parts, _READ, follow=True)

    def lstat(self, path: LogicalPath) -> os.stat_result:
        with self._folder(path.parent, follow=True) as parent:
            return os.stat(path.name or ".", dir_fd=parent, follow_symlinks=False)

    def link_target(self, path: LogicalPath) -> str:
        with self._folder(path.parent, follow=True) as parent:
            return os.readlink(path.name, dir_fd=parent)

    def scan(self, path: LogicalPath) -> list[tuple[str, os.stat_result]]:
        found: list[tuple[str, os.stat_result]] = []
        with self._folder(path, follow=False) as folder, os.scandir(folder) as entries:
            for entry in entries:
                # Gone between the listing and the look: then it is not there.
                with suppress(FileNotFoundError):
                    found.append((entry.name, entry.stat(follow_symlinks=False)))
        return found

    def replace(self, path: LogicalPath, data: bytes, *, mode: int | None, durable: bool = True) -> None:
        temporary = TEMPORARY_PREFIX + secrets.token_hex(8)
        with self._folder(path.parent, follow=False) as parent:
            try:
                _write_new(temporary, data, mode=mode, folder=parent, durable=durable)
                os.replace(temporary, path.name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
                raise
            if durable:
                # The journal will say that this write is done; a power cut must not take the rename back.
                os.fsync(parent)

    def make_folders(self, path: LogicalPath) -> int:
        made = 0
        for depth in range(1, len(path.parts) + 1):
            step = LogicalPath(path.parts[:depth])
            with self._folder(step.parent, follow=False) as parent, suppress(FileExistsError):
                os.mkdir(step.name, dir_fd=parent)
                made += 1
        with self._folder(path, follow=False):
            return made  # An existing entry on the way must have been a folder, and no link.

    def remove(self, path: LogicalPath) -> None:
        with self._folder(path.parent, follow=False) as parent:
            os.unlink(path.name, dir_fd=parent)

    def remove_folder(self, path: LogicalPath) -> None:
        with self._folder(path.parent, follow=False) as parent:
            os.rmdir(path.name, dir_fd=parent)

    @contextmanager
    def _folder(self, path: LogicalPath, *, follow: bool) -> Generator[int]:
        descriptor = self._opener(self._descriptor, path.parts, _FOLDER, follow=follow)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _write_new(name: str, data: bytes, *, mode: int | None, folder: int, durable: bool) -> None:
    descriptor = os.open(name, _CREATE, 0o666, dir_fd=folder)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if mode is not None:
            # Only the nine permission bits: what an agent writes never runs with another's rights.
            os.fchmod(descriptor, stat.S_IMODE(mode) & 0o777)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
