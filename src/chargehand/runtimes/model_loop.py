"""The durable loop over a model: ask, do what it calls for, ask again, until it says that it is done.

Rule: each answer of the model and each tool result is a step of the journal. After a crash the conversation is
put together again from the rows, and nothing that was answered is asked again. A provider that cannot answer now
is a timer in the journal: the task waits in rows and holds no worker.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import ToolDefinition

from chargehand.domain.agent_rules import rule_refusal
from chargehand.domain.history import PROVIDER_WAIT, Step, StepKind, StepStatus
from chargehand.domain.task import Reason
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.models.choice import ModelName
from chargehand.models.failure import ModelFailure
from chargehand.models.requests import ModelRequests
from chargehand.runtimes.base import AgentFailure, Hands, Suspension, all_or_wait, settled
from chargehand.runtimes.model_delegation import DELEGATION_NAMES, delegate, delegation_tool
from chargehand.runtimes.model_prompts import brief, plain_json, system_prompt
from chargehand.runtimes.tool_steps import run_tool

MAX_TURNS = 200
MAX_EMPTY_ANSWERS = 2
MAX_PROVIDER_FAILURES = 8
"""Failures of one request after which the attempt is given up; the waits between them add up to minutes."""
LONGEST_WAIT_SECONDS = 3_600.0
READ_ONLY = frozenset({"Read", "Glob", "Grep"})


@dataclass(slots=True)
class ModelRun:
    """One attempt at one round of a task."""

    hands: Hands
    model: ModelName
    requests: ModelRequests

    async def to_the_end(self) -> JsonValue:
        """The agent's result. AgentFailure, Suspension, Stop as every runtime."""
        tools = self._tools()
        conversation: list[ModelMessage] = [
            ModelRequest(
                parts=[SystemPromptPart(system_prompt(self.hands)), UserPromptPart(brief(self.hands))]
            )
        ]
        empty = 0
        most = self.hands.definition.wishes.max_turns or MAX_TURNS
        for turn in range(most):
            answer = await self._answer(turn, conversation, tools)
            conversation.append(answer)
            calls = list(answer.tool_calls)
            if calls:
                results = await self._results(turn, calls)
                conversation.append(ModelRequest(parts=list(results)))
                continue
            text = (answer.text or "").strip()
            if text:
                return {"text": text, "model": str(self.model)}
            empty += 1
            if empty > MAX_EMPTY_ANSWERS:
                raise AgentFailure(f"{self.model} gave an empty answer {empty} times", may_retry=True)
            conversation.append(ModelRequest(parts=[UserPromptPart("Your answer was empty. Go on.")]))
        raise AgentFailure(f"the agent did not end within {most} turns")

    def _tools(self) -> list[ToolDefinition]:
        """What the model is shown, in the definition's terms."""
        shown = [
            ToolDefinition(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=tool.arguments.model_json_schema(by_alias=True),
                strict=False,
            )
            for tool in self.hands.catalogue.values()
        ]
        own = delegation_tool(self.hands.definition)
        return [*shown, own] if own is not None else shown

    async def _answer(
        self, turn: int, conversation: Sequence[ModelMessage], tools: Sequence[ToolDefinition]
    ) -> ModelResponse:
        """The model's answer in this turn: recorded, or asked for now and recorded."""
        path = f"{self.hands.task.round}/{turn}"
        failures = await self._failures_waited_for(path)

        async def work() -> JsonValue:
            answer = await self.requests.ask(self.model, conversation, tools)
            return {"model": str(self.model), "usage": _usage(answer), "message": _as_data(answer)}

        try:
            data = await self.hands.steps.run(path, StepKind.MODEL, "model", {"turn": turn}, work)
        except ModelFailure as failure:
            raise await self._put_off(path, failures, failure) from failure
        message = data.get("message") if isinstance(data, dict) else None
        [answer] = ModelMessagesTypeAdapter.validate_python([message])
        return cast("ModelResponse", answer)

    async def _failures_waited_for(self, path: str) -> int:
        """How often this request has failed; returns once the wait after the last failure is over."""
        failures = 0
        while (step := self.hands.steps.recorded.get(_wait_path(path, failures))) is not None:
            if step.status is not StepStatus.DONE:
                due = datetime.fromisoformat(str(step.result))
                if self.hands.clock.now() < due:
                    raise Suspension(Reason.TIMER, due)
                await self.hands.steps.close(step, step.result)
            failures += 1
        return failures

    async def _put_off(self, path: str, failures: int, failure: ModelFailure) -> BaseException:
        """What to raise after a failed request: the end, or a wait that the journal keeps."""
        if not failure.may_retry:
            return AgentFailure(failure.message)
        if failures + 1 >= MAX_PROVIDER_FAILURES:
            return AgentFailure(f"after {failures + 1} tries: {failure.message}", may_retry=True)
        seconds = self._wait_seconds(failures, failure.retry_after_seconds)
        until = self.hands.clock.now() + timedelta(seconds=seconds)
        arguments: JsonObject = {"failure": plain_json(failure.message)}

        async def open_step(step: Step) -> Step:
            return await self.hands.steps.journal.set_timer(self.hands.task, step, until)

        wait = _wait_path(path, failures)
        await self.hands.steps.open_or_result(wait, StepKind.TIMER, PROVIDER_WAIT, arguments, open_step)
        await self.hands.report(f"{failure.message}; asking again in {seconds:.0f} s")
        return Suspension(Reason.TIMER, until)

    def _wait_seconds(self, failures: int, retry_after: float | None) -> float:
        """What the provider asked for, or twice as long each time; with jitter, so that tasks do not return as one."""
        seconds = retry_after if retry_after is not None else min(60.0, 2.0**failures)
        return min(LONGEST_WAIT_SECONDS, seconds) * (1 + 0.2 * self.hands.clock.random())

    async def _results(self, turn: int, calls: Sequence[ToolCallPart]) -> list[ToolReturnPart]:
        """What the calls of one answer came to. What must wait does so when all others have been done."""
        work = [settled(self._returned(turn, index, call)) for index, call in enumerate(calls)]
        side_by_side = READ_ONLY | DELEGATION_NAMES
        if all(call.tool_name in side_by_side for call in calls):
            return all_or_wait(await asyncio.gather(*work))
        # One after the other: a later call may build on an earlier.
        return all_or_wait([await one for one in work])

    async def _returned(self, turn: int, index: int, call: ToolCallPart) -> ToolReturnPart:
        content = await self._result(f"{self.hands.task.round}/{turn}.{index}", call)
        return ToolReturnPart(tool_name=call.tool_name, content=content, tool_call_id=call.tool_call_id)

    async def _result(self, path: str, call: ToolCallPart) -> str:
        try:
            arguments = plain_json(call.args_as_dict(raise_if_invalid=True))
        except (ValueError, AssertionError) as error:
            return (
                f"The arguments of {call.tool_name} are no JSON object; nothing was done: {str(error)[:300]}"
            )
        own = self.hands.definition
        called = "Delegate" if call.tool_name in DELEGATION_NAMES else call.tool_name
        refusal = rule_refusal(called, arguments, own.tool_rules, own.denied_rules)
        if refusal is not None:
            return refusal  # It follows from the definition and the call, so a replay comes to the same.
        if called == "Delegate":
            return await delegate(self.hands, path, arguments)
        return (await run_tool(self.hands, path, call.tool_name[:128], arguments)).content


def _wait_path(path: str, failures: int) -> str:
    return f"{path}.wait{failures}"


def _usage(answer: ModelResponse) -> JsonObject:
    usage = answer.usage
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
    }


def _as_data(answer: ModelResponse) -> JsonValue:
    """The message as JSON that every database takes."""
    return plain_json(ModelMessagesTypeAdapter.dump_python([answer], mode="json")[0])
