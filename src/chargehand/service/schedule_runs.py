"""What is done when the time of a schedule comes: its task is stored, and it moves on to its next time.

Rule: both are one transaction under the hold of the schedule's row; so a due time has its task once, whoever else
looks and whenever a process dies. What is in the way of one schedule is noted on it and stops no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from chargehand.domain.rights import holder_of
from chargehand.domain.schedule import MAX_MISSED_RUNS, Due, Missed, Schedule, cron_of, due_times
from chargehand.domain.task import FOREVER, Task
from chargehand.domain.values import JsonObject, content_hash
from chargehand.errors import ChargehandError, StorageFull, Unavailable
from chargehand.failpoint import fail_point
from chargehand.service.endings import Hints
from chargehand.service.schedules import task_order
from chargehand.service.tasks import Tasks
from chargehand.store import schedules, tasks
from chargehand.store.database import Database, Tx, retried
from chargehand.store.lanes import Lanes
from chargehand.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("chargehand.schedules")

AT_ONCE = 100
"""How many schedules are seen to before what else is due is looked at."""
AFTER_FAULT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a due schedule leads to; `error`: why a time has no task."""

    due: Due
    tasks: Sequence[tuple[datetime, Task]] = ()
    error: JsonObject | None = None
    is_missed: bool = False
    """The times that have no task were missed; nothing refused them."""


class ScheduleRuns:
    """The duty of whoever sees to schedules; safe to do at any time, by any number of processes."""

    def __init__(self, db: Database, orders: Tasks, hints: Hints, metrics: Metrics) -> None:
        self._db = db
        self._orders = orders
        self._hints = hints
        self._metrics = metrics
        self._lanes = Lanes()

    async def run_due(self, now: datetime | None = None) -> datetime | None:
        """See to the schedules whose time has come; when to look again, or None: nothing is scheduled.

        It is the database's clock that says what is due; `now` is what a duty is given.
        """
        del now
        async with self._db.glance() as tx:
            coming, seen_at = await schedules.coming(tx, limit=AT_ONCE), tx.now
        again = min((at for _, at in coming), default=None)
        for schedule_id in [one for one, at in coming if at <= seen_at]:
            try:
                await self._see_to(schedule_id)
            except (StorageFull, Unavailable):
                raise
            except Exception:
                log.exception("a schedule could not be seen to; trying again", schedule_id=schedule_id)
                again = seen_at + AFTER_FAULT
        return again

    @retried
    async def _see_to(self, schedule_id: str) -> None:
        async with self._db.glance() as tx:
            seen, now = await schedules.get(tx, schedule_id), tx.now
        if seen is None or seen.next_at > now:
            return
        plan = await self._planned(seen, now)
        async with self._db.write() as tx:
            held = await schedules.hold(tx, schedule_id)
            if held is None or (held.next_at, held.updated_at) != (seen.next_at, seen.updated_at):
                # Another process was here first, or somebody changed it: it is looked at again if it is still due.
                return
            await self._store(tx, held, plan)
        fail_point("schedules.ran")
        self._tell(seen, plan)

    async def _planned(self, seen: Schedule, now: datetime) -> _Plan:
        """The tasks to be stored, or why there are none."""
        try:
            due = due_times(cron_of(seen.cron, seen.time_zone), Missed(seen.missed), seen.next_at, now)
        except ChargehandError as error:
            # Its zone is known no more on this machine: it waits for somebody to change it.
            return _Plan(Due(runs=[], next_at=FOREVER), error=_as_data(error, seen.next_at))
        who = holder_of(seen.rights, id=seen.created_by, tenant=seen.tenant)
        try:
            orders = [(at, await self._orders.prepared(who, task_order(seen))) for at in due.runs]
        except ChargehandError as error:
            if isinstance(error, Unavailable) and error.retry_after_seconds is None:
                # Not the refusal of a full backlog, which says when there is room again: the database did not
                # answer. That is no word about this task, and the time stays due.
                raise
            return _Plan(due, error=_as_data(error, due.runs[0]))
        if due.skipped_from is None:
            return _Plan(due, orders)
        kept = f"after {MAX_MISSED_RUNS} runs" if seen.missed == Missed.ALL else "as `missed` says"
        said = f"nobody was there to see to the times from {_text(due.skipped_from)} on; left out {kept}"
        told: JsonObject = {
            "code": "schedule.missed",
            "message": said,
            "due_at": _text(due.skipped_from),
        }
        return _Plan(due, orders, told, is_missed=True)

    async def _store(self, tx: Tx, held: Schedule, plan: _Plan) -> None:
        keys = {f"schedule:{held.id}:{_text(at)}": (at, task) for at, task in plan.tasks}
        stored = await tasks.find_by_key(tx, held.tenant, list(keys)) if keys else {}
        fresh = {key: one for key, one in keys.items() if key not in stored}
        if fresh:
            await tasks.insert_tasks(
                tx,
                [task for _, task in fresh.values()],
                submitted=[_told(held, at, task) for at, task in fresh.values()],
                lanes=self._lanes,
            )
            await tasks.remember_keys(
                tx, [(held.tenant, key, content_hash(key), task.id) for key, (_, task) in fresh.items()]
            )
        fail_point("schedules.stored")
        values: dict[str, object] = {"next_at": plan.due.next_at, "last_error": plan.error}
        if plan.due.runs:
            values["last_at"] = plan.due.runs[-1]
        if keys:
            last_key, (_, last) = list(keys.items())[-1]
            values["last_task_id"] = stored[last_key][0] if last_key in stored else last.id
        await schedules.change(tx, held.id, values)
        deadlines = [task.deadline_at for _, task in fresh.values() if task.deadline_at]
        self._hints.ready(tx, *(task for _, task in fresh.values()), due=min([plan.due.next_at, *deadlines]))

    def _tell(self, schedule: Schedule, plan: _Plan) -> None:
        runs = self._metrics.schedule_runs
        if plan.tasks:
            runs.add("submitted", by=len(plan.tasks))
            ids = [task.id for _, task in plan.tasks]
            log.info("a schedule ran", schedule_id=schedule.id, tasks=ids)
        if plan.error is not None:
            runs.add("missed" if plan.is_missed else "refused")
            log.warning("a scheduled time has no task", schedule_id=schedule.id, **plan.error)


def _told(schedule: Schedule, at: datetime, task: Task) -> JsonObject:
    return {
        "agent_id": task.agent_id,
        "agent_version": task.agent_version,
        "by": schedule.created_by,
        "schedule": {"id": schedule.id, "due_at": _text(at)},
    }


def _as_data(error: ChargehandError, at: datetime) -> JsonObject:
    return {"code": error.code, "message": error.message, "due_at": _text(at)}


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
