"""One answer of the model: recorded, or asked for now and recorded; waits and other models when that fails.

A provider that cannot answer now is a timer in the journal: the task waits in rows and holds no worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.tools import ToolDefinition

from chargehand.domain.charge import Estimate, Grant
from chargehand.domain.history import CUT_BY_BUDGET, StepStatus
from chargehand.domain.task import Reason
from chargehand.domain.values import JsonObject
from chargehand.errors import BudgetExhausted, BudgetReserved
from chargehand.models.choice import ModelName
from chargehand.models.costs import Costs
from chargehand.models.failure import FailureKind, ModelFailure
from chargehand.models.input_tokens import most_input_tokens
from chargehand.models.tenant_requests import TenantRequests
from chargehand.runtimes.base import AgentFailure, Hands, Suspension
from chargehand.runtimes.journal import Paid
from chargehand.runtimes.model_deltas import Deltas
from chargehand.runtimes.model_messages import as_step_result, message_of
from chargehand.runtimes.model_waits import MAX_WAITS, ProviderWaits
from chargehand.telemetry.runs import Answered

BUDGET_WAIT_SECONDS = 2.0
"""At least; a call of the tree that ends wakes the task sooner."""


class ContextTooLong(AgentFailure):
    """The provider says that the conversation is longer than the model takes."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A request, and where the journal has its answer."""

    path: str
    name: str
    arguments: JsonObject
    conversation: Sequence[ModelMessage]
    tools: Sequence[ToolDefinition]


