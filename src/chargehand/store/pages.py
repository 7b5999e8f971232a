"""A page of a tenant's rows, newest first."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, exists
from sqlalchemy.orm import InstrumentedAttribute, aliased

from chargehand.store import tables, webhook_tables
from chargehand.store.planning import by_no_index

_NARROW = ("parent_id", "context_id", "task_id")
"""Filters that leave few rows of however many a tenant has; each has an index that is to be taken."""


def newest_first(
    columns: Select[*tuple[Any, ...]],
    row: type[
        tables.AgentTask
        | tables.Approval
        | tables.Schedule
        | webhook_tables.WebhookEndpoint
        | webhook_tables.WebhookDelivery
    ],
    *,
    tenant: str,
    filters: Mapping[str, str | None],
    before: str | None,
    limit: int,
) -> Select[*tuple[Any, ...]]:
    """The statement. `filters` are columns, of which None leaves one out; `before` ends the page before."""
    is_narrowed = any(filters.get(name) is not None for name in _NARROW)
    statement = columns.where((by_no_index(row.tenant) if is_narrowed else row.tenant) == tenant)
    for name, value in filters.items():
        if value is not None:
            statement = statement.where(getattr(row, name) == value)
    if before is not None:
        statement = statement.where(row.id < before)
    return statement.order_by(row.id.desc()).limit(limit)


_ROOT = aliased(tables.AgentTask)


def of_trees(root_id: InstrumentedAttribute[str], agents: Collection[str]) -> ColumnElement[bool]:
    """That a row belongs to a tree of tasks whose root is one of these agents'; a look by key for each row."""
    return exists().where(_ROOT.id == root_id, _ROOT.agent_id.in_(sorted(agents)))
