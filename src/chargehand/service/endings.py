"""What follows when a task ends or what it waited for comes: inside the transaction that makes it so.

A task that ends tells its parent, and takes what is still open below it along; so no child outlives its tree
and no parent waits for what has happened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chargehand.domain.approval import ApprovalStatus
from chargehand.domain.history import EventKind
from chargehand.domain.task import FINAL, Move, Reason, Status, Task
from chargehand.domain.values import JsonObject
from chargehand.service.ports import EngineHints
from chargehand.store import approvals, charges, history, tasks
from chargehand.store.database import Tx
from chargehand.store.signals import Signals

_EVENT_OF = {
    Status.COMPLETED: EventKind.COMPLETED,
    Status.FAILED: EventKind.FAILED,
    Status.CANCELED: EventKind.CANCELED,
}
_IDLE = (Status.PENDING, Status.WAITING)


@dataclass(slots=True)
class Hints:
    """Whom to tell after the commit."""

    signals: Signals
    engine: EngineHints

    def changed(self, tx: Tx, *task_ids: str) -> None:
        """Someone may be watching these tasks."""
        for task_id in task_ids:
            tx.after_commit(lambda topic=task_id: self.signals.notify(topic))

    def ready(self, tx: Tx, *pending: Task, due: datetime | None = None) -> None:
        """These tasks became pending; `due`: or something will have to be done at this time."""
        tx.after_commit(lambda: self.engine.wake(due, pending))

    def stop(self, tx: Tx, task_ids: Sequence[str]) -> None:
        """These running tasks are to be canceled."""
        tx.after_commit(lambda: self.engine.cancel(task_ids))


async def end(
    tx: Tx, hints: Hints, what: Move, ended: Sequence[tuple[Task, Mapping[str, Any]]]
) -> list[Task]:
    """Move tasks to a final status; each mapping holds `reason`, `result` and `error`."""
    if what is Move.COMPLETE:
        moved = await _complete(tx, ended)
    else:
        moved = await tasks.move(tx, what, ended)
        await _withdraw(tx, hints, moved)
        await _lose_calls(tx, moved)
        await history.append(tx, [(task.id, _EVENT_OF[task.status], _told(task)) for task in moved])
    hints.changed(tx, *(task.id for task in moved))
    for task in moved:
        if task.children_spent:
            await _end_below(tx, hints, task)
        if task.parent_id is not None:
            await _tell_parent(tx, hints, task)
    return moved


async def _complete(tx: Tx, ended: Sequence[tuple[Task, Mapping[str, Any]]]) -> list[Task]:
    """Nothing else was told of these tasks since they were held: the move takes their next event's number too."""
    numbered = [(task, {**values, "last_event": task.last_event + 1}) for task, values in ended]
    moved = await tasks.move(tx, Move.COMPLETE, numbered)
    events = [
        history.row(task.id, task.last_event, EventKind.COMPLETED, tx.now, _told(task), tenant=task.tenant)
        for task in moved
    ]
    await history.insert_events(tx, events)
    return moved


async def _lose_calls(tx: Tx, ended: Sequence[Task]) -> None:
    """A model call that was under way when its task ended badly may have been paid: its price stays spent."""
    await charges.lose(tx, await charges.reserved(tx, [task.id for task in ended]))


def _told(task: Task) -> JsonObject:
    data: JsonObject = {"reason": task.reason}
    if task.status is Status.COMPLETED:
        data["result"] = task.result
    elif task.error is not None:
        data["error"] = task.error
    return data


async def _withdraw(tx: Tx, hints: Hints, ended: Sequence[Task]) -> None:
    """Nobody need decide about the calls of a task that has ended."""
    for approval in await approvals.open_of(tx, [task.id for task in ended]):
        withdrawn = replace(approval, status=ApprovalStatus.WITHDRAWN, decided_at=tx.now)
        await approvals.decide(tx, withdrawn)
        await history.append(tx, [(approval.task_id, EventKind.APPROVAL_DECIDED, withdrawn.as_event())])
        left = (tx.now - approval.expires_at).total_seconds()
        await approvals.shift_deadlines(tx, approval.root_id, left)
        hints.changed(tx, approval.task_id)


