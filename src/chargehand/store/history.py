"""Events (gapless per task) and steps (the journal), appended and read.

Rule: a task's next event number is `last_event + 1` of its row, taken while the row is held; so two writers
can neither leave a gap nor use a number twice.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, or_, select, update

from chargehand.domain.history import (
    CUT_BY_BUDGET,
    PROVIDER_WAIT,
    Event,
    EventKind,
    Step,
    StepKind,
    StepStatus,
    changes_path,
)
from chargehand.domain.known_secrets import taken_out_of
from chargehand.domain.task import Status, Task
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import IllegalMove
from chargehand.store.database import Tx
from chargehand.store.row_updates import RowUpdate
from chargehand.store.tables import AgentTask, TaskEvent, TaskStep

# Built once, like those of store/tasks.py.
_LAST_EVENTS = (
    select(AgentTask.id, AgentTask.tenant, AgentTask.last_event)
    .where(AgentTask.id.in_(bindparam("ids", expanding=True)))
    .order_by(AgentTask.id)
    .with_for_update()
)
_SET_LAST_EVENT = (
    update(AgentTask).where(AgentTask.id == bindparam("seen_id")).values(last_event=bindparam("number"))
)
_EVENTS_AFTER = (
    select(TaskEvent.task_id, TaskEvent.sequence, TaskEvent.kind, TaskEvent.at, TaskEvent.data)
    .where(TaskEvent.task_id == bindparam("id"), TaskEvent.sequence > bindparam("after"))
    .order_by(TaskEvent.sequence)
    .limit(bindparam("most"))
)
_STEPS = (
    select(TaskStep.__table__)
    .where(TaskStep.task_id == bindparam("id"))
    .order_by(TaskStep.started_at, TaskStep.path)
)
_INSERT_EVENT = insert(TaskEvent)
_OF_EVENT = tuple(column.name for column in TaskEvent.__table__.columns)
_INSERT_STEP = insert(TaskStep)
_FINISH_STEP = RowUpdate.of(
    TaskStep,
    ("result", "finished_at"),
    seen={"seen_id": "task_id", "seen_path": "path"},
    also=(TaskStep.status != "done",),
    fixed={"status": "done"},
)


def row(
    task_id: str, sequence: int, kind: str, at: datetime, data: JsonObject, *, tenant: str
) -> dict[str, Any]:
    """An event as `insert_events` takes it. Readers, streams and webhooks get it: no secret may be in it.

    `tenant`: the task's. Whose secrets are meant is not asked of the caller, who often writes for many at once.
    """
    clean = taken_out_of(data, tenant)
    return {
        "tenant": tenant,
        "task_id": task_id,
        "sequence": sequence,
        "kind": kind,
        "at": at,
        "data": clean,
    }


async def insert_events(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store events whose numbers the caller has assigned, and what is to be sent of them."""
    if rows:
        await tx.connection.execute(_INSERT_EVENT, [{name: one[name] for name in _OF_EVENT} for one in rows])
        if tx.outbox is not None:
            await tx.outbox.put(tx, rows)


async def append(
    tx: Tx, events: Sequence[tuple[str, EventKind, JsonObject]], *, held: Mapping[str, Task] | None = None
) -> None:
    """Number and store events of any tasks (task id, kind, data), in the order given.

    `held`: the tasks, when the transaction holds them and has appended nothing to them yet.
    """
    if not events:
        return
    ids = list(dict.fromkeys(task_id for task_id, _, _ in events))
    if held is None:
        found = await tx.connection.execute(_LAST_EVENTS, {"ids": ids})
        seen: Mapping[str, Any] = {one.id: one for one in found}
    else:
        seen = held
    last: dict[str, int] = {task_id: seen[task_id].last_event for task_id in ids}
    rows: list[dict[str, Any]] = []
    for task_id, kind, data in events:
        last[task_id] += 1
        rows.append(row(task_id, last[task_id], kind, tx.now, data, tenant=seen[task_id].tenant))
    await insert_events(tx, rows)
    numbers = [{"seen_id": task_id, "number": last[task_id]} for task_id in ids]
    await tx.connection.execute(_SET_LAST_EVENT, numbers)


async def events_after(tx: Tx, task_id: str, sequence: int, *, limit: int) -> list[Event]:
    """A task's events after a sequence number, in order."""
    rows = await tx.connection.execute(_EVENTS_AFTER, {"id": task_id, "after": sequence, "most": limit})
    return [
        Event(task_id=one.task_id, sequence=one.sequence, kind=one.kind, at=one.at, data=one.data)
        for one in rows
    ]


async def steps(tx: Tx, task_id: str) -> list[Step]:
    """A task's whole journal, in the order in which the steps began."""
    return [as_step(one) for one in await tx.connection.execute(_STEPS, {"id": task_id})]


async def step(tx: Tx, task_id: str, path: str) -> Step | None:
    """One step, if it has begun."""
    statement = select(TaskStep.__table__).where(TaskStep.task_id == task_id, TaskStep.path == path)
    found = (await tx.connection.execute(statement)).first()
    return None if found is None else as_step(found)


def as_step(one: Row[Any]) -> Step:
    """A row of the journal as the domain's object."""
    return Step(
        task_id=one.task_id,
        path=one.path,
        kind=StepKind(one.kind),
        name=one.name,
        arguments=one.arguments,
        status=StepStatus(one.status),
        result=one.result,
        attempt=one.attempt,
        started_at=one.started_at,
        finished_at=one.finished_at,
    )


