"""Schedules as rows.

Rule: who sees to a due time holds the row and moves `next_at` in the transaction that stores the task; so of several
processes one does, and a crash does it whole or not at all.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from chargehand.domain.schedule import Schedule
from chargehand.domain.task import FOREVER
from chargehand.store import tables
from chargehand.store.database import Tx
from chargehand.store.pages import newest_first
from chargehand.store.tenant_tables import Tenant

_ROW = tables.Schedule
_COLUMNS = [getattr(_ROW, field.name) for field in fields(Schedule)]
_ONE = select(*_COLUMNS).where(_ROW.id == bindparam("one_id"))
_ONE_HELD = _ONE.with_for_update()
_NEXT = (
    select(_ROW.id, _ROW.next_at)
    .outerjoin(Tenant, Tenant.id == _ROW.tenant)
    .where(Tenant.suspended_at.is_(None))
    .order_by(_ROW.next_at, _ROW.id)
    .limit(bindparam("most"))
)


def as_schedule(row: Row[*tuple[Any, ...]]) -> Schedule:
    """A row as the domain's object."""
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    values["budget"] = values["budget"] or {}
    return Schedule(**values)


async def add(tx: Tx, schedule: Schedule) -> None:
    """Store a new one."""
    row = {field.name: getattr(schedule, field.name) for field in fields(Schedule)}
    await tx.connection.execute(insert(_ROW), [row])


async def get(tx: Tx, schedule_id: str) -> Schedule | None:
    """One schedule, whoever's it is."""
    found = (await tx.connection.execute(_ONE, {"one_id": schedule_id})).first()
    return None if found is None else as_schedule(found)


async def hold(tx: Tx, schedule_id: str) -> Schedule | None:
    """As `get`, and no other transaction changes it before this one ends."""
    found = (await tx.connection.execute(_ONE_HELD, {"one_id": schedule_id})).first()
    return None if found is None else as_schedule(found)


async def named(tx: Tx, tenant: str, name: str) -> str | None:
    """The id of the tenant's schedule of this name."""
    return await tx.connection.scalar(select(_ROW.id).where(_ROW.tenant == tenant, _ROW.name == name))


async def count(tx: Tx, tenant: str) -> int:
    """How many a tenant has."""
    counted = select(func.count()).select_from(_ROW).where(_ROW.tenant == tenant)
    return await tx.connection.scalar(counted) or 0


async def page(
    tx: Tx,
    *,
    tenant: str,
    name: str | None,
    agent_id: str | None,
    before: str | None,
    limit: int,
    agents: frozenset[str] | None = None,
) -> list[Schedule]:
    """A tenant's schedules, newest first; `agents`: only for these."""
    filters = {"name": name, "agent_id": agent_id}
    statement = newest_first(
        select(*_COLUMNS), _ROW, tenant=tenant, filters=filters, before=before, limit=limit
    )
    if agents is not None:
        statement = statement.where(_ROW.agent_id.in_(sorted(agents)))
    return [as_schedule(row) for row in await tx.connection.execute(statement)]


async def coming(tx: Tx, *, limit: int) -> list[tuple[str, datetime]]:
    """(id, when) of those that come next, the due ones first; not those that come no more.

    A suspended tenant's are not among them: when it is resumed, its due times were missed.
    """
    rows = await tx.connection.execute(_NEXT, {"most": limit})
    return [(schedule_id, at) for schedule_id, at in rows if at != FOREVER]


async def change(tx: Tx, schedule_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a row that is held."""
    await tx.connection.execute(
        update(_ROW).where(_ROW.id == schedule_id).values(**values, updated_at=tx.now)
    )


async def remove(tx: Tx, schedule_id: str) -> None:
    """Delete it; its tasks stay."""
    await tx.connection.execute(delete(_ROW).where(_ROW.id == schedule_id))