async def _end_below(tx: Tx, hints: Hints, task: Task) -> None:
    below = await tasks.open_below(tx, [task.id])
    await cancel_all(tx, hints, below, Reason.PARENT_ENDED)


async def cancel_all(tx: Tx, hints: Hints, targets: Sequence[Task], reason: Reason) -> int:
    """Cancel idle tasks at once and ask the workers of running ones; how many are still running."""
    held = await _held_with_all_below(tx, [task.id for task in targets])
    running = [task for task in held if task.status is Status.RUNNING]
    idle = [task for task in held if task.status in _IDLE]
    if running:
        ids = [task.id for task in running]
        await tasks.request_cancel(tx, ids, reason=reason.value)
        wished = [task for task in running if task.cancel_requested_at is None]
        data: JsonObject = {"reason": reason.value}
        await history.append(tx, [(task.id, EventKind.CANCEL_REQUESTED, data) for task in wished])
        hints.changed(tx, *ids)
        hints.stop(tx, ids)
    # Parents first: one that is canceled in the same breath is not woken by its child.
    for task in sorted(idle, key=lambda one: one.depth):
        values = {"reason": reason.value, "result": None, "error": None, "cancel_requested_at": tx.now}
        moved = await tasks.move(tx, Move.CANCEL, [(task, values)])
        await _withdraw(tx, hints, moved)
        await _lose_calls(tx, moved)
        await history.append(tx, [(one.id, EventKind.CANCELED, _told(one)) for one in moved])
        hints.changed(tx, *(one.id for one in moved))
        if task.parent_id is not None:
            await _tell_parent(tx, hints, task)
    return len(running)


async def _held_with_all_below(tx: Tx, task_ids: Sequence[str]) -> list[Task]:
    """These tasks as they stand now: one that was idle when it was found may have been claimed since.

    And one that was at work then may have delegated and begun to wait: held and idle, it delegates nothing more.
    """
    held: dict[str, Task] = {}
    while task_ids:
        found = await tasks.hold(tx, task_ids)
        held |= found
        parents = [one.id for one in found.values() if one.status in _IDLE and one.children_spent]
        below = await tasks.open_below(tx, parents) if parents else []
        task_ids = [one.id for one in below if one.id not in held]
    return list(held.values())


async def _tell_parent(tx: Tx, hints: Hints, child: Task) -> None:
    parent_id, step = child.parent_id or "", child.parent_step or ""
    rows = await tasks.hold(tx, [child.id, parent_id])
    current, parent = rows[child.id], rows[parent_id]
    if parent.status in FINAL:
        return
    data: JsonObject = {"task_id": child.id, "agent_id": child.agent_id, "status": current.status.value}
    await history.append(tx, [(parent_id, EventKind.CHILD_FINISHED, data)])
    hints.changed(tx, parent_id)
    if not await tasks.has_open_siblings(tx, parent_id, step):
        await wake(tx, hints, parent_id)


async def wake(tx: Tx, hints: Hints, task_id: str) -> None:
    """Something came that the task may wait for. An attempt that is about to wait sees the count grow."""
    await tasks.note_wake(tx, task_id)
    task = (await tasks.hold(tx, [task_id]))[task_id]
    if task.status is Status.WAITING:
        moved = await tasks.move(tx, Move.WAKE, [(task, {"reason": None, "run_after": tx.now})])
        await history.append(tx, [(task_id, EventKind.WOKEN, {"waited_for": task.reason})])
        hints.changed(tx, task_id)
        hints.ready(tx, *moved)


async def wake_for_budget(tx: Tx, hints: Hints, task: Task) -> None:
    """A call of this task has ended: others of its tree that found the budget reserved may look again."""
    for task_id in await tasks.waiting_in(tx, task.root_id, Reason.BUDGET.value):
        await wake(tx, hints, task_id)
