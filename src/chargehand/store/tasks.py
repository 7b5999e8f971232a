"""Every statement that moves a task from one status to another.

Rule: nothing else writes `status`, but for a claim (store/claims.py). A move names the status and the attempt that the
caller saw under its hold; when a row says otherwise, the whole transaction is given up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import (
    CursorResult,
    Row,
    Select,
    String,
    Update,
    any_,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from chargehand.domain.history import EventKind
from chargehand.domain.task import FINAL, MOVES, OPEN, Move, Status, Task
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import IllegalMove
from chargehand.store import history
from chargehand.store.database import Tx
from chargehand.store.lanes import Lanes
from chargehand.store.pages import newest_first, of_trees
from chargehand.store.row_updates import RowUpdate
from chargehand.store.tables import AgentTask, IdempotencyKey, TaskLabel

TASK_COLUMNS = [getattr(AgentTask, field.name) for field in fields(Task)]


def as_task(row: Row[*tuple[Any, ...]]) -> Task:
    """A row of TASK_COLUMNS as the domain's object."""
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    values["status"] = Status(values["status"])
    return Task(**values)


def select_tasks() -> Select[*tuple[Any, ...]]:
    """The start of every read of tasks."""
    return select(*TASK_COLUMNS)


_below = (
    select(AgentTask.id)
    .where(AgentTask.parent_id.in_(bindparam("tops", expanding=True)))
    .cte("below", recursive=True)
)
_below = _below.union(select(AgentTask.id).join(_below, AgentTask.parent_id == _below.c.id))
_OPEN_BELOW = (
    select_tasks()
    .where(AgentTask.id.in_(select(_below.c.id)), AgentTask.status.in_([status.value for status in OPEN]))
    .order_by(AgentTask.depth, AgentTask.id)
)


async def insert_tasks(
    tx: Tx, tasks: Sequence[Task], *, submitted: Sequence[JsonObject], lanes: Lanes
) -> None:
    """Store new tasks, each with its first event; `submitted` is that event's data, task by task."""
    await lanes.open(tx, tasks)
    rows: list[dict[str, Any]] = []
    for task in tasks:
        row = {field.name: getattr(task, field.name) for field in fields(Task)}
        row["status"], row["last_event"] = task.status.value, 1
        rows.append(row)
    await tx.connection.execute(insert(AgentTask), rows)
    labels = [
        {"tenant": task.tenant, "task_id": task.id, "key": key, "value": value}
        for task in tasks
        for key, value in task.labels.items()
    ]
    if labels:
        await tx.connection.execute(insert(TaskLabel), labels)
    await history.insert_events(
        tx,
        [
            history.row(task.id, 1, EventKind.SUBMITTED, tx.now, data, tenant=task.tenant)
            for task, data in zip(tasks, submitted, strict=True)
        ],
    )


