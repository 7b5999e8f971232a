"""API keys as rows; only a keyed hash of the key itself is kept."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from chargehand.domain.access import known_scopes
from chargehand.domain.key import KeyRecord
from chargehand.store.database import Tx
from chargehand.store.tables import ApiKey, UtcMicroseconds
from chargehand.store.tenant_tables import Tenant

_KEY = ApiKey.__table__
# Built once, like those of store/tasks.py.
_named, _any = aliased(ApiKey), aliased(ApiKey)
# Of an id that nothing has some other key is read: how long a refusal takes does not tell whether the id exists.
_STANDING = (
    select(_KEY, Tenant.suspended_at.label("tenant_suspended_at"))
    .select_from(ApiKey)
    .outerjoin(Tenant, Tenant.id == ApiKey.tenant)
    .where(
        ApiKey.id
        == func.coalesce(
            select(_named.id).where(_named.id == bindparam("key_id")).scalar_subquery(),
            select(func.min(_any.id)).scalar_subquery(),
        )
    )
)
_OF_TENANT = select(_KEY).where(ApiKey.tenant == bindparam("of_tenant"))
_NOTE_USED = (
    update(ApiKey)
    .where(
        ApiKey.id.in_(bindparam("ids", expanding=True)),
        or_(
            ApiKey.last_used_at.is_(None),
            ApiKey.last_used_at <= bindparam("before", type_=UtcMicroseconds),
        ),
    )
    .values(last_used_at=bindparam("now", type_=UtcMicroseconds))
)


async def insert_key(tx: Tx, record: KeyRecord) -> None:
    """Store a key; a name that its tenant uses already is the caller's to exclude."""
    values = {
        "id": record.id,
        "tenant": record.tenant,
        "name": record.name,
        "key_hash": record.key_hash,
        "last_four": record.last_four,
        "scopes": sorted(scope.value for scope in record.scopes),
        "roles": list(record.roles) or None,
        "agents": None if record.agents is None else sorted(record.agents),
        "replaces": record.replaces,
        "created_by": record.created_by,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
        "last_used_at": record.last_used_at,
    }
    await tx.connection.execute(insert(ApiKey).values(values))


async def find(tx: Tx, key_id: str) -> KeyRecord | None:
    """The key of this id, whoever's it is and however it stands."""
    found = await find_standing(tx, key_id)
    return None if found is None else found[0]


async def find_standing(tx: Tx, key_id: str) -> tuple[KeyRecord, datetime | None] | None:
    """As `find`, and since when its tenant is suspended."""
    row = (await tx.connection.execute(_STANDING, {"key_id": key_id})).first()
    found = None if row is None else (_as_record(row), row.tenant_suspended_at)
    return found if found is not None and found[0].id == key_id else None


async def get(tx: Tx, tenant: str, key_id: str) -> KeyRecord | None:
    """A tenant's key of this id."""
    found = (
        await tx.connection.execute(_OF_TENANT.where(ApiKey.id == key_id), {"of_tenant": tenant})
    ).first()
    return None if found is None else _as_record(found)


async def hold(tx: Tx, tenant: str, key_id: str) -> KeyRecord | None:
    """As `get`, and no other transaction changes it before this one ends."""
    statement = _OF_TENANT.where(ApiKey.id == key_id).with_for_update()
    found = (await tx.connection.execute(statement, {"of_tenant": tenant})).first()
    return None if found is None else _as_record(found)


async def find_by_name(tx: Tx, tenant: str, name: str) -> KeyRecord | None:
    """The key of this name."""
    found = (
        await tx.connection.execute(_OF_TENANT.where(ApiKey.name == name), {"of_tenant": tenant})
    ).first()
    return None if found is None else _as_record(found)


async def successor(tx: Tx, tenant: str, key_id: str) -> KeyRecord | None:
    """The key that has taken this one's place."""
    statement = _OF_TENANT.where(ApiKey.replaces == key_id)
    found = (await tx.connection.execute(statement, {"of_tenant": tenant})).first()
    return None if found is None else _as_record(found)


async def of_tenant(tx: Tx, tenant: str) -> list[KeyRecord]:
    """A tenant's keys, the oldest first."""
    statement = _OF_TENANT.order_by(ApiKey.created_at, ApiKey.id)
    return [_as_record(row) for row in await tx.connection.execute(statement, {"of_tenant": tenant})]


async def page(tx: Tx, tenant: str, *, name: str | None, after: str | None, limit: int) -> list[KeyRecord]:
    """A tenant's keys by name; `after`: those behind this name."""
    statement = _OF_TENANT.order_by(ApiKey.name).limit(limit)
    if name is not None:
        statement = statement.where(ApiKey.name == name)
    if after is not None:
        statement = statement.where(ApiKey.name > after)
    return [_as_record(row) for row in await tx.connection.execute(statement, {"of_tenant": tenant})]


async def count_live(tx: Tx, tenant: str) -> int:
    """How many keys of a tenant open something."""
    counted = select(func.count()).where(
        ApiKey.tenant == tenant,
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > tx.now),
    )
    return await tx.connection.scalar(counted) or 0


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


async def retire(tx: Tx, tenant: str, key_id: str, *, name: str, expires_at: datetime) -> None:
    """Give a key another name and an end, so that its successor can have its name."""
    await tx.connection.execute(
        update(ApiKey)
        .where(ApiKey.tenant == tenant, ApiKey.id == key_id)
        .values(name=name, expires_at=expires_at)
    )


async def note_used(tx: Tx, key_ids: Collection[str], *, every: timedelta) -> None:
    """Write that these keys were used now, unless that was written of them less than `every` ago."""
    given = {"ids": list(key_ids), "now": tx.now, "before": tx.now - every}
    await tx.connection.execute(_NOTE_USED, given)


async def forget(tx: Tx, tenant: str, name: str, *, retired: str) -> list[KeyRecord]:
    """Drop the key of this name and those that it replaced, so that the name can be given anew; which they were."""
    named = or_(ApiKey.name == name, ApiKey.name.startswith(retired, autoescape=True))
    statement = _OF_TENANT.where(named).order_by(ApiKey.id).with_for_update()
    gone = [_as_record(row) for row in await tx.connection.execute(statement, {"of_tenant": tenant})]
    await tx.connection.execute(delete(ApiKey).where(ApiKey.tenant == tenant, named))
    return gone


async def forget_all(tx: Tx) -> list[KeyRecord]:
    """Drop every key: without the pepper that they were hashed with, none can be verified again. Which they were."""
    statement = select(_KEY).order_by(ApiKey.tenant, ApiKey.id).with_for_update()
    gone = [_as_record(row) for row in await tx.connection.execute(statement)]
    await tx.connection.execute(delete(ApiKey))
    return gone


def _as_record(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        key_hash=bytes(row.key_hash),
        last_four=row.last_four,
        scopes=known_scopes(row.scopes),
        roles=tuple(row.roles or ()),
        agents=None if row.agents is None else frozenset(row.agents),
        replaces=row.replaces,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
