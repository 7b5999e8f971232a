"""The journal's transactions: a step begins and ends together with its charge and its event.

Rule: what a step found is durable before anyone uses it; beginning one names the attempt, so that a worker
that lost its lease starts nothing more.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chargehand.clock import Clock
from chargehand.domain.approval import Approval, ApprovalStatus
from chargehand.domain.charge import DayLimits, Estimate, Grant, Settlement
from chargehand.domain.history import EventKind, Step, StepKind, StepStatus, changes_path, error_line
from chargehand.domain.money import usd_text
from chargehand.domain.rights import delegation_refusal
from chargehand.domain.task import FINAL, FOREVER, Task
from chargehand.domain.values import JsonObject, JsonValue, check_json
from chargehand.errors import BudgetExhausted, BudgetReserved, Forbidden, LeaseLost, PriceUnknown
from chargehand.failpoint import fail_point
from chargehand.service import endings, spending
from chargehand.service.agents import Agents
from chargehand.service.approvals import take_default
from chargehand.service.attempts import held_or_lost, require_held
from chargehand.service.endings import Hints
from chargehand.service.orders import new_task
from chargehand.service.ports import RuntimeDirectory
from chargehand.service.quotas import Quotas
from chargehand.store import approvals, history, messages, tasks
from chargehand.store.database import Database, Tx, retried
from chargehand.store.group import GroupCommit
from chargehand.store.lanes import Lanes

MAX_FOLLOWED = 10
"""How many tasks back a conversation goes."""
MAX_STEP_NODES = 200_000
"""How many JSON values a step's arguments may have."""


NO_DAY_LIMITS = DayLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """One piece of work for another agent."""

    agent_id: str
    task_data: JsonObject
    labels: dict[str, str]
    isolated: bool = False
    """In a workspace of its own, whose changes come back; the agent's definition may ask for that too."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a step found, and what it cost."""

    step: Step
    result: JsonValue
    used: Settlement | None = None


@dataclass(frozen=True, slots=True)
class _Begun:
    step: Step
    is_repeat: bool
    estimate: Estimate | None


@dataclass(frozen=True, slots=True)
class _Advance:
    """How far an attempt goes in one transaction: a step ends, or begins, or one ends and the next begins."""

    task: Task
    ended: Ended | None
    begun: _Begun | None


