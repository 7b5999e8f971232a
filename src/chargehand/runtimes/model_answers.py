"""One answer of the model: recorded, or asked for now and recorded; and the waits for a provider that fails.

A provider that cannot answer now is a timer in the journal: the task waits in rows and holds no worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.tools import ToolDefinition

from chargehand.domain.history import PROVIDER_WAIT, Step, StepKind, StepStatus
from chargehand.domain.task import Reason
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.models.choice import ModelName
from chargehand.models.failure import ModelFailure
from chargehand.models.requests import ModelRequests
from chargehand.runtimes.base import AgentFailure, Hands, Suspension
from chargehand.runtimes.model_prompts import plain_json
from chargehand.telemetry.runs import Answered

MAX_PROVIDER_FAILURES = 8
"""Failures of one request after which the attempt is given up; the waits between them add up to minutes."""
LONGEST_WAIT_SECONDS = 3_600.0


class ContextTooLong(AgentFailure):
    """The provider says that the conversation is longer than the model takes."""


@dataclass(frozen=True, slots=True)
class ModelAnswers:
    """The model's side of the conversation in one attempt."""

    hands: Hands
    model: ModelName
    requests: ModelRequests

    async def answer(
        self, turn: int, conversation: Sequence[ModelMessage], tools: Sequence[ToolDefinition]
    ) -> ModelResponse:
        """The model's answer in this turn: recorded, or asked for now and recorded."""
        path = f"{self.hands.task.round}/{turn}"
        return await self.ask(path, "model", {"turn": turn}, conversation, tools)

    async def ask(
        self,
        path: str,
        name: str,
        arguments: JsonObject,
        conversation: Sequence[ModelMessage],
        tools: Sequence[ToolDefinition],
    ) -> ModelResponse:
        """What the model answered at this place of the journal. ContextTooLong when it takes no more."""
        failures = await self._failures_waited_for(path)

        async def work() -> JsonValue:
            provider, model = self.model.provider.name, self.model.model
            with self.hands.telemetry.model_request(provider, model) as request:
                try:
                    answer = await self.requests.ask(self.model, conversation, tools)
                except ModelFailure as failure:
                    request.refused(may_retry=failure.may_retry)
                    raise
                request.answered(_answered(answer))
            return {"model": str(self.model), "usage": _usage(answer), "message": _as_data(answer)}

        try:
            data = await self.hands.steps.run(path, StepKind.MODEL, name, arguments, work)
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
        if failure.is_too_long:
            return ContextTooLong(failure.message)
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
        self.hands.telemetry.waits_for(self.model.provider.name)
        await self.hands.report(f"{failure.message}; asking again in {seconds:.0f} s")
        return Suspension(Reason.TIMER, until)

    def _wait_seconds(self, failures: int, retry_after: float | None) -> float:
        """What the provider asked for, or twice as long each time; with jitter, so that tasks do not return as one."""
        seconds = retry_after if retry_after is not None else min(60.0, 2.0**failures)
        return min(LONGEST_WAIT_SECONDS, seconds) * (1 + 0.2 * self.hands.clock.random())


def _wait_path(path: str, failures: int) -> str:
    return f"{path}.wait{failures}"


def _answered(answer: ModelResponse) -> Answered:
    usage = answer.usage
    return Answered(
        model=answer.model_name,
        finish_reason=answer.finish_reason,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        text=answer.text,
    )


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
