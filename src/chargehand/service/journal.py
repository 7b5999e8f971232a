"""The journal's transactions: a step begins and ends together with its charge and its event.

Rule: what a step found is durable before anyone uses it; beginning one names the attempt, so that a worker
that lost its lease starts nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chargehand.clock import Clock
from chargehand.domain.history import EventKind, Step, StepKind, StepStatus
from chargehand.domain.task import FINAL, FOREVER, Task
from chargehand.domain.values import JsonObject, JsonValue, check_json
from chargehand.errors import BudgetExhausted, Forbidden, LeaseLost
from chargehand.failpoint import fail_point
from chargehand.service.agents import Agents
from chargehand.service.attempts import held_or_lost, is_held
from chargehand.service.endings import Hints
from chargehand.service.ports import RuntimeDirectory
from chargehand.service.tasks import new_task
from chargehand.store import history, tasks
from chargehand.store.database import Database, Tx
from chargehand.store.group import GroupCommit

MAX_STEP_NODES = 200_000
"""How many JSON values a step's arguments may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """One piece of work for another agent."""

    agent_id: str
    task_data: JsonObject
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Begin:
    task: Task
    step: Step
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class _End:
    task: Task
    step: Step
    result: JsonValue


class Journal:
    """Steps of running attempts."""

    def __init__(
        self, db: Database, clock: Clock, agents: Agents, hints: Hints, runtimes: RuntimeDirectory
    ) -> None:
        self._db = db
        self._clock = clock
        self._agents = agents
        self._hints = hints
        self._runtimes = runtimes
        self._begin = GroupCommit[_Begin, None](self._begin_group)
        self._end = GroupCommit[_End, None](self._end_group)

    async def load(self, task: Task) -> dict[str, Step]:
        """What is recorded of a task, by path. A first attempt finds nothing and is spared the look."""
        if task.attempt == 1:
            return {}
        async with self._db.read() as tx:
            return {step.path: step for step in await history.steps(tx, task.id)}

    def new_step(
        self, task: Task, path: str, kind: StepKind, name: str, arguments: JsonObject, status: StepStatus
    ) -> Step:
        """A step that starts now; not written yet."""
        return Step(
            task_id=task.id,
            path=path,
            kind=kind,
            name=name,
            arguments=arguments,
            status=status,
            result=None,
            attempt=task.attempt,
            started_at=self._clock.now(),
            finished_at=None,
        )

    async def begin(self, task: Task, step: Step, *, is_repeat: bool = False) -> None:
        """Write that a step starts, and take it out of the tree's budget. BudgetExhausted, LeaseLost.

        `is_repeat`: it was in flight when its worker died, and was paid for then.
        """
        check_json(step.arguments, max_nodes=MAX_STEP_NODES)
        await self._begin(_Begin(task, step, is_repeat))
        fail_point("journal.begun")

    async def end(self, task: Task, step: Step, result: JsonValue) -> None:
        """Write what a step found. LeaseLost when the attempt does not carry the task any more."""
        await self._end(_End(task, step, result))
        fail_point("journal.ended")

    async def delegate(self, task: Task, step: Step, orders: Sequence[Delegation]) -> Step:
        """Create a child task for each order and the open step that waits for them, all or nothing."""
        check_json(step.arguments, max_nodes=MAX_STEP_NODES)
        definitions = [await self._agents.version_for(task.tenant, order.agent_id) for order in orders]
        for definition, order in zip(definitions, orders, strict=True):
            self._runtimes.check_input(definition, order.task_data)
        mine = await self._agents.version(task.tenant, task.agent_id, task.agent_version)
        for order in orders:
            if order.agent_id not in mine.block.delegates:
                allowed = ", ".join(mine.block.delegates) or "nobody"
                raise Forbidden(
                    f"agent {task.agent_id!r} may delegate to {allowed}, not to {order.agent_id!r}"
                )
        async with self._db.write() as tx:
            held = await held_or_lost(tx, task)
            limits = await self._spend(tx, task, steps=1, children=len(orders))
            if held.depth + 1 > limits:
                raise BudgetExhausted(
                    f"task {task.id} stands at depth {held.depth}; its tree may be {limits} deep"
                )
            children = [
                new_task(
                    id=self._clock.new_id(),
                    tenant=task.tenant,
                    definition=definition,
                    task_data=order.task_data,
                    run_after=tx.now,
                    priority=task.priority,
                    root_id=task.root_id,
                    context_id=task.context_id,
                    labels=order.labels,
                    deadline_at=_earlier(held.deadline_at, definition.block.timeout_seconds, tx.now),
                    created_by=task.created_by,
                    now=tx.now,
                    parent=task,
                    parent_step=step.path,
                )
                for definition, order in zip(definitions, orders, strict=True)
            ]
            ids: list[JsonValue] = [child.id for child in children]
            told: list[JsonObject] = [
                {"agent_id": child.agent_id, "agent_version": child.agent_version, "by": f"task:{task.id}"}
                for child in children
            ]
            await tasks.insert_tasks(tx, children, submitted=told)
            opened = replace(step, result=ids)
            await history.begin_steps(tx, [opened])
            await tasks.count_children(tx, task.id, len(children), root_id=task.root_id)
            listed: list[JsonValue] = [
                {"task_id": child.id, "agent_id": child.agent_id} for child in children
            ]
            data: JsonObject = {"path": step.path, "children": listed}
            await history.append(tx, [(task.id, EventKind.DELEGATED, data)])
            self._hints.changed(tx, task.id)
            self._hints.ready(tx, due=min((child.deadline_at or FOREVER for child in children), default=None))
        fail_point("journal.delegated")
        return opened

    async def ended_children(self, step: Step) -> list[JsonValue] | None:
        """What the children of an open delegation came to, in order; None while one is still open."""
        ids = [str(one) for one in step.result] if isinstance(step.result, list) else []
        async with self._db.glance() as tx:
            found = await tasks.get(tx, ids)
        if any(found[task_id].status not in FINAL for task_id in ids):
            return None
        return [tasks.result_of(found[task_id]) for task_id in ids]

    async def ask(self, task: Task, step: Step) -> None:
        """Write an open question; a person answers it over the API."""
        data: JsonObject = {"path": step.path, **step.arguments}
        await self._open(task, step, EventKind.ASKED, data)

    async def set_timer(self, task: Task, step: Step, until: datetime) -> Step:
        """Write an open timer, which ends at `until`."""
        opened = replace(step, result=until.isoformat())
        await self._open(task, opened, EventKind.STEP_STARTED, _told(opened))
        return opened

    async def _open(self, task: Task, step: Step, kind: EventKind, data: JsonObject) -> None:
        check_json(step.arguments, max_nodes=MAX_STEP_NODES)
        async with self._db.write() as tx:
            await held_or_lost(tx, task)
            await self._spend(tx, task, steps=1)
            await history.begin_steps(tx, [step])
            await history.append(tx, [(task.id, kind, data)])
            self._hints.changed(tx, task.id)
        fail_point("journal.opened")

    async def _spend(self, tx: Tx, task: Task, *, steps: int, children: int = 0) -> int:
        """Take from the tree's pool, whose limits are the root's; how deep the tree may be."""
        root = (await tasks.get(tx, [task.root_id]))[task.root_id]
        limits = root.limits
        if not await tasks.spend(
            tx, task.root_id, steps=steps, children=children, most=(limits.steps, limits.children)
        ):
            raise BudgetExhausted(
                f"the tree of task {task.root_id} has used its budget of {limits.steps} steps or"
                f" {limits.children} children; raise `budget` in the definition of {root.agent_id!r}"
            )
        return limits.depth

    async def _begin_group(self, group: Sequence[_Begin]) -> Sequence[Exception | None]:
        answers: list[Exception | None] = []
        begun: list[Step] = []
        async with self._db.write() as tx:
            held = await tasks.hold(tx, [one.task.id for one in group])
            for one in group:
                try:
                    _require_held(held, one.task)
                    if not one.is_repeat:
                        await self._spend(tx, one.task, steps=1)
                except (LeaseLost, BudgetExhausted) as error:
                    answers.append(error)
                else:
                    begun.append(one.step)
                    answers.append(None)
            await history.begin_steps(tx, begun)
            started = [(step.task_id, EventKind.STEP_STARTED, _told(step)) for step in begun]
            await history.append(tx, started, held=held)
            self._hints.changed(tx, *(step.task_id for step in begun))
        return answers

    async def _end_group(self, group: Sequence[_End]) -> Sequence[Exception | None]:
        answers: list[Exception | None] = []
        ended: list[_End] = []
        async with self._db.write() as tx:
            held = await tasks.hold(tx, [one.task.id for one in group])
            for one in group:
                try:
                    _require_held(held, one.task)
                except LeaseLost as error:
                    answers.append(error)
                else:
                    ended.append(one)
                    answers.append(None)
            await history.finish_steps(tx, [(one.step.task_id, one.step.path, one.result) for one in ended])
            await tasks.clear_losses(tx, [held[one.task.id] for one in ended])
            now = self._clock.now()
            await history.append(tx, [event for one in ended for event in _events_of(one, now)], held=held)
            self._hints.changed(tx, *(one.task.id for one in ended))
        return answers


