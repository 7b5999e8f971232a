"""What keeps the rows true when workers die or time passes: re-queue, wake, fail. It never runs a task.

Rule: each kind is seen to in transactions of its own, of so many tasks and no more, and the dead workers' tasks first.
However much is due, none of them waits for all of it, and what is in the way of a part takes back that part only.
"""

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
from chargehand.telemetry.metrics import Counter

SWEPT_AT_ONCE = 200
"""Tasks in one transaction: less than a second's work, after which what it holds is free again."""
NOTHING: Mapping[str, int] = MappingProxyType({})


class Upkeep:
    """The sweeper's duties; each is safe to do at any time, any number of times."""

    def __init__(self, db: Database, hints: Hints, lost: Counter | None = None) -> None:
        self._db = db
        self._hints = hints
        self._counted = lost

    async def sweep(
        self, *, of_any_worker: bool = False, but_not: Mapping[str, int] = NOTHING
    ) -> datetime | None:
        """Rescue, wake and time out what is due; when to look again at the latest: now, if not all was seen to.

        `of_any_worker`: every running task is rescued, whatever its lease says. Right when this process has
        just taken the data folder and so knows that no worker is alive. `but_not`: attempts that the caller
        itself carries, which live however its clock was set.
        """
        async with self._db.glance() as tx:
            nothing = not (
                await self._lost(tx, of_any_worker, but_not, most=1)
                or await approvals.due(tx)
                or await tasks.due_timers(tx, limit=1)
                or await tasks.past_deadline(tx, limit=1)
            )
            due, seen_at = await tasks.next_due(tx), tx.now
        if nothing:
            return due
        # All of them at once: at its start a process knows of the dead what it cannot know later.
        while await self._rescue(of_any_worker, but_not):
            pass
        parts = [await self._take_defaults(), await self._wake(), await self._time_out()]
        fail_point("upkeep.swept")
        if any(parts):
            return seen_at
        async with self._db.glance() as tx:
            later = await tasks.next_due(tx)
        # By the first look too: what came due since then was perhaps not seen.
        return min((time for time in (due, later) if time is not None), default=None)

    async def unused_copies(self, task_ids: Collection[str]) -> set[str]:
        """Those of these tasks whose own workspaces nobody needs any more: what was to come back has come back."""
        async with self._db.glance() as tx:
            return await tasks.unused_copies(tx, task_ids)

    @staticmethod
    async def _lost(tx: Tx, of_any_worker: bool, but_not: Mapping[str, int], *, most: int) -> list[Task]:
        # So many more that the caller's own cannot be all that is found.
        found = await tasks.expired(tx, of_any_worker=of_any_worker, limit=most + len(but_not))
        return [task for task in found if but_not.get(task.id) != task.attempt][:most]

    @retried
    async def _rescue(self, of_any_worker: bool, but_not: Mapping[str, int]) -> bool:
        """Give back what dead workers held; whether there may be more. So with the other parts."""
        async with self._db.write() as tx:
            lost = await self._lost(tx, of_any_worker, but_not, most=SWEPT_AT_ONCE)
            await self._give_back(tx, lost)
            if self._counted is not None and lost:
                counted = self._counted
                tx.after_commit(lambda: counted.add(by=len(lost)))
        return len(lost) == SWEPT_AT_ONCE

    @retried
    async def _take_defaults(self) -> bool:
        async with self._db.write() as tx:
            unanswered = await approvals.due(tx)
            for approval in unanswered:
                await take_default(tx, self._hints, approval)
        return len(unanswered) == approvals.DUE_AT_ONCE

    @retried
    async def _wake(self) -> bool:
        async with self._db.write() as tx:
            timers = await tasks.due_timers(tx, limit=SWEPT_AT_ONCE)
            for task in timers:
                await endings.wake(tx, self._hints, task.id)
        return len(timers) == SWEPT_AT_ONCE

    @retried
    async def _time_out(self) -> bool:
        async with self._db.write() as tx:
            late = await tasks.past_deadline(tx, limit=SWEPT_AT_ONCE)
            await self._end_late(tx, late)
        return len(late) == SWEPT_AT_ONCE

    async def _give_back(self, tx: Tx, lost: Sequence[Task]) -> None:
        """A task that lost three workers in a row is failed, visibly."""
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

    async def _end_late(self, tx: Tx, late: Sequence[Task]) -> None:
        for task in late:
            now = (await tasks.hold(tx, [task.id]))[task.id]
            # A person who was waited for may have put the deadline off since.
            is_late = now.deadline_at is not None and now.deadline_at <= tx.now
            if is_late and now.status in (Status.PENDING, Status.WAITING):
                error = timed_out(now)
                values = {"reason": error.reason.value, "result": None, "error": error.as_data()}
                await endings.end(tx, self._hints, Move.FAIL, [(now, values)])


def timed_out(task: Task) -> TaskError:
    """The error of a task whose deadline has passed."""
    deadline = task.deadline_at.isoformat() if task.deadline_at else "its deadline"
    return TaskError(reason=Reason.TIMEOUT, message=f"the task did not end before {deadline}")
