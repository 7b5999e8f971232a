"""Where runs are counted and traced: an attempt, a request to a model, a tool call.

Names and attributes of spans follow OpenTelemetry's conventions for generative AI.
"""

import json
import time
from collections.abc import Container, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from chargehand.domain.known_secrets import taken_out
from chargehand.domain.task import Canceled, Completed, Failed, Outcome, Released, Suspended, Task
from chargehand.domain.values import JsonObject
from chargehand.telemetry.metrics import Metrics
from chargehand.telemetry.traces import Mark, Traces, Value

MAX_CONTENT_CHARACTERS = 16_000
_PROVIDER_NAMES = {"google": "gcp.gemini", "openai-chat": "openai"}
"""What the conventions call them, where that is not our name."""
_OUTCOMES: dict[type[Outcome], str] = {
    Completed: "completed",
    Failed: "failed",
    Suspended: "waiting",
    Released: "released",
    Canceled: "canceled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What is told of a model's answer. `text` goes nowhere unless content is asked for."""

    model: str | None
    finish_reason: str | None
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt that goes on."""

    metrics: Metrics
    mark: Mark

    def ended(self, outcome: Outcome | None) -> None:
        """None: the lease was lost."""
        told = "lease_lost" if outcome is None else _OUTCOMES[type(outcome)]
        self.metrics.attempts_ended.add(told)
        self.mark.note({"chargehand.outcome": told})
        if isinstance(outcome, Failed):
            self.metrics.attempts_failed.add(outcome.error.reason.value)
            self.mark.fail(outcome.error.reason.value)
        elif outcome is None:
            self.mark.fail(told)


@dataclass(slots=True)
class RunningRequest:
    """A request to a model that is on its way."""

    telemetry: "Telemetry"
    provider: str
    model: str
    mark: Mark
    outcome: str = "failed"

    def answered(self, answer: Answered) -> None:
        """It was answered."""
        self.outcome = "answered"
        counts = {
            "input": answer.input_tokens,
            "output": answer.output_tokens,
            "cache_read": answer.cache_read_tokens,
            "cache_write": answer.cache_write_tokens,
        }
        for kind, count in counts.items():
            if count:
                self.telemetry.metrics.model_tokens.add(self.provider, self.model, kind, by=count)
        if not self.telemetry.traces.is_on:
            return
        noted: dict[str, Value] = {
            "gen_ai.usage.input_tokens": answer.input_tokens,
            "gen_ai.usage.output_tokens": answer.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": answer.cache_read_tokens,
            "gen_ai.usage.cache_creation.input_tokens": answer.cache_write_tokens,
        }
        if answer.model:
            noted["gen_ai.response.model"] = answer.model
        if answer.finish_reason:
            noted["gen_ai.response.finish_reasons"] = (answer.finish_reason,)
        if self.telemetry.traces.with_content and answer.text is not None:
            message = {
                "role": "assistant",
                "parts": [{"type": "text", "content": _clipped(taken_out(answer.text))}],
            }
            noted["gen_ai.output.messages"] = json.dumps([message])
        self.mark.note(noted)

    def refused(self, *, may_retry: bool) -> None:
        """There was no answer; another try may get one, or not."""
        self.outcome = "unavailable" if may_retry else "refused"
        self.mark.fail(self.outcome)


@dataclass(slots=True)
class RunningCall:
    """A tool call that goes on."""

    mark: Mark
    with_content: bool
    outcome: str = "raised"

    def ended(self, content: str, *, is_error: bool, code: str | None) -> None:
        """What it came to."""
        self.outcome = "failed" if is_error else "done"
        if is_error:
            self.mark.fail(code or "tool_failed")
        if self.with_content:
            self.mark.note({"gen_ai.tool.call.result": _clipped(taken_out(content))})


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The instruments of this process. The default counts into numbers that nobody reads, and traces nothing."""

    metrics: Metrics = field(default_factory=Metrics)
    traces: Traces = field(default_factory=Traces)

    @contextmanager
    def attempt(self, task: Task) -> Generator[RunningAttempt]:
        """Around all that an attempt does. Its trace is the submission's, or one named after the tree."""
        self.metrics.attempts_started.add()
        tree = task.root_id.replace("-", "")
        with self.traces.within(task.traceparent, f"00-{tree}-{tree[-16:]}-01"):
            about: dict[str, Value] = {}
            if self.traces.is_on:
                about = {
                    "gen_ai.operation.name": "invoke_agent",
                    "gen_ai.agent.id": task.agent_id,
                    "gen_ai.agent.name": task.agent_id,
                    "gen_ai.agent.version": task.agent_version,
                    "gen_ai.conversation.id": task.context_id,
                    "chargehand.task.id": task.id,
                    "chargehand.attempt": task.attempt,
                }
            with self.traces.span(f"invoke_agent {task.agent_id}", about) as mark:
                yield RunningAttempt(self.metrics, mark)

    @contextmanager
    def model_request(self, provider: str, model: str) -> Generator[RunningRequest]:
        """Around one request to a model."""
        about: dict[str, Value] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _PROVIDER_NAMES.get(provider, provider),
            "gen_ai.request.model": model,
        }
        with self.traces.span(f"chat {model}", about, is_client=True) as mark:
            request = RunningRequest(self, provider, model, mark)
            started = time.perf_counter()
            try:
                yield request
            finally:
                self.metrics.model_seconds.add(provider, model, seconds=time.perf_counter() - started)
                self.metrics.model_requests.add(provider, model, request.outcome)

    @contextmanager
    def tool_call(self, name: str, arguments: JsonObject, known: Container[str]) -> Generator[RunningCall]:
        """Around one tool call. A name that no tool has is counted as `unknown`."""
        name = name if name in known else "unknown"
        about: dict[str, Value] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
        }
        if self.traces.with_content:
            about["gen_ai.tool.call.arguments"] = _clipped(taken_out(json.dumps(arguments)))
        with self.traces.span(f"execute_tool {name}", about) as mark:
            call = RunningCall(mark, self.traces.with_content)
            try:
                yield call
            finally:
                self.metrics.tool_calls.add(name, call.outcome)

    def waits_for(self, provider: str) -> None:
        """A task waits because a provider could not answer."""
        self.metrics.provider_waits.add(provider)

    def cost(self, provider: str, model: str, usd_nanos: int) -> None:
        """What an answer cost, where its price is known."""
        self.metrics.model_usd.add(provider, model, by=usd_nanos / 1e9)


def _clipped(text: str) -> str:
    return text[:MAX_CONTENT_CHARACTERS]
