"""API keys as rows; only a keyed hash of the key itself is kept."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from chargehand.domain.access import Scope
from chargehand.store.database import Tx
from chargehand.store.tables import ApiKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is kept of a key."""

    id: str
    tenant: str
    name: str
    key_hash: bytes = field(repr=False)
    last_four: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


async def insert_key(tx: Tx, record: KeyRecord) -> None:
    """Store a key; a name that its tenant uses already is the caller's to exclude."""
    values = {
        "id": record.id,
        "tenant": record.tenant,
        "name": record.name,
        "key_hash": record.key_hash,
        "last_four": record.last_four,
        "scopes": sorted(scope.value for scope in record.scopes),
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
    }
    await tx.connection.execute(insert(ApiKey).values(values))


async def find(tx: Tx, key_id: str) -> KeyRecord | None:
    """The key of this id, whoever's it is and however it stands."""
    found = (await tx.connection.execute(select(ApiKey.__table__).where(ApiKey.id == key_id))).first()
    return None if found is None else _as_record(found)


async def find_by_name(tx: Tx, tenant: str, name: str) -> KeyRecord | None:
    """The key of this name."""
    statement = select(ApiKey.__table__).where(ApiKey.tenant == tenant, ApiKey.name == name)
    found = (await tx.connection.execute(statement)).first()
    return None if found is None else _as_record(found)


async def of_tenant(tx: Tx, tenant: str) -> list[KeyRecord]:
    """A tenant's keys, the oldest first."""
    statement = select(ApiKey.__table__).where(ApiKey.tenant == tenant).order_by(ApiKey.created_at, ApiKey.id)
    return [_as_record(row) for row in await tx.connection.execute(statement)]


async def any_key(tx: Tx) -> bool:
    """Whether a key was ever issued."""
    return await tx.connection.scalar(select(ApiKey.id).limit(1)) is not None


async def revoke(tx: Tx, tenant: str, key_id: str) -> None:
    """End a key now; one that was revoked keeps its time."""
    await tx.connection.execute(
        update(ApiKey)
        .where(ApiKey.tenant == tenant, ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=tx.now)
    )


async def forget(tx: Tx, tenant: str, name: str) -> None:
    """Drop the key of this name, so that the name can be given anew."""
    await tx.connection.execute(delete(ApiKey).where(ApiKey.tenant == tenant, ApiKey.name == name))


async def forget_all(tx: Tx) -> None:
    """Drop every key: without the pepper that they were hashed with, none can be verified again."""
    await tx.connection.execute(delete(ApiKey))


def _as_record(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        key_hash=bytes(row.key_hash),
        last_four=row.last_four,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
