"""The statements of a claim: which lanes have something due, what runs, and taking the first tasks of a lane.

Rule: a task is taken under its row's lock, or passed over when another worker has it. What a claim costs grows with
the number of lanes, not with that of the tasks: each lane is asked for its first task by one seek in an index.
Measured: see docs/decisions/0011-claims.md.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVarTuple, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CursorResult,
    Select,
    Update,
    any_,
    bindparam,
    func,
    insert,
    select,
    type_coerce,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from chargehand.domain.fairness import Head, Lane
from chargehand.domain.queues import EVERY_AGENT, AgentScope
from chargehand.domain.task import MOVES, Move, Task
from chargehand.errors import IllegalMove
from chargehand.store import tables
from chargehand.store.database import Tx
from chargehand.store.planning import by_no_index
from chargehand.store.tables import Agent, AgentTask, Duty, UtcMicroseconds
from chargehand.store.tasks import TASK_COLUMNS, as_task
from chargehand.store.tenant_tables import Tenant

Columns = TypeVarTuple("Columns")

TURN = "claims"
"""The row of `duties` that is held by who counts what runs before it claims."""

[_PENDING], _RUNNING_STATUS = MOVES[Move.CLAIM]
_NOW = bindparam("now", type_=UtcMicroseconds)
_DUE_SINCE = type_coerce(AgentTask.run_after, BigInteger)


def _is_due_in(tenant: Any, agent_id: Any, priority: Any) -> tuple[ColumnElement[bool], ...]:
    return (
        AgentTask.status == _PENDING.value,
        AgentTask.tenant == tenant,
        AgentTask.agent_id == agent_id,
        AgentTask.priority == priority,
        AgentTask.run_after <= _NOW,
    )


def _by_lane(statement: Select[*Columns]) -> Select[*Columns]:
    """Through the index of the lanes: planners may prefer that of the due times, and sort all that is due."""
    index = "ix_agent_tasks_lane"
    return (
        statement.with_hint(AgentTask, f"INDEXED BY {index}", "sqlite")
        .with_hint(AgentTask, f"FORCE INDEX ({index})", "mysql")
        .with_hint(AgentTask, f"FORCE INDEX ({index})", "mariadb")
    )


# Built once, like those of store/tasks.py.
_FIRST_DUE = (
    _by_lane(select(_DUE_SINCE))
    .where(*_is_due_in(tables.Lane.tenant, tables.Lane.agent_id, tables.Lane.priority))
    .order_by(AgentTask.run_after, AgentTask.id)
    .limit(1)
    .correlate(tables.Lane)
    .scalar_subquery()
)
_HEADS = (
    select(
        tables.Lane.tenant,
        tables.Lane.agent_id,
        tables.Lane.priority,
        Agent.most_running,
        _FIRST_DUE.label("due"),
    )
    .select_from(tables.Lane)
    .outerjoin(Agent, (Agent.tenant == tables.Lane.tenant) & (Agent.id == tables.Lane.agent_id))
    .outerjoin(Tenant, Tenant.id == tables.Lane.tenant)
    .where(Tenant.suspended_at.is_(None))
)
_HEADS_OF = _HEADS.where(tables.Lane.agent_id.in_(bindparam("agents", expanding=True)))
_HEADS_BUT = _HEADS.where(tables.Lane.agent_id.not_in(bindparam("agents", expanding=True)))
_RUNNING = (
    _by_lane(select(AgentTask.tenant, AgentTask.agent_id, func.count()))
    .where(AgentTask.status == _RUNNING_STATUS.value)
    .group_by(AgentTask.tenant, AgentTask.agent_id)
)
_OF_LANE = _is_due_in(bindparam("of_tenant"), bindparam("of_agent"), bindparam("with_priority"))
_IN_ORDER = (AgentTask.run_after, AgentTask.id)
_DUE_TIMES = _by_lane(select(_DUE_SINCE)).where(*_OF_LANE).order_by(*_IN_ORDER).limit(bindparam("most"))
_FIRST: Select[*tuple[Any, ...]] = (
    _by_lane(select(*TASK_COLUMNS))
    .where(*_OF_LANE)
    .order_by(*_IN_ORDER)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_CLAIMED: dict[str, Any] = {
    "status": _RUNNING_STATUS.value,
    "reason": None,
    "finished_at": None,
    "attempt": AgentTask.attempt + 1,
    "last_event": AgentTask.last_event + 1,
    "worker_id": bindparam("worker"),
    "lease_until": bindparam("lease_until"),
    "started_at": func.coalesce(AgentTask.started_at, _NOW),
    "updated_at": _NOW,
}
_CLAIM_HELD: Update = (
    update(AgentTask)
    .where(
        AgentTask.id.in_(bindparam("ids", expanding=True)),
        by_no_index(AgentTask.status) == _PENDING.value,
    )
    .values(_CLAIMED)
)
_chosen = (
    select(AgentTask.id)
    .where(*_OF_LANE)
    .order_by(*_IN_ORDER)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("chosen")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_CLAIM_AT_ONCE: ReturningUpdate[*tuple[Any, ...]] = (  # pyright: ignore[reportUnknownVariableType] - of many columns
    update(AgentTask)
    # As an array, so that the planner fetches the rows by their keys whatever it thinks how many they are.
    .where(
        AgentTask.id == any_(cast("ColumnElement[Any]", func.array(select(_chosen.c.id).scalar_subquery())))
    )
    .values(_CLAIMED)
    .returning(*TASK_COLUMNS)
)


async def heads(tx: Tx, scope: AgentScope = EVERY_AGENT) -> list[Head]:
    """The lanes of agents in the scope in which something is due, but for those of suspended tenants."""
    if scope.is_everything:
        rows = await tx.connection.execute(_HEADS, {"now": tx.now})
    else:
        statement = _HEADS_BUT if scope.is_all_but else _HEADS_OF
        rows = await tx.connection.execute(statement, {"now": tx.now, "agents": sorted(scope.agents)})
    # Of a lane in which nothing is due it is null, which its type does not say.
    return [
        Head(lane=Lane(tenant, agent_id, priority), due=due, most_running=most_running)
        for tenant, agent_id, priority, most_running, due in rows
        if cast("int | None", due) is not None
    ]


async def running(tx: Tx) -> dict[tuple[str, str], int]:
    """How many tasks run, by tenant and agent."""
    rows = await tx.connection.execute(_RUNNING)
    return {(tenant, agent_id): count for tenant, agent_id, count in rows}


async def due_times(tx: Tx, lane: Lane, *, most: int) -> list[int]:
    """Since when the first tasks of a lane are due, in microseconds since 1970."""
    return list(await tx.connection.scalars(_DUE_TIMES, {**_named(lane), "now": tx.now, "most": most}))


async def hold_turn(tx: Tx) -> None:
    """Wait until no other transaction counts what runs, and let none do so before this one ends."""
    statement = select(Duty.name).where(Duty.name == TURN).with_for_update()
    if await tx.connection.scalar(statement) is None:
        row = {"name": TURN, "holder": "", "lease_until": tx.now}
        await tx.connection.execute(insert(Duty), row)


async def take(tx: Tx, lane: Lane, *, most: int, worker: str, lease: timedelta) -> list[Task]:
    """Claim the first tasks of a lane that no other worker has its hands on, as they then stand.

    Each has one more attempt and one more event, which the caller must write.
    """
    given = {**_named(lane), "now": tx.now, "most": most}
    changed = {"worker": worker, "lease_until": tx.now + lease}
    if tx.connection.dialect.name == "postgresql":
        rows = await tx.connection.execute(_CLAIM_AT_ONCE, {**given, **changed})
        return sorted(map(as_task, rows), key=lambda task: (task.run_after, task.id))
    held = [as_task(row) for row in await tx.connection.execute(_FIRST, given)]
    if not held:
        return []
    ids = [task.id for task in held]
    statement = await tx.connection.execute(_CLAIM_HELD, {"ids": ids, "now": tx.now, **changed})
    if (count := cast("CursorResult[Any]", statement).rowcount) != len(held):
        raise IllegalMove(f"claim: only {count} of {len(held)} tasks stand as seen: {', '.join(ids[:5])}")
    return [_claimed(task, tx.now, worker, tx.now + lease) for task in held]


def _claimed(task: Task, now: datetime, worker: str, lease_until: datetime) -> Task:
    return replace(
        task,
        status=_RUNNING_STATUS,
        reason=None,
        attempt=task.attempt + 1,
        last_event=task.last_event + 1,
        worker_id=worker,
        lease_until=lease_until,
        started_at=task.started_at or now,
        updated_at=now,
    )


def _named(lane: Lane) -> dict[str, Any]:
    return {"of_tenant": lane.tenant, "of_agent": lane.agent_id, "with_priority": lane.priority}
