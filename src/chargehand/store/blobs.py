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
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from chargehand.domain.values import bytes_hash
from chargehand.errors import ContentDamaged, NotFound, StorageFull
from chargehand.failpoint import fail_point

REFRESHED_AFTER = timedelta(days=1)
"""A put leaves a blob alone that is younger than this; an older one is as young as a new one afterwards."""

SYNCS_AT_ONCE = 8
FEW = 2
"""So many are synced without threads."""

_LISTED_AT_ONCE = 1000
_GOING = ".going-"

Item = TypeVar("Item")


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

    async def put_all(self, contents: Sequence[bytes]) -> list[str]:
        """Store many, sooner than one after the other; their hashes. When it raises, some of them may be stored."""
        ...

    async def get(self, digest: str) -> bytes:
        """The bytes of a hash. NotFound when they are gone, ContentDamaged when they have changed."""
        ...

    def listed(self) -> AsyncIterator[StoredBlob]:
        """Every blob, in no order."""
        ...

    async def remove(self, digests: Iterable[str], *, older_than: timedelta = timedelta(0)) -> None:
        """Remove blobs; what is gone already is passed over, and what a put has made young again since it was listed.

        Who calls it knows that nobody refers to them.
        """
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

    async def put_all(self, contents: Sequence[bytes]) -> list[str]:
        """See `Blobs`."""
        return await asyncio.to_thread(self._put_all, contents)

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

    async def remove(self, digests: Iterable[str], *, older_than: timedelta = timedelta(0)) -> None:
        """See `Blobs`."""
        await asyncio.to_thread(self._remove, tuple(digests), time.time() - older_than.total_seconds())

    def path(self, digest: str) -> Path:
        """Where the bytes of a hash stand."""
        return self.folder / digest[:2] / digest

    def _put(self, data: bytes) -> str:
        [digest] = self._put_all([data])
        return digest

    def _put_all(self, contents: Sequence[bytes]) -> list[str]:
        """All are written before the first is waited for: the disk then takes many in one go."""
        digests = [bytes_hash(data) for data in contents]
        wanted = {
            self.path(digest): data
            for digest, data in zip(digests, contents, strict=True)
            if not self._is_there(self.path(digest))
        }
        if not wanted:
            return digests
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_all(wanted)
            _each(sync_folder, [*{target.parent for target in wanted}, self.folder])
        except OSError as error:
            raise StorageFull(f"a deliverable cannot be stored ({error.strerror}); free space") from error
        return digests

    @staticmethod
    def _is_there(target: Path) -> bool:
        try:
            age_seconds = time.time() - target.stat().st_mtime
            if age_seconds > REFRESHED_AFTER.total_seconds():
                os.utime(target)
        except OSError:
            return False  # Not there, or removed just now: it is written anew.
        return True

    def _write_all(self, wanted: Mapping[Path, bytes]) -> None:
        """Temporaries lie side by side: to spread them over the shelves at once costs twice the time."""
        written: dict[Path, str] = {}
        try:
            for target, data in wanted.items():
                descriptor, written[target] = tempfile.mkstemp(dir=self.folder, prefix=".put-")
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
            _each(_sync_file, written.values())
            for target, name in written.items():
                target.parent.mkdir(exist_ok=True)
                Path(name).replace(target)
        except BaseException:
            for name in written.values():
                Path(name).unlink(missing_ok=True)
            raise

    def _listed(self) -> Iterator[StoredBlob]:
        for shelf in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            for found in shelf.iterdir() if shelf.is_dir() else ():
                path = found
                if path.name.startswith(_GOING):
                    self._bring_back(path)
                    path = self.path(path.name.removeprefix(_GOING))
                if path.name.startswith("."):
                    continue
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                stored_at = datetime.fromtimestamp(status.st_mtime, UTC)
                yield StoredBlob(sha256=path.name, size_bytes=status.st_size, stored_at=stored_at)

    def _remove(self, digests: tuple[str, ...], before: float) -> None:
        """Under another name first: a put that comes now stores the bytes anew, and one that came just before shows."""
        for digest in digests:
            going = self.path(digest).with_name(f"{_GOING}{digest}")
            try:
                self.path(digest).replace(going)
                fail_point("blobs.going")
                if going.stat().st_mtime > before:
                    self._bring_back(going)
                else:
                    going.unlink()
            except FileNotFoundError:
                continue
            except PermissionError:
                continue  # Windows: somebody reads it now, and it goes the next time.

    def _bring_back(self, going: Path) -> None:
        """It is needed again, or whoever was about to remove it was killed."""
        target = self.path(going.name.removeprefix(_GOING))
        if target.exists():
            going.unlink(missing_ok=True)
        else:
            going.replace(target)


def _next_of(found: Iterator[StoredBlob], count: int) -> list[StoredBlob]:
    return [blob for _, blob in zip(range(count), found, strict=False)]


def _each(work: Callable[[Item], None], items: Iterable[Item]) -> None:
    """Do it with each, many at once: what waits for the disk alone then waits together. The first fault is raised."""
    waiting = list(items)
    if len(waiting) <= FEW:
        for item in waiting:
            work(item)
        return
    with ThreadPoolExecutor(SYNCS_AT_ONCE, thread_name_prefix="blobs") as pool:
        for _ in pool.map(work, waiting):
            continue


def _sync_file(name: str) -> None:
    # Windows syncs only what may be written.
    descriptor = os.open(name, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make new names in this folder survive a power cut. Windows does so without being asked."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
