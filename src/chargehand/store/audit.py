"""The audit as rows. There is no statement here that changes or deletes an entry."""

import json
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Row, insert, select, update

from chargehand.domain.audit import EMPTY, AuditEntry, Head, Wanted
from chargehand.domain.values import canonical
from chargehand.store.audit_tables import AuditEntry as Table
from chargehand.store.audit_tables import AuditHead
from chargehand.store.database import Tx


async def hold_head(tx: Tx, tenant: str) -> Head | None:
    """Where the tenant's chain ends; nobody else appends to it until this transaction ends. None: it is not begun."""
    statement = select(AuditHead.number, AuditHead.hash).where(AuditHead.tenant == tenant).with_for_update()
    found = (await tx.connection.execute(statement)).first()
    return None if found is None else Head(number=found.number, hash=found.hash)


async def head(tx: Tx, tenant: str) -> Head:
    """Where the tenant's chain ends."""
    statement = select(AuditHead.number, AuditHead.hash).where(AuditHead.tenant == tenant)
    found = (await tx.connection.execute(statement)).first()
    return EMPTY if found is None else Head(number=found.number, hash=found.hash)


async def append(tx: Tx, entry: AuditEntry, *, is_first: bool) -> None:
    """Store an entry behind the head that is held."""
    row = {
        "tenant": entry.tenant,
        "number": entry.number,
        "at": entry.at,
        "actor_id": entry.actor_id,
        "actor_kind": entry.actor_kind,
        "action": entry.action,
        "object_kind": entry.object_kind,
        "object_id": entry.object_id,
        "address": entry.address,
        "request_id": entry.request_id,
        "result": entry.result,
        "details": canonical(entry.details),
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
    }
    await tx.connection.execute(insert(Table).values(row))
    ends = {"number": entry.number, "hash": entry.hash}
    if is_first:
        await tx.connection.execute(insert(AuditHead).values(tenant=entry.tenant, **ends))
    else:
        await tx.connection.execute(update(AuditHead).where(AuditHead.tenant == entry.tenant).values(ends))


async def page(tx: Tx, tenant: str, wanted: Wanted, *, before: int | None, limit: int) -> list[AuditEntry]:
    """Entries of the tenant, newest first, older than number `before`."""
    statement = select(Table.__table__).where(Table.tenant == tenant)
    for column in ("actor_id", "action", "object_kind", "object_id", "result"):
        if (value := getattr(wanted, column)) is not None:
            statement = statement.where(getattr(Table, column) == value)
    if wanted.since is not None:
        statement = statement.where(Table.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(Table.at < wanted.until)
    if before is not None:
        statement = statement.where(Table.number < before)
    rows = await tx.connection.execute(statement.order_by(Table.number.desc()).limit(limit))
    return [_as_entry(row) for row in rows]


async def behind(tx: Tx, tenant: str, after: int, *, limit: int) -> Sequence[AuditEntry]:
    """Entries of the tenant in order, behind number `after`."""
    statement = (
        select(Table.__table__)
        .where(Table.tenant == tenant, Table.number > after)
        .order_by(Table.number)
        .limit(limit)
    )
    return [_as_entry(row) for row in await tx.connection.execute(statement)]


def _as_entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        tenant=row.tenant,
        number=row.number,
        at=row.at,
        actor_id=row.actor_id,
        actor_kind=row.actor_kind,
        action=row.action,
        object_kind=row.object_kind,
        object_id=row.object_id,
        address=row.address,
        request_id=row.request_id,
        result=row.result,
        details=_details(row.details),
        previous_hash=row.previous_hash,
        hash=row.hash,
    )


def _details(text: str) -> dict[str, Any]:
    """What was stored; what somebody broke in the database is shown as such, and breaks the chain."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {"unreadable": True}
