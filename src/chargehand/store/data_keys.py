"""Tenants' data keys as rows, each wrapped by a master key."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from chargehand.store.database import Tx
from chargehand.store.secret_tables import DataKey


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A data key as it is kept; without the master key of that id it says nothing."""

    id: str
    tenant: str
    master_key_id: str
    wrapped: bytes = field(repr=False)


_KEYS = select(DataKey.__table__)


async def newest(tx: Tx, tenant: str) -> WrappedKey | None:
    """The key that the tenant's values are sealed with now."""
    statement = (
        _KEYS.where(DataKey.tenant == tenant).order_by(DataKey.created_at.desc(), DataKey.id.desc()).limit(1)
    )
    found = (await tx.connection.execute(statement)).first()
    return None if found is None else _as_key(found)


async def get(tx: Tx, tenant: str, key_id: str) -> WrappedKey | None:
    """The key of this id, when it is this tenant's."""
    statement = _KEYS.where(DataKey.tenant == tenant, DataKey.id == key_id)
    found = (await tx.connection.execute(statement)).first()
    return None if found is None else _as_key(found)


async def add(tx: Tx, key: WrappedKey) -> None:
    """Store a new key."""
    values = {
        "id": key.id,
        "tenant": key.tenant,
        "master_key_id": key.master_key_id,
        "wrapped": key.wrapped,
        "created_at": tx.now,
    }
    await tx.connection.execute(insert(DataKey).values(values))


async def one_of_each_master_key(tx: Tx) -> list[WrappedKey]:
    """For each master key that any row depends on, one of the rows."""
    firsts = select(func.min(DataKey.id)).group_by(DataKey.master_key_id)
    statement = _KEYS.where(DataKey.id.in_(firsts))
    return [_as_key(row) for row in await tx.connection.execute(statement)]


async def wrapped_otherwise(tx: Tx, master_key_id: str, *, after: str, limit: int) -> Sequence[WrappedKey]:
    """Keys, of all tenants, that another master key than this one wraps; by id, beginning behind `after`."""
    statement = (
        _KEYS.where(DataKey.master_key_id != master_key_id, DataKey.id > after)
        .order_by(DataKey.id)
        .limit(limit)
        .with_for_update()
    )
    return [_as_key(row) for row in await tx.connection.execute(statement)]


async def rewrap(tx: Tx, keys: Collection[WrappedKey]) -> None:
    """Put these in the place of what is stored under their ids."""
    for key in keys:
        await tx.connection.execute(
            update(DataKey)
            .where(DataKey.id == key.id, DataKey.tenant == key.tenant)
            .values(master_key_id=key.master_key_id, wrapped=key.wrapped)
        )


def _as_key(row: Row[Any]) -> WrappedKey:
    return WrappedKey(
        id=row.id, tenant=row.tenant, master_key_id=row.master_key_id, wrapped=bytes(row.wrapped)
    )
