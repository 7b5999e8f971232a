"""Bytes by the hash of their content: the port, and the folder.

Rule: a blob appears whole or not at all (temporary file, fsync, rename, fsync of its folder), and the same bytes are
stored once. What is read is hashed again: damaged content is told, never handed on.

A put of bytes that are there already makes them young again (`REFRESHED_AFTER`), so that whoever removes what nobody
refers to can tell by a blob's age that no put of the same bytes is on its way into a row.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from chargehand.domain.values import bytes_hash
from chargehand.errors import ContentDamaged, NotFound, StorageFull

REFRESHED_AFTER = timedelta(days=1)
"""A put leaves a blob alone that is younger than this; an older one is as young as a new one afterwards."""

_LISTED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """What a listing says of a blob."""

    sha256: str
    size_bytes: int
    stored_at: datetime


class Blobs(Protocol):
    """Where bytes are kept: a folder, or S3-compatible storage (store/s3_blobs.py)."""

    async def put(self, data: bytes) -> str:
        """Store bytes durably; their hash. StorageFull, Unavailable: then nothing was stored."""
        ...

    async def get(self, digest: str) -> bytes:
        """The bytes of a hash. NotFound when they are gone, ContentDamaged when they have changed."""
        ...

    def listed(self) -> AsyncIterator[StoredBlob]:
        """Every blob, in no order."""
        ...

    async def remove(self, digests: Iterable[str]) -> None:
        """Remove blobs; what is gone already is passed over. Who calls it knows that nobody refers to them."""
        ...


def checked(data: bytes, digest: str) -> bytes:
    """The bytes, if they have this hash; ContentDamaged if not."""
    if bytes_hash(data) != digest:
        raise ContentDamaged(
            f"the stored content {digest[:12]}… is damaged: its bytes do not have its hash any more; bring it back"
            " from a backup"
        )
    return data


class FolderBlobs:
    """A folder of files named by their SHA-256."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def put(self, data: bytes) -> str:
        """See `Blobs`."""
        return await asyncio.to_thread(self._put, data)

    async def get(self, digest: str) -> bytes:
        """See `Blobs`."""
        try:
            return checked(await asyncio.to_thread(self.path(digest).read_bytes), digest)
        except FileNotFoundError:
            raise NotFound(f"the stored content {digest[:12]}… is gone from {self.folder.name}/") from None

    async def listed(self) -> AsyncIterator[StoredBlob]:
        """See `Blobs`."""
        found = self._listed()
        while some := await asyncio.to_thread(_next_of, found, _LISTED_AT_ONCE):
            for blob in some:
                yield blob

    async def remove(self, digests: Iterable[str]) -> None:
        """See `Blobs`."""
        await asyncio.to_thread(self._remove, tuple(digests))

    def path(self, digest: str) -> Path:
        """Where the bytes of a hash stand."""
        return self.folder / digest[:2] / digest

    def _put(self, data: bytes) -> str:
        digest = bytes_hash(data)
        target = self.path(digest)
        if self._is_there(target):
            return digest
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._write(data, target)
            sync_folders(target.parent, self.folder)
        except OSError as error:
            raise StorageFull(f"a deliverable cannot be stored ({error.strerror}); free space") from error
        return digest

    @staticmethod
    def _is_there(target: Path) -> bool:
        try:
            age_seconds = time.time() - target.stat().st_mtime
            if age_seconds > REFRESHED_AFTER.total_seconds():
                os.utime(target)
        except OSError:
            return False  # Not there, or removed just now: it is written anew.
        return True

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

    def _listed(self) -> Iterator[StoredBlob]:
        for shelf in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            for path in shelf.iterdir() if shelf.is_dir() else ():
                if path.name.startswith("."):
                    continue
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                stored_at = datetime.fromtimestamp(status.st_mtime, UTC)
                yield StoredBlob(sha256=path.name, size_bytes=status.st_size, stored_at=stored_at)

    def _remove(self, digests: tuple[str, ...]) -> None:
        for digest in digests:
            self.path(digest).unlink(missing_ok=True)


def _next_of(found: Iterator[StoredBlob], count: int) -> list[StoredBlob]:
    return [blob for _, blob in zip(range(count), found, strict=False)]


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