class Journal:
    """Steps of running attempts."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        agents: Agents,
        hints: Hints,
        runtimes: RuntimeDirectory,
        quotas: Quotas | None = None,
    ) -> None:
        """`quotas`: what each tenant may use in a day."""
        self._db = db
        self._clock = clock
        self._agents = agents
        self._hints = hints
        self._runtimes = runtimes
        self._quotas = quotas
        self._lanes = Lanes()
        self._advance = GroupCommit[_Advance, Grant | None](self._advance_group)

    async def load(self, task: Task) -> dict[str, Step]:
        """What is recorded of a task, by path. A first attempt finds nothing and is spared the look."""
        if task.attempt == 1:
            return {}
        async with self._db.read() as tx:
            return {step.path: step for step in await history.steps(tx, task.id)}

    def new_step(
        self, task: Task, path: str, kind: StepKind, name: str, arguments: JsonObject, status: StepStatus
    ) -> Step:
        """A step that starts now; not written yet. InvalidInput, PayloadTooLarge: it could not be kept."""
        check_json(arguments, max_nodes=MAX_STEP_NODES)
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

    async def begin(
        self,
        task: Task,
        step: Step,
        *,
        is_repeat: bool = False,
        estimate: Estimate | None = None,
        ended: Ended | None = None,
    ) -> Grant | None:
        """Write that a step starts, and take it out of the tree's budget. BudgetExhausted, LeaseLost.

        `is_repeat`: it was in flight when its worker died, and was counted then. With an `estimate`, which a model
        call has, its price is reserved too (PriceUnknown; BudgetReserved: ask again in a moment) and the answer says
        how long the model's may be. `ended`: the step before it, which ends in the same transaction, also when this
        one is refused.
        """
        grant = await self._advance(_Advance(task, ended, _Begun(step, is_repeat, estimate)))
        if ended is not None:
            fail_point("journal.ended")
        fail_point("journal.begun")
        return grant

    async def end(self, task: Task, step: Step, result: JsonValue, *, used: Settlement | None = None) -> None:
        """Write what a step found, and what it cost. LeaseLost when the attempt does not carry the task any more."""
        await self._advance(_Advance(task, Ended(step, result, used), None))
        fail_point("journal.ended")

    @retried
    async def unanswered(self, task: Task, step: Step, *, may_be_paid: bool) -> None:
        """A model call got no answer: free what was reserved for it, unless it may have been paid."""
        async with self._db.write() as tx:
            await held_or_lost(tx, task)
            await spending.give_back(tx, task, step.path, may_be_paid=may_be_paid)
            await endings.wake_for_budget(tx, self._hints, task)
        fail_point("journal.unanswered")

    @retried
    async def delegate(self, task: Task, step: Step, orders: Sequence[Delegation]) -> Step:
        """Create a child task for each order and the open step that waits for them, all or nothing.

        Forbidden: the agent's definition does not name whom it goes to, or the submitter's rights do not reach there.
        """
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
            for order in orders:
                if refusal := delegation_refusal(held.rights, by=held.agent_id, to=order.agent_id):
                    raise Forbidden(refusal)
            limits = await spending.spend(tx, task, steps=1, children=len(orders))
            if held.depth + 1 > limits:
                raise BudgetExhausted(
                    f"task {task.id} stands at depth {held.depth}; its tree may be {limits} deep"
                )
            lent = timedelta(seconds=await approvals.seconds_lent(tx, task.root_id))
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
                    deadline_at=_earlier(held.deadline_at, definition.block.timeout_seconds, tx.now + lent),
                    created_by=task.created_by,
                    now=tx.now,
                    parent=task,
                    parent_step=step.path,
                    own_workspace=order.isolated or definition.wishes.isolation is not None,
                )
                for definition, order in zip(definitions, orders, strict=True)
            ]
            ids: list[JsonValue] = [child.id for child in children]
            told: list[JsonObject] = [
                {"agent_id": child.agent_id, "agent_version": child.agent_version, "by": f"task:{task.id}"}
                for child in children
            ]
            await tasks.insert_tasks(tx, children, submitted=told, lanes=self._lanes)
            opened = replace(step, result=ids)
            await history.begin_steps(tx, [opened])
            await tasks.count_children(tx, task.id, len(children), root_id=task.root_id)
            listed: list[JsonValue] = [
                {"task_id": child.id, "agent_id": child.agent_id} for child in children
            ]
            data: JsonObject = {"path": step.path, "children": listed}
            await history.append(tx, [(task.id, EventKind.DELEGATED, data)])
            self._hints.changed(tx, task.id)
            due = min((child.deadline_at or FOREVER for child in children), default=None)
            self._hints.ready(tx, *children, due=due)
        fail_point("journal.delegated")
        return opened

    async def ended_children(self, step: Step) -> list[JsonValue] | None:
        """What the children of an open delegation came to, in order; None while one is still open."""
        ids = [str(one) for one in step.result] if isinstance(step.result, list) else []
        async with self._db.glance() as tx:
            found = await tasks.get(tx, ids)
            if any(found[task_id].status not in FINAL for task_id in ids):
                return None
            changes: dict[str, JsonValue] = {}
            for child in found.values():
                if child.workspace_id == child.id:
                    brought = await history.step(tx, child.id, changes_path(child.round))
                    changes[child.id] = brought.result if brought is not None else None
        return [tasks.result_of(found[task_id], changes=changes.get(task_id)) for task_id in ids]

    async def parent_workspace(self, task: Task) -> str:
        """Whose workspace the parent works in: what a child's own one is copied from and brought back to."""
        async with self._db.glance() as tx:
            parent = (await tasks.get(tx, [task.parent_id or ""]))[task.parent_id or ""]
        return parent.workspace_id or parent.root_id

    async def ask(self, task: Task, step: Step) -> None:
        """Write an open question; a person answers it over the API."""
        data: JsonObject = {"path": step.path, **step.arguments}
        await self._open(task, step, EventKind.ASKED, data)

    async def ask_approval(self, task: Task, step: Step, approval: Approval) -> Step:
        """Write an open approval and the step that waits for it; a person decides it over the API."""
        held: JsonObject = {"approval_id": approval.id, "expires_at": approval.expires_at.isoformat()}
        opened = replace(step, result=held)

        async def store(tx: Tx) -> None:
            await approvals.open_one(tx, approval)
            lasts = (approval.expires_at - tx.now).total_seconds()
            await approvals.shift_deadlines(tx, task.root_id, lasts)

        data: JsonObject = {
            **approval.as_event(),
            "summary": summary(replace(step, arguments=approval.arguments)),
        }
        await self._open(task, opened, EventKind.APPROVAL_REQUESTED, data, store)
        return opened

    @retried
    async def take_default(self, task: Task, step: Step) -> Step:
        """The step of an approval whose time is over, as it was decided: by somebody just now, or by its default."""
        async with self._db.write() as tx:
            await held_or_lost(tx, task)
            approval = await approvals.at(tx, task.id, step.path)
            if approval is not None and approval.status is ApprovalStatus.OPEN:
                await take_default(tx, self._hints, approval)
            found = await history.step(tx, task.id, step.path)
        return found or step

    async def unread_messages(self, task: Task) -> list[tuple[int, str]]:
        """What people told the task and no turn has taken yet."""
        async with self._db.glance() as tx:
            return await messages.unread(tx, task.id)

    @retried
    async def take_messages(self, task: Task, step: Step) -> Step:
        """Write a finished step that has taken what is unread; from then on every replay finds it there."""
        async with self._db.write() as tx:
            await held_or_lost(tx, task)
            found = await messages.unread(tx, task.id)
            await spending.spend(tx, task, steps=1)
            texts: list[JsonValue] = [text for _, text in found]
            taken = replace(step, status=StepStatus.DONE, result=texts, finished_at=tx.now)
            await history.begin_steps(tx, [taken])
            await messages.take(tx, task.id, [number for number, _ in found], step.path)
            numbers: list[JsonValue] = [number for number, _ in found]
            data: JsonObject = {"path": step.path, "numbers": numbers}
            await history.append(tx, [(task.id, EventKind.MESSAGE_TAKEN, data)])
            self._hints.changed(tx, task.id)
        return taken

    async def followed(self, task: Task) -> list[tuple[Task, list[Step]]]:
        """The tasks that this one goes on from, with their journals, oldest first."""
        found: list[tuple[Task, list[Step]]] = []
        async with self._db.read() as tx:
            before = task.follows_id
            while before is not None and len(found) < MAX_FOLLOWED:
                earlier = (await tasks.get(tx, [before])).get(before)
                if earlier is None or earlier.tenant != task.tenant:
                    break
                found.append((earlier, await history.steps(tx, before)))
                before = earlier.follows_id
        return found[::-1]

    async def set_timer(self, task: Task, step: Step, until: datetime) -> Step:
        """Write an open timer, which ends at `until`."""
        opened = replace(step, result=until.isoformat())
        await self._open(task, opened, EventKind.STEP_STARTED, _told(opened))
        return opened

    @retried
    async def _open(
        self,
        task: Task,
        step: Step,
        kind: EventKind,
        data: JsonObject,
        also: Callable[[Tx], Awaitable[None]] | None = None,
    ) -> None:
        async with self._db.write() as tx:
            await held_or_lost(tx, task)
            await spending.spend(tx, task, steps=1)
            await history.begin_steps(tx, [step])
            if also is not None:
                await also(tx)
            await history.append(tx, [(task.id, kind, data)])
            self._hints.changed(tx, task.id)
        fail_point("journal.opened")

    @retried
    async def _advance_group(self, group: Sequence[_Advance]) -> Sequence[Grant | Exception | None]:
        answers: list[Grant | Exception | None] = []
        ended: list[Ended] = []
        begun: list[_Begun] = []
        events: list[tuple[str, EventKind, JsonObject]] = []
        days = await self._days(one.task.tenant for one in group if one.begun and one.begun.estimate)
        async with self._db.write() as tx:
            held = await tasks.hold(tx, [id_ for one in group for id_ in (one.task.id, one.task.root_id)])
            for one in group:
                try:
                    require_held(held.get(one.task.id), one.task)
                    if one.ended is not None:
                        ended.append(await self._settled(tx, held, one.task, one.ended))
                        events += _events_of(ended[-1], self._clock.now())
                    day = days.get(one.task.tenant, NO_DAY_LIMITS)
                    grant = await self._pay_for(tx, held, one.task, one.begun, day) if one.begun else None
                except (LeaseLost, BudgetExhausted, BudgetReserved, PriceUnknown) as error:
                    answers.append(error)
                else:
                    if one.begun is not None:
                        begun.append(one.begun)
                        events.append((one.task.id, EventKind.STEP_STARTED, _told(one.begun.step)))
                    answers.append(grant)
            await history.finish_steps(tx, [(one.step.task_id, one.step.path, one.result) for one in ended])
            await tasks.clear_losses(tx, [held[one.step.task_id] for one in ended])
            fresh, again = (
                [one.step for one in begun if one.is_repeat is repeats] for repeats in (False, True)
            )
            await history.begin_steps(tx, fresh, again)
            await history.append(tx, events, held=held)
            self._hints.changed(tx, *dict.fromkeys(task_id for task_id, _, _ in events))
            paid = {held[one.step.task_id].root_id for one in ended if one.used is not None}
            for root in (held[root_id] for root_id in paid):
                # A task that is alone in its tree waits for nobody's reservation.
                if root.children_spent:
                    await endings.wake_for_budget(tx, self._hints, root)
        return answers

    async def _settled(self, tx: Tx, held: dict[str, Task], task: Task, ended: Ended) -> Ended:
        if ended.used is None:
            return ended
        return replace(ended, used=await spending.settle(tx, held, task, ended.step.path, ended.used))

    async def _days(self, tenants: Iterable[str]) -> dict[str, DayLimits]:
        """What each of them may use in a day; looked up before the transaction, which holds a connection."""
        if self._quotas is None:
            return {}
        return {tenant: await self._quotas.day(tenant) for tenant in tenants}

    async def _pay_for(
        self, tx: Tx, held: dict[str, Task], task: Task, begun: _Begun, day: DayLimits
    ) -> Grant | None:
        """Take what a step needs out of the tree's budget; a model call's is reserved each time it is made."""
        tool_calls = int(begun.step.kind is StepKind.TOOL)
        if not begun.is_repeat:
            await spending.spend(tx, task, steps=1, tool_calls=tool_calls, root=held[task.root_id])
        if begun.estimate is None:
            return None
        if begun.is_repeat:
            await spending.lose_interrupted(tx, task, begun.step.path)
        try:
            return await spending.reserve(tx, held, task, begun.step, begun.estimate, day)
        except (BudgetExhausted, BudgetReserved, PriceUnknown):
            if not begun.is_repeat:
                await spending.spend(tx, task, steps=-1)
            raise


