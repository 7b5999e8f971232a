"""Statements on keys name the tenant, whatever their caller has looked at before."""

from datetime import UTC, datetime
from pathlib import Path

from chargehand.clock import SystemClock
from chargehand.domain.access import Scope
from chargehand.store import access
from chargehand.store.access import KeyRecord
from chargehand.store.sqlite import SqliteDatabase
from tests.api.service import with_database


def key(key_id: str, tenant: str) -> KeyRecord:
    return KeyRecord(
        id=key_id,
        tenant=tenant,
        name="admin",
        key_hash=bytes(32),
        last_four="abcd",
        scopes=frozenset({Scope.ADMIN}),
        created_at=datetime(2026, 7, 1, tzinfo=UTC),
        expires_at=None,
        revoked_at=None,
    )


async def test_another_tenants_key_of_the_same_name_is_neither_ended_nor_forgotten(tmp_path: Path) -> None:
    with_database(tmp_path / "chargehand.db")
    db = SqliteDatabase(tmp_path / "chargehand.db", SystemClock())
    try:
        async with db.write() as tx:
            await access.insert_key(tx, key("mine0000", "default"))
            await access.insert_key(tx, key("theirs00", "theirs"))
            assert await access.count_live(tx, "default") == 1
            await access.revoke(tx, "default", "theirs00")
            await access.retire(tx, "default", "theirs00", name="x", expires_at=tx.now)
            await access.forget(tx, "default", "admin", retired="admin~")
        async with db.read() as tx:
            theirs, mine = await access.find(tx, "theirs00"), await access.find(tx, "mine0000")
    finally:
        await db.stop()

    assert mine is None
    assert theirs is not None
    assert (theirs.name, theirs.expires_at, theirs.revoked_at) == ("admin", None, None)
