"""Blobs: whole or not at all, the same bytes once, damage told; the same over a folder and over S3."""

import asyncio
import logging
import os
import socket
import time
import traceback
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chargehand.domain.values import bytes_hash
from chargehand.errors import ContentDamaged, InvalidInput, NotFound, StorageFull, Unavailable
from chargehand.store.blobs import REFRESHED_AFTER, Blobs, FolderBlobs
from chargehand.store.storage import open_blobs
from tests.s3_server import Keys, S3Server, an_s3_server

TWO_DAYS_SECONDS = 2 * REFRESHED_AFTER.total_seconds()
WRONG_ADDRESSES = (
    "gs://bucket",
    "s3://",
    "s3://key:secret@bucket",
    "s3://host:9000/bucket",
    "/var/blobs",
    "",
)


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage under test, and where its bytes really stand."""

    blobs: Blobs
    folder: Path

    def files(self) -> list[Path]:
        """All files, hidden leftovers too."""
        return [path for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Generator[S3Server]:
    with an_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    if request.param == "folder":
        return Storage(FolderBlobs(tmp_path / "blobs"), tmp_path / "blobs")
    server: S3Server = request.getfixturevalue("s3")
    for path in server.folder.iterdir():
        path.unlink()
    return Storage(opened(server, tmp_path, monkeypatch, f"s3://{server.bucket}/some/where"), server.folder)


def opened(server: S3Server, folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> Blobs:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return open_blobs(url, folder, os.environ)


async def digests(blobs: Blobs) -> set[str]:
    return {blob.sha256 async for blob in blobs.listed()}


async def test_bytes_come_back_under_their_hash(storage: Storage) -> None:
    digest = await storage.blobs.put(b"content")

    assert digest == bytes_hash(b"content")
    assert await storage.blobs.get(digest) == b"content"


async def test_the_same_bytes_are_stored_once_also_when_they_come_at_once(storage: Storage) -> None:
    found = await asyncio.gather(*(storage.blobs.put(b"same" * 10_000) for _ in range(8)))

    assert len(set(found)) == 1
    assert len(storage.files()) == 1


async def test_bytes_that_are_stored_are_not_written_again_but_old_ones_become_young(
    storage: Storage,
) -> None:
    digest = await storage.blobs.put(b"content")
    [file] = storage.files()
    hour_ago, long_ago = time.time() - 3600, time.time() - TWO_DAYS_SECONDS

    os.utime(file, (hour_ago, hour_ago))
    await storage.blobs.put(b"content")
    kept = file.stat().st_mtime
    os.utime(file, (long_ago, long_ago))
    await storage.blobs.put(b"content")

    assert kept == pytest.approx(hour_ago, abs=1)
    [listed] = [blob async for blob in storage.blobs.listed()]
    assert datetime.now(UTC) - listed.stored_at < timedelta(minutes=5)
    assert (listed.sha256, listed.size_bytes) == (digest, 7)


async def test_empty_content_and_content_of_many_megabytes_are_content(storage: Storage) -> None:
    large = os.urandom(1024) * 9 * 1024

    assert await storage.blobs.get(await storage.blobs.put(b"")) == b""
    assert await storage.blobs.get(await storage.blobs.put(large)) == large


async def test_content_that_is_gone_is_named(storage: Storage) -> None:
    digest = await storage.blobs.put(b"content")
    await storage.blobs.remove([digest, bytes_hash(b"never there")])

    with pytest.raises(NotFound, match=f"{digest[:12]}… is gone from "):
        await storage.blobs.get(digest)
    assert await digests(storage.blobs) == set()


async def test_what_a_put_has_made_young_is_not_removed_as_old(storage: Storage) -> None:
    digest = await storage.blobs.put(b"content")
    [file] = storage.files()
    long_ago = time.time() - TWO_DAYS_SECONDS
    os.utime(file, (long_ago, long_ago))
    await storage.blobs.put(b"content")

    await storage.blobs.remove([digest], older_than=REFRESHED_AFTER)

    assert await storage.blobs.get(digest) == b"content"


async def test_damaged_content_is_told_and_never_handed_on(storage: Storage) -> None:
    digest = await storage.blobs.put(b"content")
    [file] = storage.files()
    file.write_bytes(b"Content")

    with pytest.raises(ContentDamaged, match=f"{digest[:12]}… is damaged"):
        await storage.blobs.get(digest)


async def test_a_listing_names_every_blob_and_nothing_else(storage: Storage) -> None:
    stored = {await storage.blobs.put(f"{number}".encode()) for number in range(1100)}
    [any_file, *_] = storage.files()
    any_file.with_name(".put-left-behind").write_bytes(b"")

    assert await digests(storage.blobs) == stored


async def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    digest = bytes_hash(b"content")
    (tmp_path / digest[:2]).write_text("a file where a folder must be", encoding="utf-8")

    with pytest.raises(StorageFull, match="cannot be stored"):
        await FolderBlobs(tmp_path).put(b"content")

    assert Storage(FolderBlobs(tmp_path), tmp_path).files() == [tmp_path / digest[:2]]


async def test_many_are_stored_together_and_each_can_be_read(storage: Storage) -> None:
    contents = [f"{number % 90}".encode() for number in range(100)]

    digests = await storage.blobs.put_all(contents)

    assert digests == [bytes_hash(data) for data in contents]
    assert [await storage.blobs.get(digest) for digest in digests[:90]] == contents[:90]
    assert len(storage.files()) == 90


async def test_of_many_each_file_and_each_folder_is_synced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents, synced, fsync = [f"{number}".encode() for number in range(300)], list[int](), os.fsync

    def counted(descriptor: int) -> None:
        synced.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)

    digests = await FolderBlobs(tmp_path).put_all(contents)

    shelves = 0 if os.name == "nt" else len({digest[:2] for digest in digests}) + 1
    assert len(synced) == 300 + shelves


async def test_of_many_that_cannot_all_be_written_no_half_of_one_is_left_behind(tmp_path: Path) -> None:
    contents = [f"{number}".encode() for number in range(20)]
    last = bytes_hash(contents[-1])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / last[:2]).write_text("a file where a folder must be", encoding="utf-8")

    with pytest.raises(StorageFull, match="cannot be stored"):
        await FolderBlobs(tmp_path / "full").put_all(contents)

    left = [path for path in (tmp_path / "full").rglob("*") if path.is_file()]
    left.remove(tmp_path / "full" / last[:2])
    assert [bytes_hash(path.read_bytes()) for path in left] == [path.name for path in left]


async def test_what_others_keep_in_the_bucket_is_neither_listed_nor_touched(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = opened(s3, tmp_path, monkeypatch, f"s3://{s3.bucket}/mine")
    s3.file_of("mine/readme.txt").write_text("not a blob", encoding="utf-8")

    stored = await mine.put(b"content")

    assert await digests(mine) == {stored}
    assert await digests(opened(s3, tmp_path, monkeypatch, f"s3://{s3.bucket}/other")) == set()


async def test_storage_that_cannot_be_reached_is_told_with_the_setting_to_look_at(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound and never listening: every connection is refused.
        blobs = opened(s3, tmp_path, monkeypatch, f"s3://{s3.bucket}")
        before = await blobs.put(b"before")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        cut_off = open_blobs(f"s3://{s3.bucket}", tmp_path, os.environ)

        for ask in (cut_off.put(b"content"), cut_off.get(before), digests(cut_off)):
            with pytest.raises(Unavailable, match=r"s3://workshop \(CHARGEHAND_STORAGE_URL\) did not answer"):
                await ask

    assert await blobs.get(before) == b"before"


async def test_credentials_that_are_refused_are_told_and_never_shown(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "a-secret-that-is-not-the-servers"
    opened(s3, tmp_path, monkeypatch, f"s3://{s3.bucket}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    blobs = open_blobs(f"s3://{s3.bucket}", tmp_path, os.environ)

    with pytest.raises(Unavailable, match="refuses these credentials; check AWS_ACCESS_KEY_ID") as refused:
        await blobs.put(b"content")

    told = "".join(traceback.format_exception(refused.value)) + caplog.text + repr(blobs)
    assert secret not in told
    assert s3.environment["AWS_ACCESS_KEY_ID"] not in told


async def test_a_bucket_that_does_not_exist_is_told(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = opened(s3, tmp_path, monkeypatch, "s3://no-such-bucket")

    with pytest.raises((NotFound, Unavailable), match="CHARGEHAND_STORAGE_URL"):
        await blobs.put(b"content")


@pytest.mark.parametrize("url", WRONG_ADDRESSES)
def test_an_address_that_is_none_is_refused_without_being_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="CHARGEHAND_STORAGE_URL") as refused:
        open_blobs(url, tmp_path, {})

    assert "secret" not in refused.value.message


def test_the_tests_own_server_verifies_signatures_as_amazon_documents_it() -> None:
    """The example "GET Object" of the S3 reference, "Authenticating Requests: Using the Authorization Header"."""
    keys = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature={signature}"
    )
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "range": "bytes=0-9",
        "x-amz-content-sha256": bytes_hash(b""),
        "x-amz-date": "20130524T000000Z",
        "authorization": authorization,
    }

    assert keys.refusal("GET", "/test.txt", headers, b"") == ""
    assert keys.refusal("GET", "/test.txt", headers, b"x") == "XAmzContentSHA256Mismatch"
    assert keys.refusal("GET", "/test.tx", headers, b"") == "SignatureDoesNotMatch"
    assert keys.refusal("GET", "/test.txt", {**headers, "authorization": ""}, b"") == "AccessDenied"
