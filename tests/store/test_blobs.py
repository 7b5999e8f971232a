"""Blobs: whole or not at all, the same bytes once."""

import asyncio
from pathlib import Path

import pytest

from chargehand.domain.values import bytes_hash
from chargehand.errors import NotFound, StorageFull
from chargehand.store.blobs import Blobs


def files_of(folder: Path) -> list[str]:
    """The names of all files, hidden leftovers too."""
    return [path.name for path in folder.rglob("*") if path.is_file()]


async def test_bytes_come_back_under_their_hash(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")

    digest = await blobs.put(b"content")

    assert digest == bytes_hash(b"content")
    assert await blobs.get(digest) == b"content"


async def test_the_same_bytes_are_stored_once_also_when_they_come_at_once(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)

    digests = await asyncio.gather(*(blobs.put(b"same" * 10_000) for _ in range(8)))

    assert len(set(digests)) == 1
    assert files_of(tmp_path) == [digests[0]]


async def test_empty_content_is_content(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)

    assert await blobs.get(await blobs.put(b"")) == b""


async def test_content_that_is_gone_is_named(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    digest = await blobs.put(b"content")
    blobs.path(digest).unlink()

    with pytest.raises(NotFound, match=f"{digest[:12]}… is gone from blobs/"):
        await blobs.get(digest)


async def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    digest = bytes_hash(b"content")
    (tmp_path / digest[:2]).write_text("a file where a folder must be", encoding="utf-8")

    with pytest.raises(StorageFull, match="cannot be stored"):
        await Blobs(tmp_path).put(b"content")

    assert files_of(tmp_path) == [digest[:2]]
