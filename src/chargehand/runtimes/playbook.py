"""Playbooks: durable workflows in plain async Python.

Rule: a playbook takes the same way each time it is replayed. Tool calls, delegation, questions, timers and
whatever is not certain (time, chance, readings) go through its context, which journals them; the rest of its
code runs again on every replay and must depend on nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from chargehand.domain.deliverable import Evidence
from chargehand.domain.history import Step, StepKind, StepStatus
from chargehand.domain.task import Reason, Task
from chargehand.domain.values import JsonObject, JsonValue, check_json, plain_text
from chargehand.errors import RuntimeMissing
from chargehand.runtimes.base import AgentFailure, Hands, Suspension, all_or_wait, settled
from chargehand.runtimes.tool_steps import run_tool
from chargehand.service.journal import Delegation
from chargehand.tools.base import ToolResult

Branch = TypeVar("Branch")

MAX_RESULT_NODES = 200_000


def _takes_anything(task_data: JsonObject) -> None:
    del task_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """A registered workflow. `check_input` raises InvalidInput for input that it cannot work with."""

    name: str
    run: Callable[["PlaybookContext"], Awaitable[JsonValue]]
    check_input: Callable[[JsonObject], None] = _takes_anything


@dataclass(slots=True)
class PlaybookContext:
    """A playbook's way to everything outside its own code."""

    _hands: Hands
    _path: str
    _next: int = field(default=0)

    @property
    def task(self) -> Task:
        """The task, as it was when this attempt began."""
        return self._hands.task

    @property
    def data(self) -> JsonObject:
        """The task's input."""
        return self._hands.task.task_data

    @property
    def round(self) -> int:
        """0, or the number of the repair round."""
        return self._hands.task.round

    @property
    def failures(self) -> Sequence[Evidence]:
        """In a repair round: what the checks found wrong in the round before."""
        return self._hands.failures

    def tool(self, name: str, /, **arguments: JsonValue) -> Coroutine[Any, Any, ToolResult]:
        """Call a tool. A failed call comes back as a result with `is_error`."""
        return run_tool(self._hands, self._step_path(), name, arguments)

    async def must(self, name: str, /, **arguments: JsonValue) -> ToolResult:
        """Call a tool whose failure fails the task, with what the tool said."""
        result = await self.tool(name, **arguments)
        if result.is_error:
            raise AgentFailure(f"{name} failed: {result.content[:2000]}", details=result.details)
        return result

    async def delegate(self, *orders: Delegation) -> list[JsonObject]:
        """Hand work to other agents, all at once, and wait for every one of them without holding a worker.

        Each answer has `task_id`, `agent_id`, `status`, `result`, `error`, in the order of the orders.
        """
        path = self._step_path()
        if not orders:
            return []
        results = await self._hands.steps.delegate(path, list(orders))
        if results is None:
            raise Suspension(Reason.CHILDREN)
        return [result for result in results if isinstance(result, dict)]

    async def must_delegate(self, *orders: Delegation) -> list[JsonValue]:
        """As `delegate`; a child that did not complete fails this task. The children's results."""
        answers = await self.delegate(*orders)
        for answer in answers:
            if answer["status"] != "completed":
                error = answer.get("error")
                why = error.get("message") if isinstance(error, dict) else answer["status"]
                raise AgentFailure(
                    f"{answer['agent_id']} ({answer['task_id']}) {answer['status']}: {why}",
                    details={"child": answer},
                )
        return [answer["result"] for answer in answers]

    async def ask(self, question: str, *, choices: Sequence[str] = ()) -> JsonValue:
        """Ask a person and wait for the answer without holding a worker."""
        hands = self._hands
        arguments: JsonObject = {"question": question, "choices": list(choices)}

        async def open_step(step: Step) -> Step:
            await hands.steps.journal.ask(hands.task, step)
            return step

        step = await hands.steps.open_or_result(
            self._step_path(), StepKind.QUESTION, "ask", arguments, open_step
        )
        if step.status is not StepStatus.DONE:
            raise Suspension(Reason.QUESTION)
        return step.result

    async def sleep(self, seconds: float) -> None:
        """Wait for a time without holding a worker; it counts from the first time this line was reached."""
        hands = self._hands
        until = hands.clock.now() + timedelta(seconds=seconds)

        async def open_step(step: Step) -> Step:
            return await hands.steps.journal.set_timer(hands.task, step, until)

        step = await hands.steps.open_or_result(
            self._step_path(), StepKind.TIMER, "sleep", {"seconds": seconds}, open_step
        )
        if step.status is StepStatus.DONE:
            return
        due = datetime.fromisoformat(str(step.result))
        if hands.clock.now() < due:
            raise Suspension(Reason.TIMER, due)
        await hands.steps.close(step, step.result)

    async def once(self, name: str, compute: Callable[[], Awaitable[JsonValue] | JsonValue]) -> JsonValue:
        """Compute something uncertain once; every replay gets the recorded value.

        An exception is not recorded: when a replay comes here again, it is computed again.
        """

        return await self._value(name, compute, changes_files=True)

    async def _value(
        self, name: str, compute: Callable[[], Awaitable[JsonValue] | JsonValue], *, changes_files: bool
    ) -> JsonValue:
        async def work() -> JsonValue:
            value = compute()
            found = await value if isinstance(value, Awaitable) else value
            check_json(found, max_nodes=MAX_RESULT_NODES)
            return found

        return await self._hands.steps.run(
            self._step_path(), StepKind.VALUE, name, {}, work, changes_files=changes_files
        )

    async def now(self) -> datetime:
        """The time when this line was first reached."""
        found = await self._value("now", lambda: self._hands.clock.now().isoformat(), changes_files=False)
        return datetime.fromisoformat(str(found))

    async def new_id(self) -> str:
        """An id that stays the same on every replay."""
        return str(await self._value("new_id", self._hands.clock.new_id, changes_files=False))

    async def random(self) -> float:
        """In [0, 1); the same on every replay."""
        found = await self._value("random", self._hands.clock.random, changes_files=False)
        return found if isinstance(found, float) else 0.0

    async def report(self, message: str, **data: JsonValue) -> None:
        """Tell whoever watches how the work goes on; told once, also over replays."""
        message = plain_text(message)

        async def work() -> JsonValue:
            await self._hands.report(message, **data)
            return message

        arguments: JsonObject = {"message": message}
        await self._hands.steps.run(
            self._step_path(), StepKind.VALUE, "report", arguments, work, changes_files=False
        )

    async def together(
        self, *branches: Callable[["PlaybookContext"], Coroutine[Any, Any, Branch]]
    ) -> list[Branch]:
        """Run branches at the same time, each with a context of its own so that their steps cannot mix.

        When one must wait, or the service stops, the others go on as far as they can; only then does the task
        wait or stop. When one fails the others are cut off.
        """
        path = self._step_path()
        contexts = [PlaybookContext(self._hands, f"{path}.{index}") for index in range(len(branches))]
        running = [
            asyncio.ensure_future(settled(branch(own)))
            for branch, own in zip(branches, contexts, strict=True)
        ]
        try:
            settled_branches = await asyncio.gather(*running)
        except BaseException:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            raise
        return all_or_wait(settled_branches)

    def _step_path(self) -> str:
        """The next place in this context. Taken when the call is made, not when it is awaited."""
        path = f"{self._path}{'/' if '/' not in self._path else '.'}{self._next}"
        self._next += 1
        return path


@dataclass(frozen=True, slots=True)
class PlaybookRuntime:
    """Carries out agents of runtime `playbook`."""

    playbooks: Mapping[str, Playbook]

    async def run(self, hands: Hands) -> JsonValue:
        """Replay what is recorded and go on from there."""
        found = self.playbook(hands.definition.block.entry)
        result = await found.run(PlaybookContext(hands, str(hands.task.round)))
        check_json(result, max_nodes=MAX_RESULT_NODES)
        return result

    def playbook(self, name: str | None) -> Playbook:
        """A registered playbook; RuntimeMissing names the ones that there are."""
        found = self.playbooks.get(name or "")
        if found is None:
            known = ", ".join(sorted(self.playbooks)) or "none"
            raise RuntimeMissing(
                f"there is no playbook {name!r}; registered: {known} (CHARGEHAND_PLAYBOOKS adds)"
            )
        return found