def _earlier(deadline: datetime | None, seconds: float | None, now: datetime) -> datetime | None:
    """A child's deadline: its tree's, or its own agent's time-out when that is sooner."""
    if seconds is None:
        return deadline
    own = now + timedelta(seconds=seconds)
    return own if deadline is None else min(own, deadline)


def _require_held(held: dict[str, Task], task: Task) -> None:
    now = held.get(task.id)
    if now is None or not is_held(now, task):
        raise LeaseLost(
            f"attempt {task.attempt} of task {task.id} was taken over or ended; its work is dropped"
        )


def _told(step: Step) -> JsonObject:
    return {"path": step.path, "kind": step.kind.value, "name": step.name, "summary": summary(step)}


def _events_of(one: _End, now: datetime) -> list[tuple[str, EventKind, JsonObject]]:
    """That the step finished; of a check also what it found."""
    events = [(one.task.id, EventKind.STEP_FINISHED, _found(one, now))]
    if one.step.kind is StepKind.CHECK and isinstance(one.result, dict):
        events.append((one.task.id, EventKind.CHECKED, one.result))
    return events


def _found(one: _End, now: datetime) -> JsonObject:
    data = _told(one.step)
    data["is_error"] = history.went_wrong(replace(one.step, status=StepStatus.DONE, result=one.result))
    data["duration_seconds"] = round((now - one.step.started_at).total_seconds(), 3)
    return data


def summary(step: Step) -> str:
    """One short line of what a step is about: a path, a command, a pattern."""
    for key in ("file_path", "command", "pattern", "question", "path", "check"):
        value = step.arguments.get(key)
        if isinstance(value, str):
            line = value.strip().splitlines()[0] if value.strip() else ""
            return line[:120]
    return ""
