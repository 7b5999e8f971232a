"""A backup holds all that a service needs, appears whole or not at all, and is refused when it is not as it was."""

import asyncio
import base64
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chargehand.domain.values import bytes_hash
from chargehand.errors import ChargehandError, Conflict, InvalidInput, NotFound, Unavailable
from chargehand.service import backup
from chargehand.service.backup import Place, restore, save
from chargehand.store.blobs import FolderBlobs
from chargehand.store.copy_sides import side_of
from tests import given
from tests.given import TestClock
from tests.invariants import violations
from tests.store.test_copying import a_store, lead, rows, servers, work

__all__ = ["servers"]
PROGRAM = Path(__file__).with_name("backup_worker.py")
BYTES = b"bytes"


def place(folder: Path, database: str | None = None) -> Place:
    data = folder / "data"
    return Place(
        data_dir=data,
        database=side_of(database or f"sqlite:///{data / 'chargehand.db'}"),
        blobs=FolderBlobs(data / "blobs"),
    )


OWN_KEY = base64.b64encode(bytes(range(32))) + b"\n"


async def an_installation(folder: Path) -> Place:
    """Tasks in every standing, stored content, a workspace of an open task, keys."""
    await a_store(folder, TestClock())
    found = place(folder)
    (found.data_dir / "pepper").write_bytes(b"p" * 32)
    (found.data_dir / "admin.key").write_text("key", encoding="ascii")
    (found.data_dir / "master.key").write_bytes(OWN_KEY)
    await found.blobs.put(b"named by no row")
    with closing(sqlite3.connect(found.data_dir / "chargehand.db")) as connection:
        [(running,)] = connection.execute(
            "SELECT root_id FROM agent_tasks WHERE status = 'running'"
        ).fetchall()[-1:]
    workspace = found.data_dir / "workspaces" / running
    (workspace / "deep").mkdir(parents=True)
    (workspace / "deep" / "notes.txt").write_text("half done", encoding="utf-8")
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def saved(one: Place, target: Path) -> None:
    await save(one, target, lambda progress: None)


async def restored(source: Path, one: Place) -> None:
    await restore(source, one, lambda progress: None)


async def test_what_is_restored_is_what_was_there_and_goes_on(tmp_path: Path) -> None:
    one, two, target = await an_installation(tmp_path / "one"), place(tmp_path / "two"), tmp_path / "saved"

    await saved(one, target)
    await restored(target, two)

    assert rows(two.data_dir / "chargehand.db") == rows(one.data_dir / "chargehand.db")
    assert await two.blobs.get(bytes_hash(BYTES)) == BYTES
    with pytest.raises(NotFound):
        await two.blobs.get(bytes_hash(b"named by no row"))
    notes = [path.relative_to(two.data_dir / "workspaces") for path in two.data_dir.rglob("notes.txt")]
    assert [(one.data_dir / "workspaces" / path).exists() for path in notes] == [True]
    assert (two.data_dir / "pepper").read_bytes() == b"p" * 32
    assert (two.data_dir / "master.key").read_bytes() == OWN_KEY
    if os.name != "nt":
        databases = [folder / "chargehand.db" for folder in (target, two.data_dir)]
        for secret in (
            *databases,
            *(two.data_dir / name for name in ("pepper", "admin.key")),
            target / "keys/pepper",
        ):
            assert (secret, stat.S_IMODE(secret.stat().st_mode)) == (secret, 0o600)
        assert stat.S_IMODE(target.stat().st_mode) == 0o700
    clock = TestClock()
    clock.advance(3700)
    async with given.a_core(tmp_path / "two", playbooks={"work": work, "lead": lead}, clock=clock) as core:
        for row in rows(one.data_dir / "chargehand.db")["agent_tasks"]:
            await given.ended(core, row[0])
    assert violations(two.data_dir / "chargehand.db") == []


