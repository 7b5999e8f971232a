"""Deliverables as a zip: the same bytes for the same content, names that every system unpacks inside its folder.

Built in a file, not in memory, and off the event loop; one content at a time is in memory.
"""

import asyncio
import tempfile
import zipfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import IO

from chargehand.domain.deliverable import Deliverable

CHUNK_BYTES = 256 * 1024
SPOOL_BYTES = 4 * 1024 * 1024
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can name: content decides the bytes, not when they were packed."""
_MODE = 0o644 << 16


def entries(deliverables: Iterable[Deliverable], *, in_folders: bool) -> list[tuple[str, str]]:
    """(name in the zip, content hash), sorted. `in_folders`: each deliverable's files below its name."""
    found: dict[str, str] = {}
    for one in deliverables:
        for file in one.files:
            name = safe_name(f"{one.name.replace('/', '_')}/{file.path}" if in_folders else file.path)
            while name in found:
                name += "_"
            found[name] = file.sha256
    return sorted(found.items())


def safe_name(path: str) -> str:
    """The path, changed where unpacking it could lead outside the folder or fail on another system."""
    return "/".join(_safe_part(part) for part in path.split("/"))


def _safe_part(part: str) -> str:
    plain = "".join("_" if sign in '\\:*?"<>|' or not sign.isprintable() else sign for sign in part)
    return "_" if plain in ("", ".", "..") else plain


async def build(
    files: Sequence[tuple[str, str]], content: Callable[[str], Awaitable[bytes]]
) -> tuple[IO[bytes], int]:
    """The zip as a file to be read from its start, and its size. The caller closes the file."""
    # Kept open beyond this function: it is what is returned.
    spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - as said above
    try:
        with zipfile.ZipFile(spool, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for name, digest in files:
                data = await content(digest)
                await asyncio.to_thread(_add, archive, name, data)
        size = spool.tell()
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    return spool, size


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = _MODE
    # Else it tells the system that packed it.
    entry.create_system = 3
    archive.writestr(entry, data)


async def chunks(file: IO[bytes]) -> AsyncGenerator[bytes, None]:
    """The file's bytes, piece by piece; it is closed at the end, whatever the end is."""
    try:
        while data := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield data
    finally:
        file.close()
