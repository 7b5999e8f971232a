"""Events (gapless per task) and steps (the journal), appended and read.

Rule: a task's next event number is `last_event + 1` of its row, taken while the row is held; so two writers
can neither leave a gap nor use a number twice.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update

from chargehand.domain.history import Event, EventKind, Step, StepKind, StepStatus
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.store.database import Tx
from chargehand.store.tables import AgentTask, TaskEvent, TaskStep


def row(task_id: str, sequence: int, kind: str, at: datetime, data: JsonObject) -> dict[str, Any]:
    """An event as `insert_events` takes it."""
    return {"task_id": task_id, "sequence": sequence, "kind": kind, "at": at, "data": data}


async def insert_events(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store events whose numbers the caller has assigned."""
    if rows:
        await tx.connection.execute(insert(TaskEvent), [dict(one) for one in rows])


async def append(tx: Tx, events: Sequence[tuple[str, EventKind, JsonObject]]) -> None:
    """Number and store events of any tasks (task id, kind, data), in the order given."""
    if not events:
        return
    ids = list(dict.fromkeys(task_id for task_id, _, _ in events))
    statement = select(AgentTask.id, AgentTask.last_event).where(AgentTask.id.in_(ids)).with_for_update()
    last: dict[str, int] = {row.id: row.last_event for row in await tx.connection.execute(statement)}
    rows: list[dict[str, Any]] = []
    for task_id, kind, data in events:
        last[task_id] += 1
        rows.append(row(task_id, last[task_id], kind, tx.now, data))
    await insert_events(tx, rows)
    await tx.connection.execute(
        update(AgentTask).where(AgentTask.id == bindparam("seen_id")).values(last_event=bindparam("number")),
        [{"seen_id": task_id, "number": last[task_id]} for task_id in ids],
    )


async def events_after(tx: Tx, task_id: str, sequence: int, *, limit: int) -> list[Event]:
    """A task's events after a sequence number, in order."""
    statement = (
        select(TaskEvent.task_id, TaskEvent.sequence, TaskEvent.kind, TaskEvent.at, TaskEvent.data)
        .where(TaskEvent.task_id == task_id, TaskEvent.sequence > sequence)
        .order_by(TaskEvent.sequence)
        .limit(limit)
    )
    return [
        Event(task_id=one.task_id, sequence=one.sequence, kind=one.kind, at=one.at, data=one.data)
        for one in await tx.connection.execute(statement)
    ]


async def steps(tx: Tx, task_id: str) -> list[Step]:
    """A task's whole journal, in the order in which the steps began."""
    statement = (
        select(TaskStep.__table__)
        .where(TaskStep.task_id == task_id)
        .order_by(TaskStep.started_at, TaskStep.path)
    )
    return [as_step(one) for one in await tx.connection.execute(statement)]


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


async def begin_steps(tx: Tx, begun: Sequence[Step]) -> None:
    """Write steps that start now; a step that a dead worker left `running` is begun again in its place."""
    if not begun:
        return
    paths = [(one.task_id, one.path) for one in begun]
    statement = select(TaskStep.task_id, TaskStep.path).where(
        TaskStep.task_id.in_([task_id for task_id, _ in paths]),
        TaskStep.path.in_([path for _, path in paths]),
    )
    known = {(task_id, path) for task_id, path in await tx.connection.execute(statement)}
    fresh = [_values(one) for one in begun if (one.task_id, one.path) not in known]
    again = [one for one in begun if (one.task_id, one.path) in known]
    if fresh:
        await tx.connection.execute(insert(TaskStep), fresh)
    for one in again:
        await tx.connection.execute(
            update(TaskStep)
            .where(TaskStep.task_id == one.task_id, TaskStep.path == one.path, TaskStep.status != "done")
            .values(status=one.status.value, attempt=one.attempt)
        )


async def finish_steps(tx: Tx, finished: Sequence[tuple[str, str, JsonValue]]) -> None:
    """Write results (task id, path, result). A step that is done keeps what it has."""
    statement = (
        update(TaskStep)
        .where(
            TaskStep.task_id == bindparam("seen_id"),
            TaskStep.path == bindparam("seen_path"),
            TaskStep.status != "done",
        )
        .values(status="done", result=bindparam("result"), finished_at=bindparam("finished_at"))
    )
    rows = [
        {"seen_id": task_id, "seen_path": path, "result": result, "finished_at": tx.now}
        for task_id, path, result in finished
    ]
    if rows:
        await tx.connection.execute(statement, rows)


async def discard_failed(tx: Tx, task_id: str) -> None:
    """Drop the first step that went wrong and all that began no earlier, so that a retry does them anew."""
    journal = await steps(tx, task_id)
    failed = next((one for one in journal if went_wrong(one)), None)
    if failed is not None:
        await tx.connection.execute(
            delete(TaskStep).where(TaskStep.task_id == task_id, TaskStep.started_at >= failed.started_at)
        )


def went_wrong(one: Step) -> bool:
    """Whether a finished step's result tells of a failure: a tool's, a check's or a child's."""
    results = one.result if isinstance(one.result, list) else [one.result]
    for result in results:
        if isinstance(result, dict) and one.status is StepStatus.DONE:
            bad = result.get("is_error") is True or result.get("passed") is False
            if bad or (one.kind is StepKind.DELEGATION and result.get("status") != "completed"):
                return True
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