async def find_by_key(tx: Tx, tenant: str, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Idempotency keys already used: key → (task id, hash of the payload sent with it)."""
    statement = select(IdempotencyKey.key, IdempotencyKey.task_id, IdempotencyKey.payload_hash).where(
        IdempotencyKey.tenant == tenant, IdempotencyKey.key.in_(keys)
    )
    return {key: (task_id, digest) for key, task_id, digest in await tx.connection.execute(statement)}


async def remember_keys(tx: Tx, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Keep (tenant, key, payload hash, task id)."""
    names = ("tenant", "key", "payload_hash", "task_id")
    values = [{**dict(zip(names, row, strict=True)), "created_at": tx.now} for row in rows]
    await tx.connection.execute(insert(IdempotencyKey), values)


# Built once: a statement that is made anew for each call costs more than SQLite needs to answer it.
_BY_ID = select_tasks().where(AgentTask.id.in_(bindparam("ids", expanding=True)))
# One text, which PostgreSQL prepares once, however many ids there are.
_BY_ID_ARRAY = select_tasks().where(AgentTask.id == any_(bindparam("ids", type_=ARRAY(String))))
# A list of ids is written into the statement at each call, which one id is spared.
_ONE = select_tasks().where(AgentTask.id == bindparam("one_id"))


@dataclass(frozen=True, slots=True)
class _ByIds:
    one: Select[*tuple[Any, ...]]
    several: Select[*tuple[Any, ...]]
    array: Select[*tuple[Any, ...]]

    def held(self) -> "_ByIds":
        # In one order everywhere, so that two transactions which hold the same rows do not wait for each other.
        several, array = (
            each.order_by(AgentTask.id).with_for_update() for each in (self.several, self.array)
        )
        return _ByIds(self.one.with_for_update(), several, array)

    def of_tenant(self) -> "_ByIds":
        is_theirs = AgentTask.tenant == bindparam("of_tenant")
        return _ByIds(*(each.where(is_theirs) for each in (self.one, self.several, self.array)))


_READ = _ByIds(_ONE, _BY_ID, _BY_ID_ARRAY)
_HOLD = _READ.held()
_READ_OF_TENANT = _READ.of_tenant()


async def get(tx: Tx, task_ids: Iterable[str]) -> dict[str, Task]:
    """The tasks of these ids, whoever's they are; absent ones are missing."""
    return await _found(tx, set(task_ids), _READ)


async def get_of(tx: Tx, tenant: str, task_ids: Iterable[str]) -> dict[str, Task]:
    """As `get`, a tenant's only; another's takes no longer than one that is absent."""
    return await _found(tx, set(task_ids), _READ_OF_TENANT, {"of_tenant": tenant})


async def hold(tx: Tx, task_ids: Iterable[str]) -> dict[str, Task]:
    """As `get`, and no other transaction changes them before this one ends."""
    return await _found(tx, set(task_ids), _HOLD)


async def _found(
    tx: Tx, ids: set[str], statements: _ByIds, also: Mapping[str, str] | None = None
) -> dict[str, Task]:
    given = also or {}
    if len(ids) == 1:
        rows = await tx.connection.execute(statements.one, {"one_id": next(iter(ids)), **given})
    else:
        is_array = tx.connection.dialect.name == "postgresql"
        statement = statements.array if is_array else statements.several
        rows = await tx.connection.execute(statement, {"ids": list(ids), **given})
    return {task.id: task for task in map(as_task, rows)}


async def due_timers(tx: Tx, *, limit: int) -> list[Task]:
    """Waiting tasks whose time has come, longest due first; one that waits for no time is due at FOREVER.

    A transaction holds them, as it does those of `past_deadline` and `expired`; one that another transaction holds,
    which may be its end, is left for the next look.
    """
    statement = (
        select_tasks()
        .where(AgentTask.status == Status.WAITING.value, AgentTask.run_after <= tx.now)
        .order_by(AgentTask.run_after)
        .limit(limit)
    )
    return await _free(tx, statement)


async def next_due(tx: Tx) -> datetime | None:
    """When the engine must look again: the next delayed task, timer or deadline that is still to come."""
    # One minimum per status and column: each is a single seek in an index, however many tasks there are.
    minima = [
        select(func.min(column)).where(AgentTask.status == status.value, column > tx.now).scalar_subquery()
        for status in (Status.PENDING, Status.WAITING)
        for column in (AgentTask.run_after, AgentTask.deadline_at)
    ]
    times = (await tx.connection.execute(select(*minima))).one()
    return min((time for time in times if time is not None), default=None)


async def past_deadline(tx: Tx, *, limit: int) -> list[Task]:
    """Tasks that nobody carries and whose tree's time is up."""
    found: list[Task] = []
    # One statement per status: each reads its index in order, and no more of it than the limit. Those that wait come
    # first, because what is open below them ends with them.
    for status in (Status.WAITING, Status.PENDING):
        if len(found) < limit:
            statement = (
                select_tasks()
                .where(AgentTask.status == status.value, AgentTask.deadline_at <= tx.now)
                .order_by(AgentTask.deadline_at)
                .limit(limit - len(found))
            )
            found += await _free(tx, statement)
    return found


async def expired(tx: Tx, *, of_any_worker: bool, limit: int) -> list[Task]:
    """Running tasks whose lease has ended, longest first (`of_any_worker`: all running; their workers are dead)."""
    statement = select_tasks().where(AgentTask.status == Status.RUNNING.value)
    if not of_any_worker:
        statement = statement.where(AgentTask.lease_until <= tx.now)
    return await _free(tx, statement.order_by(AgentTask.lease_until).limit(limit))


async def _free(tx: Tx, statement: Select[*tuple[Any, ...]]) -> list[Task]:
    return [as_task(row) for row in await tx.connection.execute(statement.with_for_update(skip_locked=True))]


async def renew(tx: Tx, *, worker: str, attempts: Mapping[str, int], lease: timedelta) -> dict[str, Task]:
    """Prolong the leases that this worker still holds; the answer holds just those tasks."""
    held = {
        task.id: task
        for task in (await hold(tx, attempts)).values()
        if task.status is Status.RUNNING and task.worker_id == worker and task.attempt == attempts[task.id]
    }
    if held:
        statement = (
            update(AgentTask)
            .where(AgentTask.id.in_(list(held)))
            .values(lease_until=tx.now + lease, updated_at=tx.now)
        )
        await tx.connection.execute(statement)
    return held


async def move(tx: Tx, what: Move, moved: Sequence[tuple[Task, Mapping[str, Any]]]) -> list[Task]:
    """Move tasks that this transaction holds, each with the further columns given for it.

    Those that stand in a status that `what` may start from are moved and come back as they now stand; the
    others are missing from the answer. All rows of one call change the same columns. IllegalMove when a row
    is not as it was seen: the caller did not hold it.
    """
    sources, target = MOVES[what]
    allowed = [(task, values) for task, values in moved if task.status in sources]
    rows: list[dict[str, Any]] = []
    for task, values in allowed:
        row = {**_columns_of(target, tx.now), **values, "updated_at": tx.now}
        rows.append(
            {**row, "seen_id": task.id, "seen_status": task.status.value, "seen_attempt": task.attempt}
        )
    if not rows:
        return []
    statement = _update_of(tuple(name for name in rows[0] if not name.startswith("seen_")))
    changed = await statement.run(tx, rows)
    if changed != len(rows):
        ids = ", ".join(task.id for task, _ in allowed[:5])
        raise IllegalMove(f"{what.value}: only {changed} of {len(rows)} tasks stand as seen: {ids}")
    return [_changed(task, row) for (task, _), row in zip(allowed, rows, strict=True)]


@lru_cache(maxsize=64)
def _update_of(columns: tuple[str, ...]) -> RowUpdate:
    """The guarded update that sets these columns, built once for each set of them."""
    return RowUpdate.of(
        AgentTask, columns, seen={"seen_id": "id", "seen_status": "status", "seen_attempt": "attempt"}
    )


def _columns_of(target: Status, now: datetime) -> dict[str, Any]:
    columns: dict[str, Any] = {"status": target.value, "finished_at": now if target in FINAL else None}
    if target is not Status.RUNNING:
        columns |= {"worker_id": None, "lease_until": None}
    return columns


def _changed(task: Task, row: Mapping[str, Any]) -> Task:
    values: dict[str, Any] = {one.name: row.get(one.name, getattr(task, one.name)) for one in fields(Task)}
    values["status"] = Status(values["status"])
    return Task(**values)


async def spend(tx: Tx, root_id: str, wanted: Mapping[str, int], most: Mapping[str, int | None]) -> bool:
    """Take `steps`, `children` and `tool_calls` out of the tree's pool; False, with nothing taken, if it is too small.

    A limit that is None is none.
    """
    limited = tuple(name for name, limit in most.items() if limit is not None)
    values = {name: wanted[name] for name in _COUNTED} | {f"most_{name}": most[name] for name in limited}
    result = cast(
        "CursorResult[Any]", await tx.connection.execute(_spend(limited), {"root": root_id, **values})
    )
    return result.rowcount == 1


_COUNTED = ("steps", "children", "tool_calls")


@lru_cache(maxsize=8)
def _spend(limited: tuple[str, ...]) -> Update:
    """The guarded update, built once for each set of limits."""
    spent = {name: getattr(AgentTask, f"{name}_spent") for name in _COUNTED}
    return (
        update(AgentTask)
        .where(
            AgentTask.id == bindparam("root"),
            *(spent[name] + bindparam(name) <= bindparam(f"most_{name}") for name in limited),
        )
        .values({f"{name}_spent": spent[name] + bindparam(name) for name in _COUNTED})
    )


_CLEAR_LOSSES = update(AgentTask).where(AgentTask.id.in_(bindparam("ids", expanding=True))).values(losses=0)


async def clear_losses(tx: Tx, held: Iterable[Task]) -> None:
    """A step was finished: the workers lost before it do not count against the task any more."""
    lossy = [task.id for task in held if task.losses]
    if lossy:
        await tx.connection.execute(_CLEAR_LOSSES, {"ids": lossy})


async def waiting_in(tx: Tx, root_id: str, reason: str) -> list[str]:
    """Tasks of a tree that wait for this reason."""
    statement = select(AgentTask.id).where(
        AgentTask.root_id == root_id, AgentTask.status == Status.WAITING.value, AgentTask.reason == reason
    )
    return sorted(await tx.connection.scalars(statement))


async def count_children(tx: Tx, task_id: str, count: int, *, root_id: str) -> None:
    """Note on a task that it has children; the root's count is the tree's and was taken by `spend`."""
    if task_id != root_id:
        await tx.connection.execute(
            update(AgentTask)
            .where(AgentTask.id == task_id)
            .values(children_spent=AgentTask.children_spent + count)
        )


async def set_round(tx: Tx, task_id: str, number: int) -> None:
    """The repair round that the attempt is in."""
    await tx.connection.execute(
        update(AgentTask).where(AgentTask.id == task_id).values(round=number, updated_at=tx.now)
    )


async def note_wake(tx: Tx, task_id: str) -> None:
    """Count a wake-up, so that an attempt that is about to wait sees that something came meanwhile."""
    await tx.connection.execute(
        update(AgentTask).where(AgentTask.id == task_id).values(wakes=AgentTask.wakes + 1, updated_at=tx.now)
    )


async def request_cancel(tx: Tx, task_ids: Sequence[str], *, reason: str) -> None:
    """Note the wish on tasks that are carried now; their workers see it at once or at the next renewal."""
    await tx.connection.execute(
        update(AgentTask)
        .where(AgentTask.id.in_(task_ids), AgentTask.cancel_requested_at.is_(None))
        .values(cancel_requested_at=tx.now, reason=reason, updated_at=tx.now)
    )


async def children(tx: Tx, parent_id: str, *, step: str | None = None) -> list[Task]:
    """A task's children (of one delegation), oldest first."""
    statement = select_tasks().where(AgentTask.parent_id == parent_id).order_by(AgentTask.id)
    if step is not None:
        statement = statement.where(AgentTask.parent_step == step)
    return [as_task(row) for row in await tx.connection.execute(statement)]


async def open_below(tx: Tx, task_ids: Sequence[str]) -> list[Task]:
    """The tasks below these that have not ended, also below those that have, level by level."""
    rows = await tx.connection.execute(_OPEN_BELOW, {"tops": task_ids})
    return [as_task(row) for row in rows]


async def unused_copies(tx: Tx, task_ids: Iterable[str]) -> set[str]:
    """Those of these tasks, each with a workspace of its own, that have ended and in whose workspace nobody works."""
    ended = {
        task.id: task
        for task in (await get(tx, task_ids)).values()
        if task.status in FINAL and task.parent_id is not None and task.workspace_id == task.id
    }
    if not ended:
        return set()
    # Whoever else works there is of the same tree; a task below that is being stopped may still be running.
    statement = select(AgentTask.workspace_id).where(
        AgentTask.root_id.in_({task.root_id for task in ended.values()}),
        AgentTask.workspace_id.in_(ended),
        AgentTask.status.in_([status.value for status in OPEN]),
    )
    return set(ended) - {row[0] for row in await tx.connection.execute(statement)}


async def has_open_siblings(tx: Tx, parent_id: str, step: str) -> bool:
    """Whether a delegation still has children that have not ended."""
    statement = (
        select(AgentTask.id)
        .where(
            AgentTask.parent_id == parent_id,
            AgentTask.parent_step == step,
            AgentTask.status.in_([status.value for status in OPEN]),
        )
        .limit(1)
    )
    return await tx.connection.scalar(statement) is not None


async def page(
    tx: Tx,
    *,
    tenant: str,
    filters: Mapping[str, str | None],
    labels: Mapping[str, str],
    before: str | None,
    limit: int,
    agents: frozenset[str] | None = None,
) -> list[Task]:
    """Tasks of a tenant, newest first. `filters` are columns of `agent_tasks`; None leaves one out.

    `agents`: only of trees whose root is one of these agents'.
    """
    statement = newest_first(
        select_tasks(), AgentTask, tenant=tenant, filters=filters, before=before, limit=limit
    )
    if agents is not None:
        statement = statement.where(of_trees(AgentTask.root_id, agents))
    for key, value in labels.items():
        tagged = select(TaskLabel.task_id).where(
            TaskLabel.tenant == tenant, TaskLabel.key == key, TaskLabel.value == value
        )
        statement = statement.where(AgentTask.id.in_(tagged))
    return [as_task(row) for row in await tx.connection.execute(statement)]


async def count_by_status(tx: Tx) -> dict[str, int]:
    """How many tasks stand where, in all tenants."""
    statement = select(AgentTask.status, func.count()).group_by(AgentTask.status)
    return {row[0]: row[1] for row in await tx.connection.execute(statement)}


def result_of(task: Task, *, changes: JsonValue = None) -> JsonValue:
    """What a delegating agent is told of a child that ended; `changes`: what its own workspace brought back."""
    return {
        **({"changes": changes} if changes is not None else {}),
        "task_id": task.id,
        "agent_id": task.agent_id,
        "status": task.status.value,
        "result": task.result,
        "error": task.error,
    }
