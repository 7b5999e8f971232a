"""Deliverables in a folder: whole, as listed, and nowhere else."""

import hashlib
import io
import os
import stat
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chargehand.cli.unpacking import NotAsDelivered, check_target, unpack
from chargehand.errors import ChargehandError, InvalidInput, PathRefused
from chargehand.wire.rest import DeliverableBody, FileBody

CONTENT = b"content"


def listed(*paths: str, content: bytes = CONTENT) -> list[DeliverableBody]:
    digest = hashlib.sha256(content).hexdigest()
    files = [FileBody(path=path, sha256=digest, size_bytes=len(content)) for path in paths]
    return [
        DeliverableBody(
            task_id="t", name="d", path=".", is_folder=True, sha256="0", size_bytes=0, files=files, evidence=[],
            stored_at=datetime(2026, 7, 1, tzinfo=UTC),
        )
    ]  # fmt: skip


def packed(*names: str, content: bytes = CONTENT, mode: int = 0o644) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    buffer.seek(0)
    return buffer


def test_files_are_written_below_the_folder(tmp_path: Path) -> None:
    unpack(packed("a.txt", "b/c.txt"), tmp_path / "out", listed("a.txt", "b/c.txt"))

    assert (tmp_path / "out" / "a.txt").read_bytes() == CONTENT
    assert (tmp_path / "out" / "b" / "c.txt").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/etc/evil",
        "C:\\evil",
        "..\\evil",
        "\\\\host\\evil",
        "con",
        "a/nul.txt",
        "x:y",
        "",
    ],
)
def test_a_name_that_leads_outside_or_means_a_device_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "deep").mkdir()

    with pytest.raises(ChargehandError):
        unpack(packed(name), tmp_path / "deep" / "out", listed(name))

    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert found <= {"deep", "deep/out"}


def test_a_link_in_the_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathRefused, match="is no plain file"):
        unpack(packed("link", mode=stat.S_IFLNK | 0o777), tmp_path / "out", listed("link"))


def test_names_that_some_disks_take_for_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PathRefused, match="stands for two files"):
        unpack(packed("Read.me", "read.ME"), tmp_path / "out", listed("Read.me", "read.ME"))


def test_a_file_that_the_service_does_not_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAsDelivered, match="came altered over the wire"):
        unpack(packed("a.txt", content=b"other!!"), tmp_path / "out", listed("a.txt"))


def test_an_archive_that_swells_is_stopped_at_the_listed_size(tmp_path: Path) -> None:
    with pytest.raises(NotAsDelivered):
        unpack(packed("a.txt", content=b"0" * 50_000_000), tmp_path / "out", listed("a.txt"))

    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= 1024 * 1024


def test_an_archive_that_lacks_a_listed_file_or_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAsDelivered, match="lists 2 files and sent 1"):
        unpack(packed("a.txt"), tmp_path / "one", listed("a.txt", "b.txt"))
    with pytest.raises(NotAsDelivered, match="cannot be read"):
        unpack(io.BytesIO(b"PK nonsense"), tmp_path / "two", listed("a.txt"))


@pytest.mark.skipif(os.name != "posix", reason="Windows has no executable bit")
def test_a_program_stays_one(tmp_path: Path) -> None:
    unpack(packed("run.sh", mode=0o755), tmp_path / "out", listed("run.sh"))

    assert os.access(tmp_path / "out" / "run.sh", os.X_OK)


def test_a_target_that_is_a_file_or_not_empty_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")

    with pytest.raises(InvalidInput, match="is a file; --out names a folder"):
        check_target(tmp_path / "file", force=True)
    with pytest.raises(InvalidInput, match="is not empty; name another with --out, or write over its files"):
        check_target(tmp_path, force=False)
    check_target(tmp_path, force=True)
    check_target(tmp_path / "new" / "deeper", force=False)