class ModelAnswers:
    """The model's side of the conversation in one attempt. `model` is the one that answered last.

    Rule: the journal says which model answered, so a replay, and each further turn, begins with that one.
    """

    def __init__(
        self, hands: Hands, models: Sequence[ModelName], requests: TenantRequests, costs: Costs
    ) -> None:
        self.hands = hands
        self.model = models[0]
        self._models = tuple(models)
        self._requests = requests
        self._costs = costs

    async def answer(
        self, turn: int, conversation: Sequence[ModelMessage], tools: Sequence[ToolDefinition]
    ) -> ModelResponse:
        """The model's answer in this turn: recorded, or asked for now and recorded."""
        path = f"{self.hands.task.round}/{turn}"
        return await self.ask(path, "model", {"turn": turn}, conversation, tools)

    def is_answered(self, turn: int) -> bool:
        """Whether the answer of this turn is recorded."""
        step = self.hands.steps.recorded.get(f"{self.hands.task.round}/{turn}")
        return step is not None and step.status is StepStatus.DONE

    async def ask(
        self,
        path: str,
        name: str,
        arguments: JsonObject,
        conversation: Sequence[ModelMessage],
        tools: Sequence[ToolDefinition],
    ) -> ModelResponse:
        """What a model answered at this place of the journal. ContextTooLong when it takes no more."""
        place = _Place(path, name, arguments, conversation, tools)
        waits = await ProviderWaits(self.hands, path).over()
        failures: list[tuple[ModelName, ModelFailure]] = []
        for model in self._in_order(waits.given_up):
            try:
                return await self._asked(model, place)
            except ModelFailure as failure:
                if failure.is_too_long:
                    raise ContextTooLong(failure.message) from failure
                failures.append((model, failure))
                if not _is_final(failure, waits, model) and failure.kind is not FailureKind.NOT_ASKED:
                    break
                if not failure.policy.may_fall_back:
                    break
        raise await self._what_follows(failures, waits)

    def _in_order(self, given_up: set[str]) -> Sequence[ModelName]:
        """The one that answered last, those after it, those before it."""
        names = [str(model) for model in self._models]
        start = names.index(str(self.model)) if str(self.model) in names else 0
        left = [one for one in (*self._models[start:], *self._models[:start]) if str(one) not in given_up]
        return left or self._models[:1]

    async def _asked(self, model: ModelName, place: "_Place") -> ModelResponse:
        def estimate() -> Estimate:
            return self._costs.estimate(model, most_input_tokens(place.conversation, place.tools))

        fresh: ModelResponse | None = None
        told: JsonObject | None = None

        async def work(grant: Grant) -> Paid:
            nonlocal fresh, told
            answer, result, tokens = await self._measured(model, place, grant.max_output_tokens)
            result[CUT_BY_BUDGET] = grant.is_cut and answer.finish_reason == "length"
            used = self._costs.settlement(model, tokens)
            if used.usd_nanos is not None:
                self.hands.telemetry.cost(model.provider.name, model.model, used.usd_nanos)
            fresh, told = answer, result
            return Paid(result, used, goes_on=not grant.is_cut and self._begins_a_tool(answer))

        try:
            data = await self.hands.steps.run_paid(place.path, place.name, place.arguments, estimate, work)
        except BudgetReserved:
            raise Suspension(Reason.BUDGET, self._soon()) from None
        held = data if isinstance(data, dict) else {}
        self.model = next((one for one in self._models if str(one) == held.get("model")), self.model)
        if held.get(CUT_BY_BUDGET):
            raise BudgetExhausted(
                f"what was left of the budget allowed {self.model} no answer that is long enough: it was cut short;"
                f" go on with `chargehand tasks retry {self.hands.task.root_id} --budget LIMIT=AMOUNT`"
            )
        # What was answered just now has been read back already, unless the journal took a secret out of it.
        return (
            fresh if fresh is not None and data is told else message_of(held.get("message"), str(self.model))
        )

    def _begins_a_tool(self, answer: ModelResponse) -> bool:
        """Whether one plain tool call follows at once, with whose beginning the answer can be written."""
        called = answer.tool_calls
        return len(called) == 1 and called[0].tool_name in self.hands.catalogue

    def _soon(self) -> datetime:
        """When calls of the same tree may have been settled; with jitter, so that tasks do not return as one."""
        clock = self.hands.clock
        return clock.now() + timedelta(seconds=BUDGET_WAIT_SECONDS * (1 + clock.random()))

    async def _measured(
        self, model: ModelName, place: "_Place", most: int
    ) -> tuple[ModelResponse, JsonObject, dict[str, int]]:
        """The model's answer as a replay reads it, what is recorded, and its tokens; counted and traced."""
        telemetry = self.hands.telemetry
        with telemetry.model_request(model.provider.name, model.model) as request:
            try:
                answer = await self._watched(model, place, most)
                result, used, read = as_step_result(answer, str(model))
            except ModelFailure as failure:
                request.refused(may_retry=failure.policy.tries > 1)
                raise
            told = Answered(
                model=answer.model_name, finish_reason=answer.finish_reason, text=answer.text, **used
            )
            request.answered(told)
        return read, result, used

    async def _watched(self, model: ModelName, place: "_Place", most: int) -> ModelResponse:
        """The model's answer; told piece by piece when somebody watches the task."""
        if not self.hands.attempts.is_watched(self.hands.task):
            return await self._requests.ask(model, place.conversation, place.tools, max_output_tokens=most)
        deltas = Deltas(self.hands.attempts, self.hands.task, place.path)
        try:
            answer = await self._requests.ask(
                model, place.conversation, place.tools, max_output_tokens=most, on_text=deltas.take
            )
        except BaseException:
            deltas.broken_off()
            raise
        deltas.complete()
        return answer

    async def _what_follows(
        self, failures: Sequence[tuple[ModelName, ModelFailure]], waits: ProviderWaits
    ) -> BaseException:
        """What to raise when no model answered: the end, or a wait that the journal keeps."""
        final = [(model, one) for model, one in failures if _is_final(one, waits, model)]
        model, failure = failures[-1]
        if final and final[-1][1] is failure:
            # The last has nothing more to give; one before it that was not asked may yet have.
            open_ways = [one for one in failures if one[1].kind is FailureKind.NOT_ASKED]
            if not open_ways or not failure.policy.may_fall_back or waits.count >= MAX_WAITS:
                return self._end(final, waits)
            model, failure = open_ways[0]
        elif waits.count >= MAX_WAITS:
            return self._end(failures, waits)
        return await waits.begin(model, failure, [str(one) for one, _ in final])

    def _end(self, failures: Sequence[tuple[ModelName, ModelFailure]], waits: ProviderWaits) -> AgentFailure:
        told = [
            f"after {waits.tries[str(model)] + 1} tries: {one.message}"
            if waits.tries[str(model)] and one.kind is not FailureKind.NOT_ASKED
            else one.message
            for model, one in failures
        ]
        return AgentFailure("; ".join(told), may_retry=failures[-1][1].policy.tries > 1)


def _is_final(failure: ModelFailure, waits: ProviderWaits, model: ModelName) -> bool:
    """Whether the model is given up for this answer."""
    return failure.kind is not FailureKind.NOT_ASKED and waits.tries[str(model)] + 1 >= failure.policy.tries
