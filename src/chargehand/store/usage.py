"""Sums over the ledger of model calls: a tenant's, narrowed and grouped."""

from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, select
from sqlalchemy.orm import InstrumentedAttribute

from chargehand.domain.charge import ChargeStatus
from chargehand.domain.usage import UsageBy, UsageFilter, UsageSums
from chargehand.store.database import Tx
from chargehand.store.pages import of_trees
from chargehand.store.tables import TaskCharge

_GROUPS: dict[UsageBy, InstrumentedAttribute[str]] = {
    UsageBy.TASK: TaskCharge.task_id,
    UsageBy.TREE: TaskCharge.root_id,
    UsageBy.AGENT: TaskCharge.agent_id,
    UsageBy.MODEL: TaskCharge.model,
    UsageBy.DAY: TaskCharge.day,
}
_SETTLED = TaskCharge.status == ChargeStatus.SETTLED.value
_LOST = TaskCharge.status == ChargeStatus.LOST.value
_RESERVED = TaskCharge.status == ChargeStatus.RESERVED.value


def _sum(what: Any, where: ColumnElement[bool] | None = None) -> ColumnElement[int]:
    return func.coalesce(func.sum(what if where is None else case((where, what), else_=0)), 0)


_SUMS: dict[str, ColumnElement[int]] = {
    "calls": _sum(1, _SETTLED),
    "usd_nanos": _sum(TaskCharge.usd_nanos),
    "unpriced_calls": _sum(1, and_(_SETTLED, TaskCharge.is_priced.is_(False))),
    "input_tokens": _sum(TaskCharge.input_tokens),
    "output_tokens": _sum(TaskCharge.output_tokens),
    "cache_read_tokens": _sum(TaskCharge.cache_read_tokens),
    "cache_write_tokens": _sum(TaskCharge.cache_write_tokens),
    "lost_calls": _sum(1, _LOST),
    "lost_usd_nanos": _sum(TaskCharge.usd_nanos, _LOST),
    "lost_tokens": _sum(TaskCharge.reserved_tokens, _LOST),
    "reserved_usd_nanos": _sum(TaskCharge.reserved_usd_nanos, _RESERVED),
    "reserved_tokens": _sum(TaskCharge.reserved_tokens, _RESERVED),
}


async def total(tx: Tx, tenant: str, only: UsageFilter) -> UsageSums:
    """The sums over all calls that fit."""
    return _sums((await tx.connection.execute(_narrowed(_select(), tenant, only))).one())


async def groups(
    tx: Tx, tenant: str, by: UsageBy, only: UsageFilter, *, limit: int
) -> list[tuple[str, UsageSums]]:
    """The sums by group: the dearest first, or the newest days."""
    group = _GROUPS[by]
    statement = _narrowed(_select(group.label("group_name")), tenant, only).group_by(group)
    order = (group.desc(),) if by is UsageBy.DAY else (_SUMS["usd_nanos"].desc(), group.desc())
    rows = await tx.connection.execute(statement.order_by(*order).limit(limit))
    return [(row.group_name, _sums(row)) for row in rows]


def _select(*columns: Any) -> Select[*tuple[Any, ...]]:
    return select(*columns, *(column.label(name) for name, column in _SUMS.items()))


def _sums(row: Row[Any]) -> UsageSums:
    return UsageSums(**{field.name: int(getattr(row, field.name)) for field in fields(UsageSums)})


def _narrowed(
    statement: Select[*tuple[Any, ...]], tenant: str, only: UsageFilter
) -> Select[*tuple[Any, ...]]:
    statement = statement.where(TaskCharge.tenant == tenant)
    if only.since is not None:
        statement = statement.where(TaskCharge.day >= only.since.isoformat())
    if only.until is not None:
        statement = statement.where(TaskCharge.day <= only.until.isoformat())
    if only.of_trees is not None:
        statement = statement.where(of_trees(TaskCharge.root_id, only.of_trees))
    for column, value in (
        (TaskCharge.agent_id, only.agent_id),
        (TaskCharge.root_id, only.root_id),
        (TaskCharge.task_id, only.task_id),
    ):
        if value is not None:
            statement = statement.where(column == value)
    return statement
