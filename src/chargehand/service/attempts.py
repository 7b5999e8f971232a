"""What workers do with tasks: claim, renew, finish, release.

Rule: every write names the attempt. When the row says otherwise the lease is lost (LeaseLost): another worker
carries the task or nobody may, and the caller drops its work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from chargehand.clock import Clock
from chargehand.domain.fairness import Concurrency
from chargehand.domain.history import EventKind
from chargehand.domain.queues import EVERY_AGENT, AgentScope
from chargehand.domain.task import (
    FOREVER,
    Canceled,
    Completed,
    Failed,
    Move,
    Outcome,
    Reason,
    Released,
    Status,
    Suspended,
    Task,
)
from chargehand.domain.values import JsonObject
from chargehand.errors import LeaseLost
from chargehand.failpoint import fail_point
from chargehand.service import claims, endings
from chargehand.service.agents import Agents
from chargehand.service.endings import Hints
from chargehand.service.tenant_limits import LimitsOfTenants
from chargehand.store import history, messages, tasks
from chargehand.store.database import Database, Tx, retried
from chargehand.store.group import GroupCommit

NO_LIMITS = Concurrency()


@dataclass(frozen=True, slots=True)
class _Finish:
    task: Task
    outcome: Outcome


class Attempts:
    """What workers do with the tasks that they carry."""

    def __init__(
        self,
        db: Database,
        agents: Agents,
        hints: Hints,
        lease: timedelta,
        clock: Clock,
        limits: Concurrency = NO_LIMITS,
        of_tenants: LimitsOfTenants | None = None,
    ) -> None:
        """`of_tenants`: who knows which tenants may run another number of tasks than `limits` says."""
        self._db = db
        self._clock = clock
        self._limits = limits
        self._of_tenants = of_tenants
        self._served: dict[str, int] = {}
        self._agents = agents
        self._hints = hints
        self.lease = lease
        self.is_held_back = False
        """Whether a limit kept something back that was due at the last claim, until a task that runs has ended."""
        self._finish = GroupCommit[_Finish, Task](self._finish_group)

    @retried
    async def claim(self, worker: str, *, limit: int, scope: AgentScope = EVERY_AGENT) -> list[Task]:
        """Take up to `limit` ready tasks of agents in the scope. The attempt number grows before anything is run."""
        limits = self._limits
        if self._of_tenants is not None:
            limits = replace(limits, of_tenant=await self._of_tenants.concurrency())
        async with self._db.write() as tx:
            claimed = await claims.take(
                tx,
                worker=worker,
                lease=self.lease,
                most=limit,
                limits=limits,
                served=self._served,
                scope=scope,
            )
            started = [
                history.row(
                    task.id,
                    task.last_event,
                    EventKind.STARTED,
                    tx.now,
                    {"attempt": task.attempt, "worker": worker},
                    tenant=task.tenant,
                )
                for task in claimed.tasks
            ]
            await history.insert_events(tx, started)
            self._hints.changed(tx, *(task.id for task in claimed.tasks))
        fail_point("attempts.claimed")
        self.is_held_back = claimed.is_held_back
        return claimed.tasks

    @retried
    async def renew(self, worker: str, attempts: Mapping[str, int]) -> tuple[set[str], set[str]]:
        """Prolong leases. Returns (tasks whose lease is lost, tasks that somebody wants canceled)."""
        async with self._db.write() as tx:
            held = await tasks.renew(tx, worker=worker, attempts=attempts, lease=self.lease)
        canceled = {task.id for task in held.values() if task.cancel_requested_at is not None}
        return set(attempts) - set(held), canceled

    async def deadline(self, task: Task) -> datetime | None:
        """When the task must have ended, as its row says now: waits for a person move it."""
        async with self._db.glance() as tx:
            now = (await tasks.get(tx, [task.id])).get(task.id)
        return now.deadline_at if now is not None else task.deadline_at

    async def finish(self, task: Task, outcome: Outcome) -> Task:
        """End the attempt with its outcome; the task as it then stands. LeaseLost when it is not ours."""
        ended = await self._finish(_Finish(task, outcome))
        fail_point("attempts.finished")
        return ended

    async def drain(self) -> None:
        """Wait until every outcome that was handed in is written, also those whose caller was cut off."""
        await self._finish.drain()

    @retried
    async def _finish_group(self, group: Sequence[_Finish]) -> Sequence[Task | Exception]:
        answers: dict[int, Task | Exception] = {}
        async with self._db.write() as tx:
            held = await tasks.hold(tx, [one.task.id for one in group])
            plain: list[tuple[int, Task, dict[str, Any]]] = []
            for index, one in enumerate(group):
                now = held.get(one.task.id)
                if now is None or not is_held(now, one.task) or not isinstance(one.outcome, Completed):
                    continue
                if not await _must_go_on(tx, now, one.task):
                    values = {"reason": None, "result": one.outcome.result, "error": None}
                    plain.append((index, now, values))
            moved = await endings.end(
                tx, self._hints, Move.COMPLETE, [(task, values) for _, task, values in plain]
            )
            answers |= {index: task for (index, _, _), task in zip(plain, moved, strict=True)}
            for index, one in enumerate(group):
                if index not in answers:
                    answers[index] = await self._end_otherwise(tx, one)
        return [answers[index] for index in range(len(group))]

    async def _end_otherwise(self, tx: Tx, one: _Finish) -> Task | LeaseLost:
        """End one attempt, looking at its row again: what ended just before it may have woken or canceled it."""
        try:
            task = await held_or_lost(tx, one.task)
        except LeaseLost as lost:
            return lost
        match _as_it_stands(task, one):
            case Suspended() as outcome:
                moved = await self._suspend(tx, task, outcome)
            case Released() as outcome:
                moved = await self._release(tx, task, outcome)
            case Canceled():
                reason = task.reason or Reason.CANCELED_BY_CALLER.value
                values = {"reason": reason, "result": None, "error": None}
                moved = await endings.end(tx, self._hints, Move.CANCEL, [(task, values)])
            case Failed() as outcome:
                moved = await self._fail(tx, task, outcome)
            case Completed():
                # Somebody told it something while it said its last word; the next attempt hears it.
                await history.discard_checks(tx, task)
                moved = await self._release(tx, task, Released())
        self._hints.changed(tx, task.id)
        return moved[0]

    async def _release(self, tx: Tx, task: Task, outcome: Released) -> list[Task]:
        due = tx.now + timedelta(seconds=outcome.after_seconds)
        moved = await tasks.move(tx, Move.RELEASE, [(task, {"reason": None, "run_after": due})])
        await history.append(tx, [(task.id, EventKind.RELEASED, {"attempt": task.attempt})])
        self._hints.ready(tx, *moved, due=due)
        return moved

    async def _suspend(self, tx: Tx, task: Task, outcome: Suspended) -> list[Task]:
        """Wait, unless what is waited for came between the attempt's look and now."""
        until = outcome.until or FOREVER
        values: dict[str, Any] = {"reason": outcome.reason.value, "run_after": until}
        told: JsonObject = {"reason": outcome.reason.value}
        if outcome.until is not None:
            told["until"] = outcome.until.isoformat()
        moved = await tasks.move(tx, Move.WAIT, [(task, values)])
        await history.append(tx, [(task.id, EventKind.WAITING, told)])
        # An earlier timer may be due before what the engine sleeps for.
        self._hints.ready(tx, due=outcome.until)
        return moved

    async def _fail(self, tx: Tx, task: Task, outcome: Failed) -> list[Task]:
        error = outcome.error.as_data()
        delay = await self._retry_delay(task) if outcome.may_retry else None
        if delay is None:
            values = {"reason": outcome.error.reason.value, "result": None, "error": error}
            return await endings.end(tx, self._hints, Move.FAIL, [(task, values)])
        values = {
            "reason": Reason.RETRY.value,
            "tries": task.tries + 1,
            "error": error,
            "run_after": tx.now + timedelta(seconds=delay),
        }
        moved = await tasks.move(tx, Move.DEFER, [(task, values)])
        await history.discard_last_failures(tx, task.id)
        told: JsonObject = {"error": error, "retry_in_seconds": delay}
        await history.append(tx, [(task.id, EventKind.DEFERRED, told)])
        self._hints.ready(tx, *moved, due=tx.now + timedelta(seconds=delay))
        return moved

    async def _retry_delay(self, task: Task) -> float | None:
        """Seconds to wait before the next try; None when the agent's policy has none left."""
        block = (await self._agents.version(task.tenant, task.agent_id, task.agent_version)).block
        if task.tries + 1 >= block.attempts:
            return None
        # Anywhere up to the whole pause: what failed together, at one server that was down say, does not come back
        # together.
        return block.longest_pause(task.tries) * self._clock.random()

    @retried
    async def next_round(self, task: Task, failures: Sequence[JsonObject]) -> Task:
        """Begin a repair round: the agent is told which checks failed."""
        async with self._db.write() as tx:
            held = await held_or_lost(tx, task)
            round_ = held.round + 1
            await tasks.set_round(tx, task.id, round_)
            told: JsonObject = {"round": round_, "failures": list(failures)}
            await history.append(tx, [(task.id, EventKind.REPAIR, told)])
            self._hints.changed(tx, task.id)
            now = await tasks.get(tx, [task.id])
        return now[task.id]

    @retried
    async def report(self, task: Task, kind: EventKind, data: JsonObject) -> None:
        """Append an event of a running attempt."""
        async with self._db.write() as tx:
            await held_or_lost(tx, task)
            await history.append(tx, [(task.id, kind, data)])
            self._hints.changed(tx, task.id)

    def is_watched(self, task: Task) -> bool:
        """Whether somebody in this process would be told what is in no row."""
        return self._hints.signals.is_watched(task.id)

    def say(self, task: Task, told: JsonObject) -> None:
        """Tell those who watch the task just now something that is kept nowhere."""
        self._hints.signals.say(task.id, told)


