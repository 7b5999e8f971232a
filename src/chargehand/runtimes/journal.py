"""Durable steps: replay what is recorded, run and record what is new.

Rule: a finished step is never run again. What stands at a path must be what the replay asks for, by kind,
name and arguments; anything else is a JournalMismatch that names both.

What a step found is recorded and used without the values that are known as secrets: a tool or a program may say back
what it was given, and a replay must find what the first run used.

Where one step is followed at once by another, its end may be held back and written in the transaction in which the
next begins. Rule: until then nothing is done that could be seen from outside, and nothing is waited for; whatever is
not a beginning writes it first (`write_held_back`). A death between is one before the end was recorded.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from chargehand.domain.charge import Estimate, Grant, Settlement
from chargehand.domain.history import Step, StepKind, StepStatus
from chargehand.domain.known_secrets import values_taken_out_of
from chargehand.domain.task import Task
from chargehand.domain.values import JsonObject, JsonValue, canonical
from chargehand.errors import JournalMismatch
from chargehand.failpoint import fail_point
from chargehand.models.failure import ModelFailure
from chargehand.service.journal import Delegation, Ended, Journal


@dataclass(frozen=True, slots=True)
class Paid:
    """What a model call came to, and what it cost."""

    result: JsonValue
    used: Settlement
    goes_on: bool = False
    """A step follows at once."""


@dataclass(slots=True)
class DurableSteps:
    """The journal of one attempt. `before_new` is called where a step would begin; it may raise."""

    task: Task
    journal: Journal
    recorded: dict[str, Step]
    before_new: Callable[[], None]
    keep_files: Callable[[], Awaitable[None]]
    """Makes the files that a step has changed last, before the step is recorded as finished."""
    mismatches: list[JournalMismatch] = field(default_factory=list[JournalMismatch])
    _held_back: Ended | None = None

    def for_task(self, task: Task) -> "DurableSteps":
        """The same journal with the task as it now stands."""
        return replace(self, task=task)

    def require_same_way(self) -> None:
        """Raise the mismatch that an agent may have caught and passed over."""
        if self.mismatches:
            raise self.mismatches[0]

    async def run(
        self,
        path: str,
        kind: StepKind,
        name: str,
        arguments: JsonObject,
        work: Callable[[], Awaitable[JsonValue]],
        *,
        unknown: JsonValue = None,
        goes_on: bool = False,
        changes_files: bool = True,
    ) -> JsonValue:
        """The step's result: recorded, or of doing `work` now.

        `unknown` (when not None) is what a call that was in flight when its worker died comes to, instead of
        being run a second time. `goes_on`: a step follows at once, or `write_held_back`. `changes_files`: whether
        `work` can have changed files of the workspace.
        """
        step = self._recorded(path, kind, name, arguments)
        if step is not None and step.status is StepStatus.DONE:
            return step.result
        if step is None:
            self.before_new()
            step = self.journal.new_step(self.task, path, kind, name, arguments, StepStatus.RUNNING)
            await self._begin(step)
        elif unknown is not None:
            return await self._end(Ended(step, unknown))
        else:
            self.before_new()
            step = replace(step, attempt=self.task.attempt)
            await self._begin(step, is_repeat=True)
        fail_point("steps.before_effect")
        result = await work()
        if changes_files:
            await self.keep_files()
        fail_point("steps.after_effect")
        return await self._end(Ended(step, result), goes_on=goes_on)

    async def run_paid(
        self,
        path: str,
        name: str,
        arguments: JsonObject,
        estimate: Callable[[], Estimate],
        work: Callable[[Grant], Awaitable[Paid]],
    ) -> JsonValue:
        """As `run`, for a model call: its price is reserved where it begins and settled where it ends.

        A request that comes to nothing may be made again at the same path, of another model too: each is a charge.
        """
        step = self._recorded(path, StepKind.MODEL, name, arguments)
        if step is not None and step.status is StepStatus.DONE:
            return step.result
        self.before_new()
        is_repeat = step is not None
        fresh = self.journal.new_step(self.task, path, StepKind.MODEL, name, arguments, StepStatus.RUNNING)
        step = replace(step, attempt=self.task.attempt) if step is not None else fresh
        grant = await self._begin(step, is_repeat=is_repeat, estimate=estimate())
        if grant is None:
            raise AssertionError("a call with an estimate is granted or refused")
        fail_point("steps.before_effect")
        try:
            paid = await work(grant)
        except ModelFailure as failure:
            await self.journal.unanswered(self.task, step, may_be_paid=failure.may_be_paid)
            raise
        fail_point("steps.after_effect")
        result = await self._end(Ended(step, paid.result, paid.used), goes_on=paid.goes_on)
        # It goes into the conversation: held here too, it would double what a long run takes in memory.
        self.recorded[path] = replace(self.recorded[path], result=None)
        return result

    async def delegate(self, path: str, orders: list[Delegation]) -> list[JsonValue] | None:
        """What the children came to; None while one is open. Creates them when the step is new."""
        listed: list[JsonValue] = [
            {
                "agent_id": order.agent_id,
                "task_data": order.task_data,
                **({"isolation": "worktree"} if order.isolated else {}),
            }
            for order in orders
        ]
        arguments: JsonObject = {"orders": listed}
        name = "+".join(dict.fromkeys(order.agent_id for order in orders))[:128]
        await self.write_held_back()
        step = self._recorded(path, StepKind.DELEGATION, name, arguments)
        if step is None:
            self.before_new()
            fresh = self.journal.new_step(
                self.task, path, StepKind.DELEGATION, name, arguments, StepStatus.OPEN
            )
            step = self.recorded[path] = await self.journal.delegate(self.task, fresh, orders)
        if step.status is StepStatus.DONE:
            return step.result if isinstance(step.result, list) else []
        results = await self.journal.ended_children(step)
        if results is not None:
            await self._end(Ended(step, results))
        return results

    async def open_or_result(
        self,
        path: str,
        kind: StepKind,
        name: str,
        arguments: JsonObject,
        open_step: Callable[[Step], Awaitable[Step]],
    ) -> Step:
        """A question's or a timer's step as it stands; opened by `open_step` when it is new."""
        await self.write_held_back()
        step = self._recorded(path, kind, name, arguments)
        if step is None:
            self.before_new()
            fresh = self.journal.new_step(self.task, path, kind, name, arguments, StepStatus.OPEN)
            step = self.recorded[path] = await open_step(fresh)
        return step

    async def take_default(self, step: Step) -> Step:
        """An open approval whose time is over, as it was decided."""
        await self.write_held_back()
        closed = self.recorded[step.path] = await self.journal.take_default(self.task, step)
        return closed

    async def take_messages(self, path: str) -> Step:
        """A finished step that holds what people told the task and no turn had taken."""
        await self.write_held_back()
        self.before_new()
        fresh = self.journal.new_step(self.task, path, StepKind.VALUE, "messages", {}, StepStatus.RUNNING)
        taken = self.recorded[path] = await self.journal.take_messages(self.task, fresh)
        return taken

    async def close(self, step: Step, result: JsonValue) -> None:
        """Finish an open step."""
        await self._end(Ended(step, result))

    async def write_held_back(self) -> None:
        """Make durable what was held back for a next step."""
        ended, self._held_back = self._held_back, None
        if ended is not None:
            await self.journal.end(self.task, ended.step, ended.result, used=ended.used)

    async def _begin(
        self, step: Step, *, is_repeat: bool = False, estimate: Estimate | None = None
    ) -> Grant | None:
        ended, self._held_back = self._held_back, None
        grant = await self.journal.begin(self.task, step, is_repeat=is_repeat, estimate=estimate, ended=ended)
        self.recorded[step.path] = step
        return grant

    async def _end(self, ended: Ended, *, goes_on: bool = False) -> JsonValue:
        clear = values_taken_out_of(ended.result, self.task.tenant)
        if clear is not ended.result:
            ended = replace(ended, result=clear)
        await self.write_held_back()
        if goes_on:
            self._held_back = ended
        else:
            await self.journal.end(self.task, ended.step, ended.result, used=ended.used)
        self.recorded[ended.step.path] = replace(
            ended.step, status=StepStatus.DONE, result=ended.result, finished_at=ended.step.started_at
        )
        return ended.result

    def _recorded(self, path: str, kind: StepKind, name: str, arguments: JsonObject) -> Step | None:
        step = self.recorded.get(path)
        if step is None:
            return None
        same = step.kind is kind and step.name == name
        # Equal objects have one spelling; only what differs as objects (1 and 1.0) is spelled out.
        if not (same and (step.arguments == arguments or canonical(step.arguments) == canonical(arguments))):
            asked = f"{kind.value} {name} {_short(arguments)}"
            held = f"{step.kind.value} {step.name} {_short(step.arguments)}"
            mismatch = JournalMismatch(
                f"step {path} of task {self.task.id}: the journal holds {held}, the replay asks for {asked};"
                " a playbook takes the same way each time (its context gives it time, chance and input)"
            )
            self.mismatches.append(mismatch)
            raise mismatch
        return step


def _short(arguments: JsonObject) -> str:
    text = canonical(arguments)
    return text if len(text) <= 200 else f"{text[:200]}…"
