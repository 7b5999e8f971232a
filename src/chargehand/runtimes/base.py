"""What a runtime is, and the hands it is given: everything one attempt may use."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, TypeVar

from chargehand.clock import Clock
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.deliverable import Evidence
from chargehand.domain.history import EventKind
from chargehand.domain.policy import Policy
from chargehand.domain.task import FOREVER, Reason, Task
from chargehand.domain.values import JsonObject, JsonValue, check_json, plain_text
from chargehand.runtimes.journal import DurableSteps
from chargehand.service.attempts import Attempts
from chargehand.service.deliveries import Deliveries
from chargehand.telemetry.runs import Telemetry
from chargehand.tools.base import Tool, ToolContext

Result = TypeVar("Result")


class Suspension(BaseException):
    """The attempt can go no further until something comes.

    A BaseException, so that an agent's `except Exception` does not swallow it.
    """

    def __init__(self, reason: Reason, until: datetime | None = None) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.until = until


class AgentFailure(Exception):
    """The agent says that it cannot do the task. `may_retry`: another attempt could."""

    def __init__(
        self,
        message: str,
        *,
        may_retry: bool = False,
        details: JsonObject | None = None,
        reason: Reason = Reason.AGENT_ERROR,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.may_retry = may_retry
        self.details = details or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Everything one attempt may use."""

    task: Task
    definition: AgentDefinition
    steps: DurableSteps
    attempts: Attempts
    deliveries: Deliveries
    clock: Clock
    catalogue: Mapping[str, Tool]
    """The tools that the definition lists, by name."""
    tools: ToolContext
    policy: Policy = field(default_factory=Policy)
    """The operator's rules on what is asked and denied."""
    above: Sequence[AgentDefinition] = ()
    """The agents that handed the task down. What they may not do by rule is not done for them either."""
    below: Mapping[str, AgentDefinition] = field(default_factory=dict[str, AgentDefinition])
    """The delegates that are registered, by id, as they were when the attempt began."""
    telemetry: Telemetry = field(default_factory=Telemetry)
    failures: Sequence[Evidence] = ()
    """In a repair round: what the checks of the round before found wrong."""

    async def report(self, message: str, **data: JsonValue) -> None:
        """Tell whoever watches how the work goes on. Not journaled: a replay may tell it again."""
        told: JsonObject = {"message": plain_text(message), **data}
        check_json(told)
        await self.attempts.report(self.task, EventKind.PROGRESS, told)

    def for_round(self, task: Task, failures: Sequence[Evidence]) -> "Hands":
        """The same hands in the next repair round."""
        return replace(self, task=task, failures=failures, steps=self.steps.for_task(task))


class Runtime(Protocol):
    """One way of carrying out an attempt."""

    async def run(self, hands: Hands) -> JsonValue:
        """The agent's result. Raises AgentFailure, Suspension; everything else is a fault of the agent."""
        ...


class Stop(BaseException):
    """The service stops, or the attempt was told to: nothing new is begun, the task is given back."""


async def settled(work: Awaitable[Result]) -> Result | Suspension | Stop:
    """What one of several pieces of work came to; that it must wait or stop is an answer, so the others go on."""
    try:
        return await work
    except (Suspension, Stop) as wait:
        return wait


def all_or_wait(answers: Iterable[Result | Suspension | Stop]) -> list[Result]:
    """The results when there is one of each; else Stop, or the Suspension that is over first."""
    found = list(answers)
    if any(isinstance(one, Stop) for one in found):
        raise Stop
    waits = [one for one in found if isinstance(one, Suspension)]
    if waits:
        until = min(one.until or FOREVER for one in waits)
        raise Suspension(waits[0].reason, None if until == FOREVER else until)
    return [one for one in found if not isinstance(one, Suspension | Stop)]


def refuse_when_stopping(stopping: asyncio.Event, attempt: asyncio.Task[object] | None) -> None:
    """Called where a step would begin; so an agent that has swallowed its cancel gets no further either."""
    if stopping.is_set() or (attempt is not None and attempt.cancelling()):
        raise Stop
