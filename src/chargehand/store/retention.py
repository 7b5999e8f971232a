"""Ended trees as rows: which may go, and deleting them with all that belongs to them.

Rule: a tree goes whole, in one transaction that holds every task of it. The ledger (`task_charges`) and the sums of
days stay: they hold no content, and what a tenant has spent is asked for longer than what it was spent on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from chargehand.clock import uuid7
from chargehand.domain.retention import PruneOrder
from chargehand.domain.task import OPEN
from chargehand.domain.webhook import DeliveryStatus
from chargehand.store import webhook_deliveries
from chargehand.store.database import Tx
from chargehand.store.planning import by_no_index
from chargehand.store.tables import (
    AgentTask,
    Approval,
    IdempotencyKey,
    TaskDeliverable,
    TaskEvent,
    TaskLabel,
    TaskMessage,
    TaskStep,
    WorkspaceHead,
)
from chargehand.store.webhook_tables import WebhookDelivery, WebhookEndpoint

_OPEN = [status.value for status in OPEN]
_OF_A_TASK = (IdempotencyKey, TaskDeliverable, TaskMessage, TaskStep, TaskEvent)
"""Tables whose rows go with their task, by the column `task_id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """An ended tree that may go."""

    root_id: str
    tasks: int
    events: int


async def ended_roots(
    tx: Tx, order: PruneOrder, *, tenant: str | None, before: datetime, limit: int
) -> list[str]:
    """Roots, oldest first, that ended before that time, of trees in which nothing is open or gone on from.

    Nor is anybody still to be told of what happened in them.
    """
    below, later, earlier = aliased(AgentTask), aliased(AgentTask), aliased(AgentTask)
    open_below = exists().where(below.root_id == AgentTask.id, below.status.in_(_OPEN))
    open_later = exists().where(
        and_(earlier.root_id == AgentTask.id, later.follows_id == earlier.id, later.status.in_(_OPEN))
    )
    statement = (
        select(AgentTask.id)
        .where(
            AgentTask.depth == 0,
            # Read by their ids, oldest first, not sorted after another index has found most of them.
            by_no_index(AgentTask.status).in_([status.value for status in order.statuses]),
            AgentTask.finished_at < before,
            # Ids begin with the time at which they were made: younger ones need not be looked at.
            AgentTask.id < uuid7(int(before.timestamp() * 1000) + 1, bytes(10)),
            ~open_below,
            ~open_later,
            ~_is_to_be_told(AgentTask.id),
        )
        .order_by(AgentTask.id)
        .limit(limit)
    )
    if order.after is not None:
        statement = statement.where(AgentTask.id > order.after)
    if tenant is not None:
        statement = statement.where(by_no_index(AgentTask.tenant) == tenant)
    if order.agent_id is not None:
        statement = statement.where(by_no_index(AgentTask.agent_id) == order.agent_id)
    return list(await tx.connection.scalars(statement))


def _is_to_be_told(root_id: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Whether something of a tree is still to be sent; what a disabled endpoint waits for keeps nothing."""
    of_tree = aliased(AgentTask)
    return exists().where(
        of_tree.root_id == root_id,
        WebhookDelivery.task_id == of_tree.id,
        WebhookDelivery.status == DeliveryStatus.PENDING.value,
        WebhookEndpoint.id == WebhookDelivery.endpoint_id,
        WebhookEndpoint.disabled_at.is_(None),
    )


async def sizes(tx: Tx, root_ids: Sequence[str]) -> list[Tree]:
    """How large these trees are, in the order of their roots."""
    statement = (
        select(AgentTask.root_id, func.count().label("tasks"), func.sum(AgentTask.last_event).label("events"))
        .where(AgentTask.root_id.in_(root_ids))
        .group_by(AgentTask.root_id)
        .order_by(AgentTask.root_id)
    )
    return [
        Tree(root_id=row.root_id, tasks=row.tasks, events=int(row.events))
        for row in await tx.connection.execute(statement)
    ]


async def hold_ended(tx: Tx, root_ids: Collection[str], *, before: datetime) -> dict[str, list[AgentTask]]:
    """The tasks of those of these trees that have still wholly ended before that time, held, by root.

    What another transaction has in hand is passed over, and its tree with it; so is a tree that an open task goes on
    from, which nobody adds to one that is held.
    """
    statement = (
        select(
            AgentTask.id,
            AgentTask.root_id,
            AgentTask.tenant,
            AgentTask.labels,
            AgentTask.status,
            AgentTask.finished_at,
        )
        .where(AgentTask.root_id.in_(root_ids))
        .with_for_update(skip_locked=True)
    )
    found: dict[str, list[AgentTask]] = {}
    for row in await tx.connection.execute(statement):
        found.setdefault(row.root_id, []).append(row)  # pyright: ignore[reportArgumentType] - a row reads as one
    whole = {tree.root_id: tree.tasks for tree in await sizes(tx, list(found))}
    kept = await _gone_on_from(tx, list(found)) | await _to_be_told(tx, list(found))
    return {
        root_id: rows
        for root_id, rows in found.items()
        if root_id not in kept
        and len(rows) == whole.get(root_id)
        and all(row.status not in _OPEN for row in rows)
        and all(row.finished_at is not None and row.finished_at < before for row in rows if row.id == root_id)
    }


async def _gone_on_from(tx: Tx, root_ids: Sequence[str]) -> set[str]:
    """Those of these trees that an open task follows a task of."""
    earlier, later = aliased(AgentTask), aliased(AgentTask)
    statement = (
        select(earlier.root_id)
        .join(later, later.follows_id == earlier.id)
        .where(earlier.root_id.in_(root_ids), later.status.in_(_OPEN))
        .distinct()
    )
    return set(await tx.connection.scalars(statement))


async def _to_be_told(tx: Tx, root_ids: Sequence[str]) -> set[str]:
    root = aliased(AgentTask)
    statement = select(root.id).where(root.id.in_(root_ids), _is_to_be_told(root.id))
    return set(await tx.connection.scalars(statement))


async def delete_tree(tx: Tx, root_id: str, rows: Sequence[AgentTask]) -> None:
    """Delete a tree that this transaction holds, with all that belongs to it."""
    ids = [row.id for row in rows]
    for row in rows:
        for key, value in row.labels.items():
            # By the whole key: no index begins with the task.
            await tx.connection.execute(
                delete(TaskLabel).where(
                    TaskLabel.tenant == row.tenant,
                    TaskLabel.key == key,
                    TaskLabel.value == value,
                    TaskLabel.task_id == row.id,
                )
            )
    await tx.connection.execute(delete(Approval).where(Approval.root_id == root_id))
    await webhook_deliveries.delete_of_tasks(tx, ids)
    for table in _OF_A_TASK:
        await tx.connection.execute(delete(table).where(table.task_id.in_(ids)))
    await tx.connection.execute(delete(AgentTask).where(AgentTask.root_id == root_id))
    if unused := set(ids) - await used_workspaces(tx, ids):
        await tx.connection.execute(delete(WorkspaceHead).where(WorkspaceHead.workspace_id.in_(unused)))


async def used_workspaces(tx: Tx, ids: Collection[str]) -> set[str]:
    """Those of these workspaces (each has the id of a task) that a task may still work in."""
    used: set[str] = set()
    for column in (AgentTask.id, AgentTask.root_id, AgentTask.workspace_id):
        used |= {
            one
            for one in await tx.connection.scalars(select(column).where(column.in_(ids)).distinct())
            if one is not None
        }
    return used


async def named_files(tx: Tx, after: tuple[str, str], *, limit: int) -> list[tuple[str, str, set[str]]]:
    """The next deliverables by (task, name), each with the hashes of the content that it names."""
    task_id, name = after
    statement = (
        select(TaskDeliverable.task_id, TaskDeliverable.name, TaskDeliverable.files)
        .where(
            (TaskDeliverable.task_id > task_id)
            | ((TaskDeliverable.task_id == task_id) & (TaskDeliverable.name > name))
        )
        .order_by(TaskDeliverable.task_id, TaskDeliverable.name)
        .limit(limit)
    )
    return [
        (row.task_id, row.name, {str(digest) for _, digest, _ in row.files})
        for row in await tx.connection.execute(statement)
    ]


async def is_any_head(tx: Tx) -> bool:
    """Whether there is a snapshot of any workspace."""
    return await tx.connection.scalar(select(WorkspaceHead.workspace_id).limit(1)) is not None
