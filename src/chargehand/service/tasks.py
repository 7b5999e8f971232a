"""What callers can do with tasks: submit, cancel, retry, answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from chargehand.clock import Clock
from chargehand.domain.access import Principal, Scope
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.agent_ranking import AUTO
from chargehand.domain.audit import Action
from chargehand.domain.budget import Budget
from chargehand.domain.charge import DayLimits
from chargehand.domain.history import EventKind, StepKind, StepStatus
from chargehand.domain.money import usd_text
from chargehand.domain.rights import rights_of
from chargehand.domain.task import FINAL, Move, Reason, Status, Task, TaskOrder
from chargehand.domain.values import JsonObject, JsonValue, check_json
from chargehand.errors import (
    ChargehandError,
    IdempotencyMismatch,
    IllegalMove,
    InvalidInput,
    TaskNotFound,
)
from chargehand.failpoint import fail_point
from chargehand.service import endings
from chargehand.service.agents import Agents
from chargehand.service.audit_records import record
from chargehand.service.day_account import DayAccount
from chargehand.service.endings import Hints
from chargehand.service.orders import check_order, first_due, new_task, payload_hash
from chargehand.service.ports import AgentChooser, NoChooser
from chargehand.service.quotas import Quotas
from chargehand.service.selection import select
from chargehand.service.visibility import not_found, seen
from chargehand.store import history, messages, tasks
from chargehand.store.database import Database, Tx, retried
from chargehand.store.group import GroupCommit
from chargehand.store.lanes import Lanes
from chargehand.telemetry.traces import valid_traceparent

NO_DAY_LIMITS = DayLimits()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored task; `replayed` when an earlier request with the same key had already stored it.

    `selection`: of a task for `auto`, how its agent was picked.
    """

    task: Task
    replayed: bool
    selection: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class _Submission:
    task: Task
    key: str | None
    payload_hash: str
    told: JsonObject


