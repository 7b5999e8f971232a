"""Approvals as rows: opened once, decided once.

Rule: only an open row is decided, and a row says who decided it; what it was asked for never changes.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, cast

from sqlalchemy import BigInteger, CursorResult, Row, bindparam, delete, insert, select, type_coerce, update

from chargehand.domain.approval import Approval, ApprovalStatus
from chargehand.domain.task import OPEN
from chargehand.store import tables
from chargehand.store.database import Tx
from chargehand.store.pages import newest_first, of_trees
from chargehand.store.planning import by_no_index
from chargehand.store.tables import AgentTask

_ROW = tables.Approval
_COLUMNS = [getattr(_ROW, field.name) for field in fields(Approval)]
DUE_AT_ONCE = 100
_DUE = (
    select(*_COLUMNS)
    .where(
        _ROW.status == ApprovalStatus.OPEN.value,
        _ROW.expires_at <= bindparam("now", type_=tables.UtcMicroseconds),
    )
    .order_by(_ROW.expires_at)
    .limit(DUE_AT_ONCE)
)


def as_approval(row: Row[*tuple[Any, ...]]) -> Approval:
    """A row as the domain's object."""
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    values["status"] = ApprovalStatus(values["status"])
    return Approval(**values)


async def open_one(tx: Tx, approval: Approval) -> None:
    """Store an open approval. One that was decided at the same place of a task that was reopened makes room."""
    await tx.connection.execute(
        delete(_ROW).where(
            _ROW.task_id == approval.task_id,
            _ROW.path == approval.path,
            _ROW.status != ApprovalStatus.OPEN.value,
        )
    )
    row = {field.name: getattr(approval, field.name) for field in fields(Approval)}
    await tx.connection.execute(insert(_ROW), [{**row, "status": approval.status.value}])


async def get(tx: Tx, approval_id: str) -> Approval | None:
    """One approval, whoever's it is."""
    found = (await tx.connection.execute(select(*_COLUMNS).where(_ROW.id == approval_id))).first()
    return None if found is None else as_approval(found)


async def at(tx: Tx, task_id: str, path: str) -> Approval | None:
    """The approval that a step waits for."""
    statement = select(*_COLUMNS).where(_ROW.task_id == task_id, _ROW.path == path)
    found = (await tx.connection.execute(statement)).first()
    return None if found is None else as_approval(found)


async def open_of(tx: Tx, task_ids: Iterable[str]) -> list[Approval]:
    """What these tasks wait for."""
    statement = select(*_COLUMNS).where(
        _ROW.task_id.in_(list(task_ids)), by_no_index(_ROW.status) == ApprovalStatus.OPEN.value
    )
    return [as_approval(row) for row in await tx.connection.execute(statement)]


async def due(tx: Tx) -> list[Approval]:
    """Open approvals whose time is over, the first DUE_AT_ONCE of them."""
    return [as_approval(row) for row in await tx.connection.execute(_DUE, {"now": tx.now})]


async def page(
    tx: Tx,
    *,
    tenant: str,
    status: str | None,
    task_id: str | None,
    before: str | None,
    limit: int,
    agents: frozenset[str] | None = None,
) -> list[Approval]:
    """A tenant's approvals, newest first; `agents`: only of trees whose root is one of these agents'."""
    filters = {"status": status, "task_id": task_id}
    statement = newest_first(
        select(*_COLUMNS), _ROW, tenant=tenant, filters=filters, before=before, limit=limit
    )
    if agents is not None:
        statement = statement.where(of_trees(_ROW.root_id, agents))
    return [as_approval(row) for row in await tx.connection.execute(statement)]


async def decide(tx: Tx, decided: Approval) -> bool:
    """Write a decision; False when the row is not open any more."""
    statement = (
        update(_ROW)
        .where(_ROW.id == decided.id, _ROW.status == ApprovalStatus.OPEN.value)
        .values(
            status=decided.status.value,
            edited_arguments=decided.edited_arguments,
            comment=decided.comment,
            decided_at=decided.decided_at,
            decided_by=decided.decided_by,
        )
    )
    result = cast("CursorResult[Any]", await tx.connection.execute(statement))
    return result.rowcount == 1


async def seconds_lent(tx: Tx, root_id: str) -> float:
    """What the open approvals of a tree have added to its deadlines from now on; deciding them takes it back."""
    statement = select(_ROW.expires_at).where(
        _ROW.root_id == root_id, _ROW.status == ApprovalStatus.OPEN.value
    )
    return sum((one - tx.now).total_seconds() for one in await tx.connection.scalars(statement))


async def shift_deadlines(tx: Tx, root_id: str, seconds: float) -> None:
    """Move the deadlines of a tree's open tasks: time in which a person is waited for does not count."""
    moved = type_coerce(AgentTask.deadline_at, BigInteger) + int(seconds * 1_000_000)
    statement = (
        update(AgentTask)
        .where(
            AgentTask.root_id == root_id,
            AgentTask.deadline_at.is_not(None),
            AgentTask.status.in_([status.value for status in OPEN]),
        )
        .values({AgentTask.deadline_at: moved})
    )
    await tx.connection.execute(statement)