def _earlier(deadline: datetime | None, seconds: float | None, now: datetime) -> datetime | None:
    """A child's deadline: its tree's, or its own agent's time-out when that is sooner."""
    if seconds is None:
        return deadline
    own = now + timedelta(seconds=seconds)
    return own if deadline is None else min(own, deadline)


def _told(step: Step) -> JsonObject:
    return {"path": step.path, "kind": step.kind.value, "name": step.name, "summary": summary(step)}


def _events_of(one: Ended, now: datetime) -> list[tuple[str, EventKind, JsonObject]]:
    """That the step finished; of a check also what it found."""
    events = [(one.step.task_id, EventKind.STEP_FINISHED, _found(one, now))]
    if one.step.kind is StepKind.CHECK and isinstance(one.result, dict):
        events.append((one.step.task_id, EventKind.CHECKED, one.result))
    return events


def _found(one: Ended, now: datetime) -> JsonObject:
    data = _told(one.step)
    data["is_error"] = history.went_wrong(replace(one.step, status=StepStatus.DONE, result=one.result))
    if data["is_error"] and (line := error_line(one.result)):
        data["error"] = line
    data["duration_seconds"] = round((now - one.step.started_at).total_seconds(), 3)
    if one.used is not None:
        data["model"] = one.used.model
        data["tokens"] = one.used.input_tokens + one.used.output_tokens
        data["usd"] = None if one.used.usd_nanos is None else usd_text(one.used.usd_nanos)
    return data


def summary(step: Step) -> str:
    """One short line of what a step is about: a path, a command, a pattern."""
    for key in ("file_path", "command", "pattern", "question", "path", "check"):
        value = step.arguments.get(key)
        if isinstance(value, str):
            line = value.strip().splitlines()[0] if value.strip() else ""
            return line[:120]
    return ""
