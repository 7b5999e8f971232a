"""What callers can do with schedules: make, read, change, remove, and run one at once."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from chargehand.clock import Clock
from chargehand.domain.access import Principal, Scope
from chargehand.domain.agent_ranking import AUTO
from chargehand.domain.audit import Action
from chargehand.domain.rights import rights_of
from chargehand.domain.schedule import Missed, Schedule, ScheduleOrder, cron_of
from chargehand.domain.task import FOREVER, TaskOrder
from chargehand.domain.values import JsonObject
from chargehand.errors import Conflict, InvalidInput, RaceLost, ScheduleNameTaken, ScheduleNotFound
from chargehand.service.audit_records import record
from chargehand.service.endings import Hints
from chargehand.service.pages import Page, check_limit, page_of
from chargehand.service.tasks import Accepted, Tasks
from chargehand.store import schedules, tenants
from chargehand.store.database import Database, Tx, retried

MAX_SCHEDULES = 1_000
"""How many a tenant may have."""
LABEL = "schedule"
"""Each task of a schedule carries its name under this."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Schedules:
    """The use cases."""

    def __init__(self, db: Database, clock: Clock, orders: Tasks, hints: Hints) -> None:
        self._db = db
        self._clock = clock
        self._orders = orders
        self._hints = hints

    @retried
    async def create(self, who: Principal, order: ScheduleOrder) -> Schedule:
        """Store a schedule; its task is judged now as it will be when its time comes.

        Raises what submitting the task would raise, InvalidInput, ScheduleNameTaken, Conflict (too many).
        """
        who.require(Scope.TASKS_WRITE)
        await self._check(who, order)
        async with self._db.write(who.tenant) as tx:
            await tenants.hold_count(tx, who.tenant)
            await _refuse_taken(tx, who.tenant, order.name)
            if await schedules.count(tx, who.tenant) >= MAX_SCHEDULES:
                raise Conflict(f"there are {MAX_SCHEDULES} schedules, as many as there may be; remove one")
            ordered: dict[str, Any] = {one.name: getattr(order, one.name) for one in fields(order)}
            schedule = Schedule(
                **ordered,
                id=self._clock.new_id(),
                tenant=who.tenant,
                next_at=_next_at(order, tx.now),
                last_at=None,
                last_task_id=None,
                last_error=None,
                created_by=who.id,
                rights=rights_of(who),
                created_at=tx.now,
                updated_at=tx.now,
            )
            await schedules.add(tx, schedule)
            self._hints.ready(tx, due=schedule.next_at)
            details: JsonObject = {"name": order.name, "agent_id": order.agent_id}
            await record(tx, who, Action.SCHEDULE_CREATED, schedule.id, details)
        return schedule

    async def get(self, who: Principal, schedule_id: str) -> Schedule:
        """One schedule. ScheduleNotFound for another tenant's."""
        who.require(Scope.TASKS_READ)
        async with self._db.read(who.tenant) as tx:
            return _mine(await schedules.get(tx, schedule_id), who, schedule_id)

    async def page(
        self,
        who: Principal,
        *,
        name: str | None = None,
        agent_id: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Page[Schedule, str]:
        """The tenant's schedules, newest first."""
        who.require(Scope.TASKS_READ)
        check_limit(limit)
        async with self._db.read(who.tenant) as tx:
            found = await schedules.page(
                tx,
                tenant=who.tenant,
                name=name,
                agent_id=agent_id,
                before=before,
                limit=limit + 1,
                agents=who.agents,
            )
        return page_of(found, limit, lambda one: one.id)

    @retried
    async def change(self, who: Principal, schedule_id: str, changes: Mapping[str, Any]) -> Schedule:
        """Give fields of the order other values; what comes of it is judged as a new schedule is.

        With another `cron` or `time_zone`, or paused no more, it goes on from now: what was missed is not run.
        """
        who.require(Scope.TASKS_WRITE)
        async with self._db.read(who.tenant) as tx:
            seen = _mine(await schedules.get(tx, schedule_id), who, schedule_id)
        order = replace(seen, **changes)
        if set(changes) - {"is_paused"} or not order.is_paused:
            await self._check(who, order)
        async with self._db.write(who.tenant) as tx:
            held = _mine(await schedules.hold(tx, schedule_id), who, schedule_id)
            if held.updated_at != seen.updated_at:
                raise RaceLost(f"schedule {schedule_id} was changed meanwhile; ask again")
            if order.name != held.name:
                await _refuse_taken(tx, who.tenant, order.name)
            values: dict[str, Any] = {**changes}
            if any(getattr(order, name) != getattr(held, name) for name in _WHEN):
                values["next_at"] = _next_at(order, tx.now)
            if values:
                await schedules.change(tx, schedule_id, values)
            changed = _mine(await schedules.get(tx, schedule_id), who, schedule_id)
            self._hints.ready(tx, due=changed.next_at)
            if values:
                details: JsonObject = {"name": changed.name, "changed": [*sorted(changes)]}
                await record(tx, who, Action.SCHEDULE_CHANGED, schedule_id, details)
        return changed

    @retried
    async def remove(self, who: Principal, schedule_id: str) -> None:
        """End a schedule; the tasks that it brought stay as they are."""
        who.require(Scope.TASKS_WRITE)
        async with self._db.write(who.tenant) as tx:
            held = _mine(await schedules.hold(tx, schedule_id), who, schedule_id)
            await schedules.remove(tx, schedule_id)
            await record(tx, who, Action.SCHEDULE_REMOVED, schedule_id, {"name": held.name})

    async def run(self, who: Principal, schedule_id: str, idempotency_key: str | None = None) -> Accepted:
        """Submit its task now, also while it is paused; when it runs next stays as it is."""
        who.require(Scope.TASKS_WRITE)
        async with self._db.read(who.tenant) as tx:
            schedule = _mine(await schedules.get(tx, schedule_id), who, schedule_id)
        order = task_order(schedule)
        return await self._orders.submit(who, replace(order, idempotency_key=idempotency_key))

    async def _check(self, who: Principal, order: ScheduleOrder) -> None:
        if not _NAME.fullmatch(order.name):
            raise InvalidInput("name is 1 to 128 of A-Z a-z 0-9 _ . - and begins with a letter or a digit")
        if order.missed not in list(Missed):
            raise InvalidInput(f"missed is one of {', '.join(Missed)}, not {str(order.missed)[:64]!r}")
        cron_of(order.cron, order.time_zone)
        if order.agent_id == AUTO:
            raise InvalidInput(f"a schedule names its agent; {AUTO!r} is for tasks that are submitted")
        if LABEL in order.labels:
            raise InvalidInput(f"the label {LABEL!r} is the schedule's name; take another key")
        await self._orders.prepared(who, task_order(order))


_WHEN = ("cron", "time_zone", "is_paused")


def task_order(schedule: ScheduleOrder) -> TaskOrder:
    """What is submitted when its time comes."""
    return TaskOrder(
        agent_id=schedule.agent_id,
        task_data=schedule.task_data,
        labels={**schedule.labels, LABEL: schedule.name},
        priority=schedule.priority,
        timeout_seconds=schedule.timeout_seconds,
        budget=schedule.budget,
    )


def _next_at(order: ScheduleOrder, now: datetime) -> datetime:
    if order.is_paused:
        return FOREVER
    return cron_of(order.cron, order.time_zone).next_after(now) or FOREVER


async def _refuse_taken(tx: Tx, tenant: str, name: str) -> None:
    if (other := await schedules.named(tx, tenant, name)) is not None:
        raise ScheduleNameTaken(f"there is a schedule {name!r} already, with the id {other}")


def _mine(schedule: Schedule | None, who: Principal, schedule_id: str) -> Schedule:
    if schedule is None or schedule.tenant != who.tenant or not who.sees(schedule.agent_id):
        raise ScheduleNotFound(f"there is no schedule {schedule_id[:64]!r}")
    return schedule
