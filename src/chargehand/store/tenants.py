"""Tenants as rows."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update

from chargehand.domain.tenant import Tenant
from chargehand.store import tenant_tables
from chargehand.store.database import Tx

_ROW = tenant_tables.Tenant
_COLUMNS = [getattr(_ROW, field.name) for field in fields(Tenant)]
_HELD = select(_ROW.id).where(_ROW.id == bindparam("tenant_id")).with_for_update()
_SUSPENDED = select(_ROW.id).where(_ROW.suspended_at.is_not(None))


def _as_tenant(row: Row[*tuple[Any, ...]]) -> Tenant:
    return Tenant(**row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name


async def add(tx: Tx, tenant: Tenant) -> None:
    """Store a new one."""
    row = {field.name: getattr(tenant, field.name) for field in fields(Tenant)}
    await tx.connection.execute(insert(_ROW), [row])


async def get(tx: Tx, tenant_id: str) -> Tenant | None:
    """The tenant of this id."""
    found = (await tx.connection.execute(select(*_COLUMNS).where(_ROW.id == tenant_id))).first()
    return None if found is None else _as_tenant(found)


async def hold(tx: Tx, tenant_id: str) -> Tenant | None:
    """As `get`, and no other transaction changes it before this one ends."""
    statement = select(*_COLUMNS).where(_ROW.id == tenant_id).with_for_update()
    found = (await tx.connection.execute(statement)).first()
    return None if found is None else _as_tenant(found)


async def hold_count(tx: Tx, tenant_id: str) -> None:
    """Count what a tenant has, add to it: others who would do so for the same tenant wait here for this one's end.

    Without a row, as where a program embeds the service, nothing is held: those who add at once may go beyond a limit.
    """
    await tx.connection.execute(_HELD, {"tenant_id": tenant_id})


async def page(tx: Tx, *, after: str | None, limit: int) -> list[Tenant]:
    """All tenants, by id."""
    statement = select(*_COLUMNS).order_by(_ROW.id).limit(limit)
    if after is not None:
        statement = statement.where(_ROW.id > after)
    return [_as_tenant(row) for row in await tx.connection.execute(statement)]


async def change(tx: Tx, tenant_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a row that is held."""
    await tx.connection.execute(update(_ROW).where(_ROW.id == tenant_id).values(**values))


async def suspended(tx: Tx) -> list[str]:
    """The tenants of whose tasks none begins; there are few or none."""
    return list(await tx.connection.scalars(_SUSPENDED))


async def suspended_since(tx: Tx, tenant_id: str) -> datetime | None:
    """Since when a tenant is suspended; None also for one that has no row."""
    return await tx.connection.scalar(select(_ROW.suspended_at).where(_ROW.id == tenant_id))