async def _must_go_on(tx: Tx, now: Task, seen: Task) -> bool:
    """Whether a message came that the attempt has not seen; looked at only when something came at all."""
    return now.wakes != seen.wakes and bool(await messages.unread(tx, now.id))


def is_held(now: Task, seen: Task) -> bool:
    """Whether the row still says that this attempt carries the task."""
    return now.status is Status.RUNNING and now.attempt == seen.attempt and now.worker_id == seen.worker_id


async def held_or_lost(tx: Tx, seen: Task) -> Task:
    """The task as it stands, held for this transaction; LeaseLost when another attempt carries it."""
    return require_held((await tasks.hold(tx, [seen.id])).get(seen.id), seen)


def require_held(now: Task | None, seen: Task) -> Task:
    """As `held_or_lost`, of a row that this transaction holds already."""
    if now is None or not is_held(now, seen):
        raise LeaseLost(
            f"attempt {seen.attempt} of task {seen.id} was taken over or ended; its work is dropped"
        )
    return now


def _as_it_stands(now: Task, one: _Finish) -> Outcome:
    """A cancel wins over giving up; a wait that is over already is a release."""
    if now.cancel_requested_at is not None and not isinstance(one.outcome, Completed):
        return Canceled()
    if isinstance(one.outcome, Suspended) and now.wakes != one.task.wakes:
        return Released()
    return one.outcome