async def begin_steps(tx: Tx, begun: Sequence[Step], again: Sequence[Step] = ()) -> None:
    """Write steps that start now; `again`: those that a dead worker left `running` begin in their old places."""
    if begun:
        await tx.connection.execute(_INSERT_STEP, [_values(one) for one in begun])
    for one in again:
        await tx.connection.execute(
            update(TaskStep)
            .where(TaskStep.task_id == one.task_id, TaskStep.path == one.path, TaskStep.status != "done")
            .values(status=one.status.value, attempt=one.attempt)
        )


async def finish_steps(tx: Tx, finished: Sequence[tuple[str, str, JsonValue]]) -> None:
    """Write results (task id, path, result). IllegalMove when a step is done already, or was never begun."""
    rows = [
        {"seen_id": task_id, "seen_path": path, "result": result, "finished_at": tx.now}
        for task_id, path, result in finished
    ]
    if not rows:
        return
    changed = await _FINISH_STEP.run(tx, rows)
    if changed != len(rows):
        paths = ", ".join(f"{path} of {task_id}" for task_id, path, _ in finished[:5])
        raise IllegalMove(f"only {changed} of {len(rows)} steps could be finished: {paths}")


async def discard_failed(tx: Tx, task_id: str) -> None:
    """Drop the first step that went wrong and all that began no earlier, so that a retry does them anew.

    A delegation that was still open when its task ended went wrong when one of its children did not complete:
    what is below an ended task has been canceled. Checks are dropped in any case: they spoke of the workspace
    as it was then. Of a model's task only what came after its last answer is looked at: that answer has taken what
    went wrong before into account, and is not paid for again. Its waits for the provider are counted anew.
    """
    journal = await steps(tx, task_id)
    answered = [
        one.started_at for one in journal if one.kind is StepKind.MODEL and one.status is StepStatus.DONE
    ]
    if answered:
        journal = [one for one in journal if one.started_at >= max(answered)]
    unfinished = await _delegations_cut_off(tx, journal)
    failed = next((one for one in journal if went_wrong(one) or one.path in unfinished), None)
    mine = delete(TaskStep).where(TaskStep.task_id == task_id)
    waits = [one.path for one in journal if one.kind is StepKind.TIMER and one.name == PROVIDER_WAIT]
    if waits:
        await tx.connection.execute(mine.where(TaskStep.path.in_(waits)))
    await tx.connection.execute(mine.where(TaskStep.kind == StepKind.CHECK.value))
    # It was withdrawn when the task ended; the call is asked about anew.
    open_approval = mine.where(
        TaskStep.kind == StepKind.APPROVAL.value, TaskStep.status == StepStatus.OPEN.value
    )
    await tx.connection.execute(open_approval)
    if failed is not None:
        await tx.connection.execute(mine.where(TaskStep.started_at >= failed.started_at))


async def discard_checks(tx: Tx, task: Task) -> None:
    """Drop what checks found, and that changes were brought back: the workspace will change."""
    is_of_this = or_(TaskStep.kind == StepKind.CHECK.value, TaskStep.path == changes_path(task.round))
    await tx.connection.execute(delete(TaskStep).where(TaskStep.task_id == task.id, is_of_this))


async def _delegations_cut_off(tx: Tx, journal: Sequence[Step]) -> set[str]:
    """Paths of the open delegations of which a child ended without completing, or has not ended."""
    waiting = {
        one.path: {str(child) for child in one.result}
        for one in journal
        if one.kind is StepKind.DELEGATION and one.status is StepStatus.OPEN and isinstance(one.result, list)
    }
    ids = [child for children in waiting.values() for child in children]
    statement = select(AgentTask.id).where(AgentTask.id.in_(ids), AgentTask.status == Status.COMPLETED.value)
    completed = set(await tx.connection.scalars(statement)) if ids else set[str]()
    return {path for path, children in waiting.items() if children - completed}


async def discard_last_failures(tx: Tx, task_id: str) -> None:
    """Drop the finished steps that went wrong after the last one that went well: they are tried again.

    What went well, and a failure that the agent has since worked past, stay as they are.
    """
    finished = [one for one in await steps(tx, task_id) if one.status is StepStatus.DONE]
    while finished and went_wrong(finished[-1]):
        last = finished.pop()
        await tx.connection.execute(
            delete(TaskStep).where(TaskStep.task_id == task_id, TaskStep.path == last.path)
        )


def went_wrong(one: Step) -> bool:
    """Whether a finished step's result tells of a failure: a tool's, a check's or a child's."""
    if one.status is not StepStatus.DONE:
        return False
    match one.kind:
        case StepKind.MODEL:
            return isinstance(one.result, dict) and one.result.get(CUT_BY_BUDGET) is True
        case StepKind.TOOL:
            return isinstance(one.result, dict) and one.result.get("is_error") is True
        case StepKind.CHECK:
            return isinstance(one.result, dict) and one.result.get("passed") is False
        case StepKind.DELEGATION:
            children = one.result if isinstance(one.result, list) else []
            return any(isinstance(child, dict) and child.get("status") != "completed" for child in children)
        case _:
            return False


def _values(one: Step) -> dict[str, Any]:
    return {
        "task_id": one.task_id,
        "path": one.path,
        "kind": one.kind.value,
        "name": one.name,
        "arguments": one.arguments,
        "status": one.status.value,
        "result": one.result,
        "attempt": one.attempt,
        "started_at": one.started_at,
        "finished_at": one.finished_at,
    }
