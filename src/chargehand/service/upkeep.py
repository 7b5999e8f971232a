"""What keeps the rows true when workers die or time passes: re-queue, wake, fail. It never runs a task."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from chargehand.domain.history import EventKind
from chargehand.domain.task import MAX_WORKER_LOSSES, Move, Reason, Status, Task, TaskError
from chargehand.domain.values import JsonObject
from chargehand.failpoint import fail_point
from chargehand.service import endings
from chargehand.service.approvals import take_default
from chargehand.service.endings import Hints
from chargehand.store import approvals, history, tasks
from chargehand.store.database import Database, Tx, retried

NOTHING: Mapping[str, int] = MappingProxyType({})


class Upkeep:
    """The sweeper's duties; each is safe to do at any time, any number of times."""

    def __init__(self, db: Database, hints: Hints) -> None:
        self._db = db
        self._hints = hints

    @retried
    async def sweep(
        self, *, of_any_worker: bool = False, but_not: Mapping[str, int] = NOTHING
    ) -> datetime | None:
        """Rescue, wake and time out what is due; when to look again at the latest.

        `of_any_worker`: every running task is rescued, whatever its lease says. Right when this process has
        just taken the data folder and so knows that no worker is alive. `but_not`: attempts that the caller
        itself carries, which live however its clock was set.
        """
        async with self._db.glance() as tx:
            lost = await self._lost(tx, of_any_worker, but_not)
            unanswered = await approvals.due(tx)
            nothing = not (lost or unanswered or await tasks.due_timers(tx) or await tasks.past_deadline(tx))
            due = await tasks.next_due(tx)
        if nothing:
            return due
        async with self._db.write() as tx:
            await self._rescue(tx, await self._lost(tx, of_any_worker, but_not))
            for approval in await approvals.due(tx):
                await take_default(tx, self._hints, approval)
            for task in await tasks.due_timers(tx):
                await endings.wake(tx, self._hints, task.id)
            await self._time_out(tx, await tasks.past_deadline(tx))
            due = await tasks.next_due(tx)
        fail_point("upkeep.swept")
        return due

    async def unused_copies(self, task_ids: Collection[str]) -> set[str]:
        """Those of these tasks whose own workspaces nobody needs any more: what was to come back has come back."""
        async with self._db.glance() as tx:
            return await tasks.unused_copies(tx, task_ids)

    @staticmethod
    async def _lost(tx: Tx, of_any_worker: bool, but_not: Mapping[str, int]) -> list[Task]:
        found = await tasks.expired(tx, of_any_worker=of_any_worker)
        return [task for task in found if but_not.get(task.id) != task.attempt]

    async def _rescue(self, tx: Tx, lost: Sequence[Task]) -> None:
        """Give back what dead workers held; a task that lost three in a row is failed, visibly."""
        for seen in lost:
            # Again, because the end of one above may have asked this one to stop.
            task = (await tasks.hold(tx, [seen.id]))[seen.id]
            losses = task.losses + 1
            if task.cancel_requested_at is not None:
                reason = task.reason or Reason.CANCELED_BY_CALLER.value
                values: dict[str, Any] = {"reason": reason, "result": None, "error": None}
                await endings.end(tx, self._hints, Move.CANCEL, [(task, values)])
            elif losses >= MAX_WORKER_LOSSES:
                error = TaskError(
                    reason=Reason.WORKER_LOST,
                    message=f"{losses} workers in a row died while they carried this task; see what it runs",
                    details={"worker": task.worker_id, "attempt": task.attempt},
                )
                values = {"reason": Reason.WORKER_LOST.value, "result": None, "error": error.as_data()}
                await endings.end(tx, self._hints, Move.FAIL, [(task, values)])
            else:
                values = {"reason": None, "losses": losses, "run_after": tx.now}
                moved = await tasks.move(tx, Move.RESCUE, [(task, values)])
                told: JsonObject = {"worker": task.worker_id, "attempt": task.attempt, "losses": losses}
                await history.append(tx, [(task.id, EventKind.RESCUED, told)])
                self._hints.changed(tx, task.id)
                self._hints.ready(tx, *moved)

    async def _time_out(self, tx: Tx, late: Sequence[Task]) -> None:
        for task in late:
            now = (await tasks.hold(tx, [task.id]))[task.id]
            if now.status in (Status.PENDING, Status.WAITING):
                error = timed_out(now)
                values = {"reason": error.reason.value, "result": None, "error": error.as_data()}
                await endings.end(tx, self._hints, Move.FAIL, [(now, values)])


def timed_out(task: Task) -> TaskError:
    """The error of a task whose deadline has passed."""
    deadline = task.deadline_at.isoformat() if task.deadline_at else "its deadline"
    return TaskError(reason=Reason.TIMEOUT, message=f"the task did not end before {deadline}")
