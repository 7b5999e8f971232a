"""Keys: made, verified, revoked, expired; and what a start does with what it finds in the data folder."""

import hmac
import os
import sqlite3
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from chargehand.clock import Clock, SystemClock
from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.domain.audit import AuditEntry
from chargehand.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    StorageFull,
    TenantSuspended,
    Unauthorized,
    Unavailable,
)
from chargehand.service.access import CACHE_SECONDS, Access
from chargehand.service.key_format import with_checksum
from chargehand.service.keys import Keys
from chargehand.store import audit
from chargehand.store.bus import KEYS, Bus
from chargehand.store.secret_files import owner_only_command, read_secret, sid_in, write_secret
from chargehand.store.sqlite import SqliteDatabase
from tests.api.service import with_database
from tests.given import TestClock

# They open the file themselves, whatever other services would keep their rows in.
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

OWNER = Principal(id="owner", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.ADMIN, Scope.ADMIN_SERVICE}))
STRANGER = Principal(id="stranger", tenant="another", scopes=frozenset({Scope.ADMIN}))
READER = Principal(id="reader", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.TASKS_READ}))
READ = frozenset({Scope.TASKS_READ})


@asynccontextmanager
async def opened(folder: Path, clock: Clock) -> AsyncGenerator[Access, None]:
    """Keys on a data folder, as a start of the service finds them."""
    with_database(folder / "chargehand.db")
    db = SqliteDatabase(folder / "chargehand.db", clock)
    try:
        found = Access(db, clock, folder / "pepper")
        yield found
        await found.close()
    finally:
        await db.stop()


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def access(tmp_path: Path, clock: TestClock) -> AsyncGenerator[Access, None]:
    async with opened(tmp_path, clock) as found:
        await found.bootstrap(tmp_path / "admin.key")
        yield found


def admin_key(folder: Path) -> str:
    return (folder / "admin.key").read_text(encoding="ascii").strip()


async def entries_of(access: Access, tenant: str) -> list[AuditEntry]:
    async with access.db.read() as tx:
        return list(await audit.behind(tx, tenant, 0, limit=50))


def stored_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "admin.key"}


async def test_a_new_key_names_its_holder_tenant_and_scopes(access: Access) -> None:
    key, record = await Keys(access).issue(STRANGER, "reader", READ)

    assert await access.verify(key) == Principal(id=record.id, tenant="another", scopes=READ)
    assert (len(key), key[:9], key[-4:]) == (55, "chg_live_", record.last_four)


async def test_the_key_itself_is_nowhere_in_the_data_folder_but_in_the_administrators_file(
    access: Access, tmp_path: Path
) -> None:
    key, _ = await Keys(access).issue(OWNER, "reader", READ)
    secrets = [key, key[17:49], admin_key(tmp_path)]

    stored = stored_files(tmp_path)

    assert {"chargehand.db", "pepper"} <= stored.keys()
    assert not [name for name, content in stored.items() for secret in secrets if secret.encode() in content]


async def test_a_key_with_one_character_changed_is_refused_without_a_query(
    access: Access, tmp_path: Path
) -> None:
    key = admin_key(tmp_path)
    (tmp_path / "chargehand.db").rename(tmp_path / "away.db")

    for place in range(len("chg_live_"), len(key)):
        other = "x" if key[place] != "x" else "y"
        with pytest.raises(Unauthorized, match="not a key of this service"):
            await access.verify(key[:place] + other + key[place + 1 :])


@pytest.mark.parametrize(
    "token", ["", "chg_live_", "chg_live_" + "0" * 46, "\u0661" * 55, "chg_live_" + "A" * 46 + "\n"]
)
async def test_what_is_no_key_is_refused(access: Access, token: str) -> None:
    with pytest.raises(Unauthorized):
        await access.verify(token)