async def test_it_is_made_while_tasks_run(tmp_path: Path) -> None:
    async with given.a_core(tmp_path / "one", playbooks={"work": work}) as core:

        async def submit() -> None:
            for _ in range(40):
                await given.ended(core, await given.a_task(core, "work"))

        await asyncio.gather(submit(), saved(place(tmp_path / "one"), tmp_path / "saved"))

    assert violations(tmp_path / "saved" / "chargehand.db") == []
    assert backup.check(tmp_path / "saved")


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
async def test_of_a_server_and_back_to_one(tmp_path: Path, servers: dict[str, str], kind: str) -> None:
    one = await an_installation(tmp_path / "one")
    await saved(one, tmp_path / "first")
    await restored(tmp_path / "first", place(tmp_path / "two", servers[kind]))

    await saved(place(tmp_path / "two", servers[kind]), tmp_path / "second")
    await restored(tmp_path / "second", place(tmp_path / "three"))

    assert rows(tmp_path / "three" / "data" / "chargehand.db") == rows(one.data_dir / "chargehand.db")
    with pytest.raises(Conflict, match="not empty"):
        await restored(tmp_path / "second", place(tmp_path / "four", servers[kind]))
    assert not (tmp_path / "four" / "data").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(
    "point", ["backup.rows_saved", "backup.blob_saved", "backup.copied", "backup.checked"]
)
async def test_a_killed_backup_leaves_no_target(tmp_path: Path, point: str) -> None:
    one, target = await an_installation(tmp_path / "one"), tmp_path / "saved"

    assert await killed(point, "save", one, target) == -signal.SIGKILL

    assert not target.exists()
    await saved(one, target)
    assert names(tmp_path) == ["one", "saved"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
async def test_a_killed_restore_leaves_no_data_folder(tmp_path: Path) -> None:
    one, two, target = await an_installation(tmp_path / "one"), place(tmp_path / "two"), tmp_path / "saved"
    await saved(one, target)

    assert await killed("restore.copied", "restore", two, target) == -signal.SIGKILL

    assert not two.data_dir.exists()
    await restored(target, two)
    assert rows(two.data_dir / "chargehand.db") == rows(one.data_dir / "chargehand.db")


async def killed(point: str, what: str, one: Place, folder: Path) -> int:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(PROGRAM), what, str(one.data_dir), str(folder)],
        env={**os.environ, "CHARGEHAND_FAIL_POINT": point},
        check=False,
        capture_output=True,
    )
    return done.returncode


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def newer(target: Path) -> None:
    with closing(sqlite3.connect(target / "chargehand.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    resign(target, lambda name: name)


def resign(target: Path, renamed: Callable[[str], str]) -> None:
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    for entry in manifest["files"]:
        path = target / entry[0]
        entry[1] = bytes_hash(path.read_bytes())
        entry[0] = renamed(entry[0])
    (target / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def blob(target: Path) -> Path:
    return target / "blobs" / bytes_hash(BYTES)[:2] / bytes_hash(BYTES)


HARMS: list[tuple[Callable[[Path], object], str]] = [
    (lambda target: flip(blob(target)), "damaged: blobs"),
    (lambda target: blob(target).unlink(), "damaged: blobs"),
    (lambda target: flip(target / "chargehand.db"), "damaged: chargehand.db"),
    (newer, "newer"),
    (lambda target: (target / "manifest.json").unlink(), "holds no backup"),
    (lambda target: (target / "manifest.json").write_text('{"files": [], "format": 9}'), "format 9"),
    (lambda target: (target / "manifest.json").write_text('{"files": [], "format": 1}'), "is not in it"),
    (lambda target: resign(target, lambda name: f"../{name}"), "no file of a backup"),
]


@pytest.mark.parametrize(("harm", "said"), HARMS)
async def test_a_backup_that_is_not_as_it_was_is_refused(
    tmp_path: Path, harm: Callable[[Path], object], said: str
) -> None:
    one, two, target = await an_installation(tmp_path / "one"), place(tmp_path / "two"), tmp_path / "saved"
    await saved(one, target)

    harm(target)

    with pytest.raises((InvalidInput, Unavailable), match=said):
        await restored(target, two)
    assert not two.data_dir.exists()


async def test_nothing_is_written_over(tmp_path: Path) -> None:
    one, target = await an_installation(tmp_path / "one"), tmp_path / "saved"
    await saved(one, target)

    with pytest.raises(Conflict, match="is there already"):
        await saved(one, target)
    with pytest.raises(Conflict, match="not empty"):
        await restored(target, one)


async def test_content_that_is_damaged_or_gone_is_no_backup(tmp_path: Path) -> None:
    one = await an_installation(tmp_path / "one")
    stored = one.data_dir / "blobs" / bytes_hash(BYTES)[:2] / bytes_hash(BYTES)

    flip(stored)
    with pytest.raises(ChargehandError, match="damaged"):
        await saved(one, tmp_path / "saved")
    stored.unlink()
    with pytest.raises(NotFound):
        await saved(one, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