class Tasks:
    """What callers can do with tasks."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        agents: Agents,
        hints: Hints,
        check_space: Callable[[], None],
        chooser: AgentChooser | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        """`quotas`: what each tenant may hand in and use; None: as much as it likes."""
        self._db = db
        self._quotas = quotas
        self._clock = clock
        self._agents = agents
        self._hints = hints
        self._check_space = check_space
        self._chooser = chooser or NoChooser()
        self._lanes = Lanes()
        self._store = GroupCommit[_Submission, Accepted](self._store_group)

    async def submit(self, who: Principal, order: TaskOrder) -> Accepted:
        """Accept an order durably, or say why not. For the agent `auto`, pick the agent first.

        A repeated idempotency key returns the first task; with another payload it is IdempotencyMismatch.
        Raises AgentNotFound, NoAgentFits, RuntimeMissing, InvalidInput (with findings), StorageFull;
        TooManyRequests, TenantStorageFull, Unavailable: over a quota, or the backlog is full; TaskNotFound: what it
        follows is gone.
        """
        who.require(Scope.TASKS_WRITE)
        check_order(order, self._clock.now())
        digest = payload_hash(order, who)
        picked = None
        try:
            self._check_space()
            if self._quotas is not None:
                await self._quotas.check_submission(who.tenant)
            if order.agent_id == AUTO:
                # Picking may cost a model's answer: a repeated request is not picked for again.
                if earlier := await self._accepted_before(who, order.idempotency_key, digest):
                    return earlier
                day = NO_DAY_LIMITS if self._quotas is None else await self._quotas.day(who.tenant)
                account = DayAccount(self._db, who.tenant, day)
                picked = await select(self._agents, self._chooser, account, who, order.task_data)
            definition = await self._checked_agent(who, order, picked.agent if picked else None)
        except ChargehandError:
            earlier = await self._accepted_before(who, order.idempotency_key, digest)
            if earlier is None:
                raise
            return earlier
        task = self._new_task(who, order, definition)
        told: JsonObject = {"agent_id": task.agent_id, "agent_version": task.agent_version, "by": who.id}
        if picked is not None:
            told["selection"] = picked.told
        counts = 0 if self._quotas is None else self._quotas.admission.counts
        accepted = await self._store(_Submission(task, order.idempotency_key, digest, told))
        fail_point("tasks.submitted")
        if self._quotas is not None and not accepted.replayed and task.run_after <= self._clock.now():
            self._quotas.admission.accepted(who.tenant, counts_before=counts)
        if picked is None or accepted.replayed:
            return accepted
        return replace(accepted, selection=picked.told)

    async def prepared(self, who: Principal, order: TaskOrder) -> Task:
        """The task that an order would become, not stored: for one that is stored with something else.

        Raises as `submit` does.
        """
        check_order(order, self._clock.now())
        self._check_space()
        if self._quotas is not None:
            await self._quotas.check_room(who.tenant)
        return self._new_task(who, order, await self._checked_agent(who, order, None))

    async def _checked_agent(
        self, who: Principal, order: TaskOrder, picked: AgentDefinition | None
    ) -> AgentDefinition:
        """The agent of an order, which takes its input and can answer as the order wants it."""
        definition = picked or await self._agents.current(who, order.agent_id)
        if picked is None:
            self._agents.runtimes.check_input(definition, order.task_data)
        if order.output_schema is not None:
            self._agents.runtimes.check_output_schema(definition, order.output_schema)
        return definition

    async def close(self) -> None:
        """Let what goes on beside the use cases end."""
        if self._quotas is not None:
            await self._quotas.close()

    async def _accepted_before(self, who: Principal, key: str | None, payload_hash: str) -> Accepted | None:
        """What the same request led to when the service could still take it."""
        if key is None:
            return None
        async with self._db.read(who.tenant) as tx:
            found = (await tasks.find_by_key(tx, who.tenant, [key])).get(key)
            if found is None or found[1] != payload_hash:
                return None
            [first] = await history.events_after(tx, found[0], 0, limit=1)
            selection = first.data.get("selection")
            return Accepted(
                (await tasks.get(tx, [found[0]]))[found[0]],
                replayed=True,
                selection=selection if isinstance(selection, dict) else None,
            )

    def _new_task(self, who: Principal, order: TaskOrder, definition: AgentDefinition) -> Task:
        now = self._clock.now()
        task_id = self._clock.new_id()
        budget = definition.block.budget.tightened(order.budget)
        seconds = order.timeout_seconds or definition.block.timeout_seconds or budget.wall_seconds
        start = max(order.run_after or now, now)
        task = new_task(
            id=task_id,
            tenant=who.tenant,
            definition=definition,
            task_data=order.task_data,
            run_after=start,
            priority=order.priority,
            root_id=task_id,
            context_id=order.context_id or self._clock.new_id(),
            labels=dict(order.labels),
            deadline_at=start + timedelta(seconds=min(seconds, budget.wall_seconds)),
            budget=budget,
            created_by=who.id,
            now=now,
            output_schema=order.output_schema,
            traceparent=valid_traceparent(order.traceparent),
            rights=rights_of(who),
        )
        return replace(task, follows_id=order.follows_id, workspace_id=order.workspace_id)

    @retried
    async def _store_group(self, group: Sequence[_Submission]) -> Sequence[Accepted | Exception]:
        """Many submissions, one commit; a key may be repeated within the group too."""
        answers: list[Accepted | Exception] = []
        fresh: list[_Submission] = []
        async with self._db.write() as tx:
            known: dict[tuple[str, str], tuple[str, str]] = {}
            for tenant in {one.task.tenant for one in group if one.key}:
                keys = [one.key for one in group if one.key and one.task.tenant == tenant]
                found = await tasks.find_by_key(tx, tenant, keys)
                known |= {(tenant, key): value for key, value in found.items()}
            earlier = await tasks.get(tx, [task_id for task_id, _ in known.values()]) if known else {}
            gone = await _gone(tx, [one.task.follows_id for one in group if one.task.follows_id])
            for one in group:
                earlier_one = known.get((one.task.tenant, one.key)) if one.key else None
                if earlier_one is None and one.task.follows_id in gone:
                    answers.append(not_found(one.task.follows_id or ""))
                elif earlier_one is None:
                    fresh.append(one)
                    answers.append(Accepted(one.task, replayed=False))
                    if one.key:
                        known[one.task.tenant, one.key] = (one.task.id, one.payload_hash)
                        earlier[one.task.id] = one.task
                elif earlier_one[1] != one.payload_hash:
                    answers.append(_mismatch(one.key))
                else:
                    answers.append(Accepted(earlier[earlier_one[0]], replayed=True))
            if fresh:
                await tasks.insert_tasks(
                    tx,
                    [one.task for one in fresh],
                    submitted=[one.told for one in fresh],
                    lanes=self._lanes,
                )
                keyed = [
                    (one.task.tenant, one.key, one.payload_hash, one.task.id) for one in fresh if one.key
                ]
                if keyed:
                    await tasks.remember_keys(tx, keyed)
                due = min(first_due(one.task, tx.now) for one in fresh)
                self._hints.ready(tx, *(one.task for one in fresh), due=due)
        return answers

    @retried
    async def cancel(self, who: Principal, task_id: str) -> str:
        """Cancel a task and all that is open below it.

        The answer is `confirmed` when nothing of it runs any more, `requested` while workers are still being
        stopped. Canceling what was canceled is confirmed again; what ended otherwise is IllegalMove.
        """
        who.require(Scope.TASKS_CANCEL)
        async with self._db.write(who.tenant) as tx:
            task = await seen(tx, who, (await tasks.hold(tx, [task_id])).get(task_id), task_id)
            if task.status is Status.CANCELED:
                return "requested" if await tasks.open_below(tx, [task_id]) else "confirmed"
            if task.status in FINAL:
                raise IllegalMove(f"task {task_id} is {task.status.value}; only an open task can be canceled")
            targets = [task, *await tasks.open_below(tx, [task_id])]
            running = await endings.cancel_all(tx, self._hints, targets, Reason.CANCELED_BY_CALLER)
            await record(tx, who, Action.TASK_CANCELED, task_id, {"tasks": len(targets)})
        fail_point("tasks.canceled")
        return "requested" if running else "confirmed"

    @retried
    async def retry(self, who: Principal, task_id: str, budget: JsonObject | None = None) -> Task:
        """Give a failed or canceled task another try.

        It goes on from its journal: steps that went well before the first that failed are kept, that one and
        what began after it are done anew. What was spent stays spent; `budget` is what the tree may use from now
        on in all, with the limits of its agent's current definition.
        """
        who.require(Scope.TASKS_WRITE)
        self._check_space()
        raised = None if budget is None else await self._budget_now(who, task_id, budget)
        async with self._db.write(who.tenant) as tx:
            task = await seen(tx, who, (await tasks.hold(tx, [task_id])).get(task_id), task_id)
            if task.parent_id is not None:
                raise IllegalMove(
                    f"task {task_id} was delegated by {task.parent_id}; retry the task at the root"
                )
            if task.status not in (Status.FAILED, Status.CANCELED):
                raise IllegalMove(
                    f"task {task_id} is {task.status.value}; only a failed or canceled one is retried"
                )
            if still := await tasks.open_below(tx, [task_id]):
                raise IllegalMove(
                    f"{len(still)} task(s) below {task_id} are still being stopped; retry it in a moment"
                )
            if raised is not None:
                raised.refuse_spent(budget or {}, _spent(task), _needed(task))
            moved = await tasks.move(tx, Move.REOPEN, [(task, self._reopened(task, raised))])
            told: JsonObject = {"by": who.id}
            if raised is not None:
                told["budget"] = raised.as_data()
            await history.append(tx, [(task_id, EventKind.REOPENED, told)])
            await history.discard_failed(tx, task_id)
            await messages.give_back(tx, task_id)
            self._hints.changed(tx, task_id)
            self._hints.ready(tx, *moved, due=moved[0].deadline_at)
            await record(
                tx, who, Action.TASK_RETRIED, task_id, None if raised is None else {"budget": budget}
            )
        fail_point("tasks.reopened")
        return moved[0]

    async def _budget_now(self, who: Principal, task_id: str, budget: JsonObject) -> Budget:
        async with self._db.read(who.tenant) as tx:
            task = await seen(tx, who, (await tasks.get(tx, [task_id])).get(task_id), task_id)
        definition = await self._agents.current(who, task.agent_id)
        return definition.block.budget.tightened(budget)

    def _reopened(self, task: Task, raised: Budget | None) -> dict[str, object]:
        now = self._clock.now()
        limits = raised or task.limits
        whole = timedelta(seconds=limits.wall_seconds)
        lasted = min(task.deadline_at - task.created_at, whole) if task.deadline_at else None
        return {
            "budget": limits.as_data(),
            "reason": None,
            "result": None,
            "error": None,
            "run_after": now,
            "tries": 0,
            "losses": 0,
            "round": 0,
            "cancel_requested_at": None,
            "deadline_at": now + lasted if lasted else None,
        }

    @retried
    async def answer(self, who: Principal, task_id: str, question: str, answer: JsonValue) -> None:
        """Answer a question that a task waits for; `question` is its step's path."""
        who.require(Scope.TASKS_WRITE)
        check_json(answer)
        async with self._db.write(who.tenant) as tx:
            task = await seen(tx, who, (await tasks.hold(tx, [task_id])).get(task_id), task_id)
            step = await history.step(tx, task_id, question)
            if step is None or step.kind is not StepKind.QUESTION:
                raise TaskNotFound(f"task {task_id} has no question {question!r}")
            if step.status is StepStatus.DONE or task.status in FINAL:
                raise IllegalMove(f"question {question!r} of task {task_id} is not open any more")
            choices = step.arguments.get("choices")
            if isinstance(choices, list) and choices and answer not in choices:
                raise InvalidInput(f"the answer is one of {choices}")
            await history.finish_steps(tx, [(task_id, question, answer)])
            await history.append(tx, [(task_id, EventKind.ANSWERED, {"question": question, "by": who.id})])
            self._hints.changed(tx, task_id)
            await endings.wake(tx, self._hints, task_id)
            await record(tx, who, Action.TASK_ANSWERED, task_id, {"question": question})
        fail_point("tasks.answered")


async def _gone(tx: Tx, followed: Sequence[str]) -> set[str]:
    """Those of these tasks that were deleted. The others are held: none goes before what follows it is stored."""
    return set(followed) - set(await tasks.hold(tx, followed)) if followed else set()


def _mismatch(key: str | None) -> IdempotencyMismatch:
    return IdempotencyMismatch(f"Idempotency-Key {key!r} was used with another payload; use a new key")


def _spent(task: Task) -> JsonObject:
    """What a tree has used, by the names of the limits."""
    return {
        "usd": usd_text(task.usd_nanos_spent),
        "tokens": task.tokens_spent,
        "tool_calls": task.tool_calls_spent,
        "steps": task.steps_spent,
        "children": task.children_spent,
    }


def _needed(task: Task) -> JsonObject:
    """What the step that was not paid for any more would have taken."""
    details = (task.error or {}).get("details")
    if task.reason != Reason.BUDGET_EXHAUSTED or not isinstance(details, dict) or "needed" not in details:
        return {}
    return {str(details.get("limit")): details["needed"]}
