"""The waits of one request for providers that could not answer: timers in the journal, and what they tell.

From them alone a replay knows how often each model was asked and which were given up.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chargehand.domain.history import PROVIDER_WAIT, Step, StepKind, StepStatus
from chargehand.domain.task import Reason
from chargehand.domain.values import JsonObject
from chargehand.models.choice import ModelName
from chargehand.models.failure import FailureKind, ModelFailure
from chargehand.runtimes.base import Hands, Suspension
from chargehand.runtimes.model_prompts import plain_json

LONGEST_WAIT_SECONDS = 3_600.0
LONGEST_OWN_WAIT_SECONDS = 60.0
MAX_WAITS = 128
"""Of one request, those included in which a provider that keeps failing is not asked: an hour and more."""


@dataclass(slots=True)
class ProviderWaits:
    """The waits of the request at `path` so far."""

    hands: Hands
    path: str
    count: int = 0
    tries: Counter[str] = field(default_factory=Counter[str])
    given_up: set[str] = field(default_factory=set[str])

    async def over(self) -> "ProviderWaits":
        """Itself, once the last wait is over; until then Suspension."""
        while (step := self.hands.steps.recorded.get(self._path())) is not None:
            if step.status is not StepStatus.DONE:
                due = datetime.fromisoformat(str(step.result))
                if self.hands.clock.now() < due:
                    raise Suspension(Reason.TIMER, due)
                await self.hands.steps.close(step, step.result)
            self._learn(step.arguments)
        return self

    def _learn(self, told: JsonObject) -> None:
        self.count += 1
        if told.get("asked") is True:
            self.tries[str(told.get("model"))] += 1
        given_up = told.get("given_up")
        self.given_up |= {str(one) for one in given_up} if isinstance(given_up, list) else set()

    async def begin(self, model: ModelName, failure: ModelFailure, given_up: Sequence[str]) -> Suspension:
        """Journal the wait that follows a failure; what to raise."""
        seconds = self._seconds(self.tries[str(model)], failure.retry_after_seconds)
        until = self.hands.clock.now() + timedelta(seconds=seconds)
        was_asked = failure.kind is not FailureKind.NOT_ASKED
        arguments: JsonObject = {
            "failure": plain_json(failure.message),
            "model": str(model),
            "asked": was_asked,
            "given_up": [*sorted(self.given_up), *given_up],
        }

        async def open_step(step: Step) -> Step:
            return await self.hands.steps.journal.set_timer(self.hands.task, step, until)

        await self.hands.steps.open_or_result(
            self._path(), StepKind.TIMER, PROVIDER_WAIT, arguments, open_step
        )
        self.hands.telemetry.waits_for(model.provider.name)
        await self.hands.report(f"{failure.message}; asking again in {seconds:.0f} s")
        return Suspension(Reason.TIMER, until)

    def _path(self) -> str:
        return f"{self.path}.wait{self.count}"

    def _seconds(self, failures: int, no_sooner: float | None) -> float:
        """Twice as long each time, and what was asked for; with jitter, so that tasks do not return as one."""
        own = min(LONGEST_OWN_WAIT_SECONDS, 2.0 ** min(failures, 10))
        seconds = min(LONGEST_WAIT_SECONDS, max(own, no_sooner or 0.0))
        return seconds * (1 + 0.2 * self.hands.clock.random())