async def test_a_well_formed_key_of_another_service_is_refused(access: Access, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with opened(elsewhere, SystemClock()) as other:
        await other.bootstrap(elsewhere / "admin.key")

    with pytest.raises(Unauthorized, match="not issued by this service"):
        await access.verify(admin_key(elsewhere))


async def test_a_key_of_a_known_id_with_another_secret_is_refused(tmp_path: Path) -> None:
    # With the same clock and so the same ids, but another pepper and so another hash.
    clock = TestClock()
    async with opened(tmp_path, clock) as access:
        await access.bootstrap(tmp_path / "admin.key")
    (tmp_path / "pepper").write_bytes(b"p" * 32)

    async with opened(tmp_path, clock) as access:
        with pytest.raises(Unauthorized, match="not issued by this service"):
            await access.verify(admin_key(tmp_path))


async def test_a_key_of_an_unknown_id_is_refused_whatever_it_hashes_to(
    access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = admin_key(tmp_path)
    with closing(sqlite3.connect(tmp_path / "chargehand.db", isolation_level=None)) as other:
        other.execute("DELETE FROM api_keys")

    def of_zeros(*_: object) -> bytes:
        return bytes(32)  # What an id that is not there is compared with.

    monkeypatch.setattr(hmac, "digest", of_zeros)

    with pytest.raises(Unauthorized, match="not issued by this service"):
        await access.verify(key)


async def test_no_more_keys_are_known_at_once_than_is_said(
    access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargehand.service.access.MOST_CACHED", 1)
    first, second = [(await Keys(access).issue(OWNER, name, READ))[0] for name in ("one", "two")]
    await access.verify(first)
    await access.verify(second)
    with closing(sqlite3.connect(tmp_path / "chargehand.db", isolation_level=None)) as other:
        other.execute("DELETE FROM api_keys")

    assert (await access.verify(second)).scopes == READ
    with pytest.raises(Unauthorized):
        await access.verify(first)


async def test_a_tenant_that_is_gone_or_suspended_is_refused_within_five_seconds(
    access: Access, tmp_path: Path, clock: TestClock
) -> None:
    with closing(sqlite3.connect(tmp_path / "chargehand.db", isolation_level=None)) as other:
        await access.require_active(DEFAULT_TENANT)
        other.execute("UPDATE tenants SET suspended_at = 1")

        clock.advance(CACHE_SECONDS - 0.5)
        await access.require_active(DEFAULT_TENANT)
        clock.advance(0.5)
        with pytest.raises(TenantSuspended, match="suspended since"):
            await access.require_active(DEFAULT_TENANT)

        other.execute("DELETE FROM tenants")
        with pytest.raises(Unauthorized, match="no tenant 'default'"):
            await access.require_active(DEFAULT_TENANT)


async def test_a_revoked_key_is_refused_at_once_and_stays_listed(access: Access) -> None:
    key, record = await Keys(access).issue(OWNER, "reader", READ)
    await access.verify(key)

    await Keys(access).revoke(OWNER, record.id)

    with pytest.raises(Unauthorized, match="revoked"):
        await access.verify(key)
    assert [one.revoked_at is None for one in await Keys(access).list(OWNER)] == [True, False]


async def test_a_key_revoked_by_another_process_is_refused_within_five_seconds(
    tmp_path: Path, clock: TestClock, access: Access
) -> None:
    key, record = await Keys(access).issue(OWNER, "reader", READ)
    await access.verify(key)
    async with opened(tmp_path, clock) as other:
        await Keys(other).revoke(OWNER, record.id)

    clock.advance(CACHE_SECONDS)

    with pytest.raises(Unauthorized, match="revoked"):
        await access.verify(key)


async def test_a_key_ends_at_its_time_also_when_it_was_verified_a_moment_ago(
    access: Access, clock: TestClock
) -> None:
    key, _ = await Keys(access).issue(OWNER, "guest", READ, clock.now() + timedelta(seconds=2))
    await access.verify(key)

    clock.advance(2)

    with pytest.raises(Unauthorized, match="expired at 2026-07-01T12:00:02"):
        await access.verify(key)


async def test_a_verified_key_is_not_looked_up_again_for_a_while(
    access: Access, tmp_path: Path, clock: TestClock
) -> None:
    key = admin_key(tmp_path)
    guest, _ = await Keys(access).issue(OWNER, "guest", READ, clock.now() + timedelta(seconds=2))
    await access.verify(key)
    await access.verify(guest)
    with closing(sqlite3.connect(tmp_path / "chargehand.db", isolation_level=None)) as other:
        other.execute("DELETE FROM api_keys")

    assert (await access.verify(key)).has(Scope.ADMIN)
    assert (await access.verify(guest)).scopes == READ


async def test_only_an_administrator_makes_lists_and_revokes_keys(access: Access) -> None:
    _, record = await Keys(access).issue(OWNER, "reader", READ)

    with pytest.raises(Forbidden):
        await Keys(access).issue(READER, "more", READ)
    with pytest.raises(Forbidden):
        await Keys(access).list(READER)
    with pytest.raises(Forbidden):
        await Keys(access).revoke(READER, record.id)


async def test_another_tenants_keys_are_neither_seen_nor_revoked(access: Access) -> None:
    key, record = await Keys(access).issue(OWNER, "reader", READ)

    with pytest.raises(NotFound):
        await Keys(access).revoke(STRANGER, record.id)

    assert await Keys(access).list(STRANGER) == []
    assert (await access.verify(key)).id == record.id


@pytest.mark.parametrize("name", ["", "a\nb", "\x00", "a" * 129])
async def test_a_name_that_is_none_is_refused(access: Access, name: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 128"):
        await Keys(access).issue(OWNER, name, READ)


async def test_a_name_is_given_once_in_a_tenant(access: Access) -> None:
    await Keys(access).issue(OWNER, "reader", READ)
    await Keys(access).issue(STRANGER, "reader", READ)

    with pytest.raises(Conflict, match="'reader'"):
        await Keys(access).issue(OWNER, "reader", READ)


async def test_a_key_that_would_have_ended_already_is_refused(access: Access, clock: TestClock) -> None:
    with pytest.raises(InvalidInput, match="in the past"):
        await Keys(access).issue(OWNER, "late", READ, clock.now())


async def test_the_first_start_makes_a_key_and_the_second_keeps_it(tmp_path: Path) -> None:
    async with opened(tmp_path, SystemClock()) as first:
        made = await first.bootstrap(tmp_path / "admin.key")
    key = admin_key(tmp_path)
    async with opened(tmp_path, SystemClock()) as second:
        made_again = await second.bootstrap(tmp_path / "admin.key")
        holder = await second.verify(key)

    assert (made, made_again) == (True, False)
    assert admin_key(tmp_path) == key
    assert holder.scopes == {Scope.ADMIN, Scope.ADMIN_SERVICE}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes; there, icacls restricts the file")
async def test_the_secret_files_can_be_read_by_their_owner_only(access: Access, tmp_path: Path) -> None:
    await Keys(access).list(OWNER)

    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("admin.key", "pepper")}

    assert modes == {"admin.key": 0o600, "pepper": 0o600}


async def test_deleting_the_administrators_file_gives_a_new_key_and_ends_the_old(tmp_path: Path) -> None:
    async with opened(tmp_path, SystemClock()) as access:
        await access.bootstrap(tmp_path / "admin.key")
    old = admin_key(tmp_path)
    (tmp_path / "admin.key").unlink()

    async with opened(tmp_path, SystemClock()) as access:
        made = await access.bootstrap(tmp_path / "admin.key")
        with pytest.raises(Unauthorized):
            await access.verify(old)
        await access.verify(admin_key(tmp_path))

    assert made


async def test_the_administrators_key_is_made_and_ended_with_entries_in_the_audit(tmp_path: Path) -> None:
    heard: list[str] = []
    async with opened(tmp_path, TestClock()) as access:
        access.bus.hear(KEYS, heard.append)
        await access.bootstrap(tmp_path / "admin.key")
        first = (await access.verify(admin_key(tmp_path))).id
        (tmp_path / "admin.key").unlink()
        await access.bootstrap(tmp_path / "admin.key")
        second = (await access.verify(admin_key(tmp_path))).id
        entries = await entries_of(access, DEFAULT_TENANT)

    assert [(one.action, one.object_id) for one in entries] == [
        ("key.issued", first),
        ("key.revoked", first),
        ("key.issued", second),
    ]
    assert {(one.actor_id, one.actor_kind) for one in entries} == {("local", "local")}
    assert heard == [first]


async def test_keys_that_end_with_the_pepper_are_in_their_tenants_audits(tmp_path: Path) -> None:
    async with opened(tmp_path, TestClock()) as access:
        await access.bootstrap(tmp_path / "admin.key")
        _, live = await Keys(access).issue(STRANGER, "live", READ)
        _, ended = await Keys(access).issue(STRANGER, "ended", READ)
        await Keys(access).revoke(STRANGER, ended.id)
    for name in ("pepper", "admin.key"):
        (tmp_path / name).unlink()

    async with opened(tmp_path, TestClock()) as access:
        await access.bootstrap(tmp_path / "admin.key")
        entries = await entries_of(access, STRANGER.tenant)

    ends = [(one.actor_kind, one.object_id) for one in entries if one.action == "key.revoked"]
    assert ends == [("key", ended.id), ("local", live.id)]


async def test_a_key_file_of_another_data_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("chg_live_" + "A" * 46 + "\n", encoding="ascii")

    async with opened(tmp_path, SystemClock()) as access:
        assert await access.bootstrap(tmp_path / "admin.key")
        await access.verify(admin_key(tmp_path))


async def test_a_good_key_of_another_service_is_replaced_too(tmp_path: Path) -> None:
    clock = TestClock()
    async with opened(tmp_path, clock) as access:
        await access.bootstrap(tmp_path / "admin.key")
    old, pepper = admin_key(tmp_path), (tmp_path / "pepper").read_bytes()

    # Its id is known, its secret is not: with the same clock the ids are the same.
    (tmp_path / "pepper").write_bytes(b"p" * 32)
    async with opened(tmp_path, clock) as access:
        assert await access.bootstrap(tmp_path / "admin.key")
        # Its id is not known.
        (tmp_path / "pepper").write_bytes(pepper)
        (tmp_path / "admin.key").write_text(with_checksum("chg_live_" + "A" * 40) + "\n", encoding="ascii")
    async with opened(tmp_path, clock) as access:
        assert await access.bootstrap(tmp_path / "admin.key")

    assert old != admin_key(tmp_path)


async def test_a_revoked_administrators_key_is_not_replaced_by_a_start(tmp_path: Path) -> None:
    async with opened(tmp_path, SystemClock()) as access:
        await access.bootstrap(tmp_path / "admin.key")
        (record,) = await Keys(access).list(OWNER)
        await Keys(access).revoke(OWNER, record.id)
    key = admin_key(tmp_path)

    async with opened(tmp_path, SystemClock()) as access:
        made = await access.bootstrap(tmp_path / "admin.key")

    assert not made
    assert admin_key(tmp_path) == key


async def test_without_the_pepper_a_start_is_refused_with_the_way_out(tmp_path: Path) -> None:
    async with opened(tmp_path, SystemClock()) as access:
        await access.bootstrap(tmp_path / "admin.key")
    (tmp_path / "pepper").unlink()

    async with opened(tmp_path, SystemClock()) as access:
        with pytest.raises(Unavailable, match=r"restore it, or delete admin\.key"):
            await access.bootstrap(tmp_path / "admin.key")
        (tmp_path / "admin.key").unlink()
        assert await access.bootstrap(tmp_path / "admin.key")
        await access.verify(admin_key(tmp_path))


async def test_a_pepper_that_was_cut_short_is_told(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_bytes(b"short")

    async with opened(tmp_path, SystemClock()) as access:
        with pytest.raises(Unavailable, match="5 bytes instead of 32"):
            await access.bootstrap(tmp_path / "admin.key")


def test_a_secret_file_that_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()

    with pytest.raises(Unavailable, match="folder"):
        read_secret(tmp_path / "folder")
    with pytest.raises(Unavailable, match=r"admin\.key"):
        write_secret(tmp_path / "file" / "admin.key", b"x")
    with pytest.raises(Unavailable, match="folder"):
        write_secret(tmp_path / "folder", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_leaves_the_old_secret_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_secret(tmp_path / "pepper", b"old")
    monkeypatch.setattr(os, "fdopen", partial(_on_a_full_disk, os.fdopen))

    with pytest.raises(StorageFull, match="disk is full"):
        write_secret(tmp_path / "pepper", b"new")

    assert read_secret(tmp_path / "pepper") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["pepper"]


def _on_a_full_disk(really: Callable[[int, str], IO[bytes]], descriptor: int, mode: str) -> IO[bytes]:
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, descriptor)
    os.close(full)
    return really(descriptor, mode)


def test_the_windows_command_leaves_the_rights_of_the_owner_and_of_administrators_only() -> None:
    whoami = '"nt service\\chargehand","S-1-5-80-1-22-333"\r\n'

    command = owner_only_command(Path("admin.key"), sid_in(whoami))

    rights = ["*S-1-5-80-1-22-333:(F)", "*S-1-5-32-544:(F)"]
    assert command == ["icacls", "admin.key", "/inheritance:r", "/grant:r", *rights]


@pytest.mark.parametrize("whoami", ["", "ERROR: there is no such thing", '"S-1-5-1","S-1-5-2"'])
def test_a_secret_is_not_written_for_an_owner_that_is_not_known(whoami: str) -> None:
    with pytest.raises(PermissionError, match="whoami"):
        sid_in(whoami)


async def test_a_revocation_elsewhere_counts_at_once_where_its_signal_comes(
    tmp_path: Path, clock: TestClock, access: Access
) -> None:
    bus = Bus()
    db = SqliteDatabase(tmp_path / "chargehand.db", clock)
    other = Access(db, clock, tmp_path / "pepper", bus)
    key, record = await Keys(access).issue(OWNER, "ci", READ)
    await other.verify(key)
    await Keys(access).revoke(OWNER, record.id)
    assert (await other.verify(key)).id == record.id

    bus.publish(KEYS, record.id)

    with pytest.raises(Unauthorized, match="revoked"):
        await other.verify(key)
    await db.stop()


async def test_a_revocation_is_told_to_other_processes(
    tmp_path: Path, clock: TestClock, access: Access
) -> None:
    bus, told = Bus(), list[str]()
    bus.hear(KEYS, told.append)
    db = SqliteDatabase(tmp_path / "chargehand.db", clock)
    _, record = await Keys(access).issue(OWNER, "ci", READ)
    await Keys(Access(db, clock, tmp_path / "pepper", bus)).revoke(OWNER, record.id)
    await db.stop()

    assert told == [record.id]
