"""Envelope encryption: what is sealed opens in its own place only, by keys that are in no row."""

import base64
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from chargehand.clock import SystemClock
from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.errors import ContentDamaged, Forbidden, MasterKeyMissing, Unavailable
from chargehand.service.master_keys import MasterKeySources, keys_of
from chargehand.service.vault import Vault
from chargehand.store.database import Database
from chargehand.store.opening import open_database
from chargehand.store.server_url import ServerLimits
from tests.api.service import with_database
from tests.databases import VARIABLE, outside

OWNER = Principal(id="owner", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.ADMIN_SERVICE}))
ADMIN = Principal(id="admin", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.ADMIN}))
STRANGER = Principal(id="stranger", tenant="another", scopes=frozenset({Scope.ADMIN}))
VALUE = b"canary-7f3a91"
LIMITS = ServerLimits(connections=4)


def a_key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 31 + b"!").decode()


KEY, OTHER_KEY = a_key(1), a_key(2)


@asynccontextmanager
async def opened(folder: Path, *keys: str, **sources: Any) -> AsyncGenerator[tuple[Vault, Database], None]:
    """A vault as a start of the service finds it."""
    file = folder / "chargehand.db"
    if not file.exists():
        with_database(file)
    async with open_database(file, os.environ.get(VARIABLE), LIMITS, SystemClock()) as found:
        vault = Vault(
            found.db,
            found.clock,
            MasterKeySources(environment=",".join(keys) or None, own_file=folder / "master.key", **sources),
            is_shared=found.is_shared,
        )
        await vault.check()
        yield vault, found.db


async def seal(
    vault: Vault, db: Database, tenant: str = "default", value: bytes = VALUE, **place: Any
) -> bytes:
    async with db.write() as tx:
        return await vault.seal(
            tx, tenant, place.pop("kind", "secret"), place.pop("id", "token"), value, **place
        )


async def open_(vault: Vault, db: Database, sealed: bytes, tenant: str = "default", **place: Any) -> bytes:
    async with db.read() as tx:
        return await vault.open(
            tx, tenant, place.pop("kind", "secret"), place.pop("id", "token"), sealed, **place
        )


async def test_what_was_sealed_opens_again_also_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path, KEY) as (vault, db):
        first, second = await seal(vault, db), await seal(vault, db)

        assert await open_(vault, db, first) == VALUE

    assert first != second
    assert VALUE not in first
    async with opened(tmp_path, KEY) as (vault, db):
        assert await open_(vault, db, first) == VALUE


async def test_a_sealed_value_opens_in_its_own_place_only(tmp_path: Path) -> None:
    async with opened(tmp_path, KEY) as (vault, db):
        sealed = await seal(vault, db, version=2)
        await seal(vault, db, "another")

        places: list[dict[str, Any]] = [
            {"version": 2, "kind": "webhook"},
            {"version": 2, "id": "token2"},
            {"version": 1},
            {"version": 2, "tenant": "another"},
        ]
        for place in places:
            with pytest.raises(ContentDamaged):
                await open_(vault, db, sealed, **place)

        assert await open_(vault, db, sealed, version=2) == VALUE


async def test_a_changed_byte_anywhere_is_noticed(tmp_path: Path) -> None:
    async with opened(tmp_path, KEY) as (vault, db):
        sealed = await seal(vault, db)

        for place in range(len(sealed)):
            changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
            with pytest.raises(ContentDamaged):
                await open_(vault, db, changed)
        for length in range(len(sealed)):
            with pytest.raises(ContentDamaged):
                await open_(vault, db, sealed[:length])


async def test_neither_the_value_nor_a_key_that_opens_it_is_in_the_rows(tmp_path: Path) -> None:
    async with opened(tmp_path, KEY) as (vault, db):
        await seal(vault, db)

    with outside(tmp_path / "chargehand.db") as rows:
        [(wrapped, master)] = rows.execute("SELECT wrapped, master_key_id FROM data_keys").fetchall()
    assert len(wrapped) == 12 + 32 + 16
    assert base64.b64decode(KEY) not in bytes(wrapped)
    assert master == keys_of(KEY, "")[0].id


async def test_a_transaction_that_fails_leaves_no_key_that_others_would_seal_with(tmp_path: Path) -> None:
    async with opened(tmp_path, KEY) as (vault, db):
        with suppress(ZeroDivisionError):
            async with db.write() as tx:
                await vault.seal(tx, "default", "secret", "token", VALUE)
                raise ZeroDivisionError

        sealed = await seal(vault, db)

        assert await open_(vault, db, sealed) == VALUE


async def test_a_new_key_before_the_old_seals_and_rewrap_frees_the_old(tmp_path: Path) -> None:
    async with opened(tmp_path, OTHER_KEY) as (vault, db):
        old = await seal(vault, db)
        await seal(vault, db, "another")
    async with opened(tmp_path, KEY, OTHER_KEY) as (vault, db):
        assert await open_(vault, db, old) == VALUE

        done = await vault.rewrap(OWNER)

        assert done.data_keys == 2
        assert (await vault.rewrap(OWNER)).data_keys == 0
        for administrator in (ADMIN, STRANGER):
            with pytest.raises(Forbidden, match="admin:service"):
                await vault.rewrap(administrator)
    async with opened(tmp_path, KEY) as (vault, db):
        assert await open_(vault, db, old) == VALUE


async def test_a_start_without_the_key_that_rows_need_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, KEY) as (vault, db):
        await seal(vault, db)

    for keys in ((), (OTHER_KEY,)):
        with pytest.raises(MasterKeyMissing, match=r"need the master key \w{16}.*CHARGEHAND_MASTER_KEY_FILE"):
            async with opened(tmp_path, *keys):
                pass

    assert not (tmp_path / "master.key").exists()


async def test_a_server_that_several_hosts_share_needs_a_key_that_the_operator_names(
    tmp_path: Path, database: str
) -> None:
    async with opened(tmp_path) as (vault, db):
        if database == "sqlite":
            await seal(vault, db)
            return

        with pytest.raises(MasterKeyMissing, match="CHARGEHAND_MASTER_KEY_FILE, CHARGEHAND_MASTER_KEY or"):
            await seal(vault, db)

    assert not (tmp_path / "master.key").exists()


async def test_nothing_is_sealed_before_the_keys_were_checked(tmp_path: Path) -> None:
    async with opened(tmp_path, KEY) as (_, db):
        vault = Vault(db, SystemClock(), MasterKeySources(own_file=tmp_path / "master.key"), is_shared=False)

        with pytest.raises(Unavailable, match="call check first"):
            await seal(vault, db)
