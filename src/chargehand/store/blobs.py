"""Bytes by the hash of their content, in a folder.

Rule: a blob appears whole or not at all (temporary file, fsync, rename, fsync of its folder), and the same
bytes are stored once.
"""

import asyncio
import os
import tempfile
from pathlib import Path

from chargehand.domain.values import bytes_hash
from chargehand.errors import NotFound, StorageFull


class Blobs:
    """A folder of files named by their SHA-256."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def put(self, data: bytes) -> str:
        """Store bytes durably; their hash."""
        return await asyncio.to_thread(self._put, data)

    async def get(self, digest: str) -> bytes:
        """The bytes of a hash; NotFound when they are gone."""
        try:
            return await asyncio.to_thread(self.path(digest).read_bytes)
        except FileNotFoundError:
            raise NotFound(f"the stored content {digest[:12]}… is gone from {self.folder.name}/") from None

    def path(self, digest: str) -> Path:
        """Where the bytes of a hash stand."""
        return self.folder / digest[:2] / digest

    def _put(self, data: bytes) -> str:
        digest = bytes_hash(data)
        target = self.path(digest)
        if target.exists():
            return digest
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._write(data, target)
            sync_folders(target.parent, self.folder)
        except OSError as error:
            raise StorageFull(f"a deliverable cannot be stored ({error.strerror}); free space") from error
        return digest

    @staticmethod
    def _write(data: bytes, target: Path) -> None:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".put-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def sync_folders(*folders: Path) -> None:
    """Make new names in these folders survive a power cut. Windows does so without being asked."""
    if os.name == "nt":
        return
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
