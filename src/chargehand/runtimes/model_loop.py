"""The durable loop over a model: ask, do what it calls for, ask again, until it says that it is done.

Rule: each answer of the model and each tool result is a step of the journal. After a crash the conversation is
put together again from the rows, and nothing that was answered is asked again.
"""

from dataclasses import dataclass

from pydantic_ai.messages import ModelRequest, UserPromptPart

from chargehand.domain.values import JsonValue
from chargehand.models.choice import ModelName
from chargehand.models.costs import Costs
from chargehand.models.tenant_requests import TenantRequests
from chargehand.models.windows import window_tokens
from chargehand.runtimes.base import AgentFailure, Hands
from chargehand.runtimes.model_answers import ModelAnswers
from chargehand.runtimes.model_calls import ToolCalls
from chargehand.runtimes.model_context import ModelContext
from chargehand.runtimes.model_history import opening
from chargehand.runtimes.model_inbox import Inbox
from chargehand.runtimes.model_output import USE_THE_TOOL, SubmittedOutput
from chargehand.runtimes.model_prompts import SUBMIT_RESULT

MAX_TURNS = 200
MAX_EMPTY_ANSWERS = 2


@dataclass(slots=True)
class ModelRun:
    """One attempt at one round of a task."""

    hands: Hands
    models: tuple[ModelName, ...]
    """The agent's own first, then those to fall back to."""
    requests: TenantRequests
    costs: Costs
    context_tokens: int | None = None

    async def to_the_end(self) -> JsonValue:
        """The agent's result. AgentFailure, Suspension, Stop as every runtime."""
        try:
            return await self._turns()
        finally:
            await self.hands.steps.write_held_back()

    async def _turns(self) -> JsonValue:
        answers = ModelAnswers(self.hands, self.models, self.requests, self.costs)
        calls, output = ToolCalls(self.hands), SubmittedOutput.of(self.hands)
        tools = [*calls.shown(), *([output.tool()] if output else [])]
        context = ModelContext(answers, tools, window_tokens(self.models[0], self.context_tokens))
        inbox = Inbox(self.hands)
        conversation = await opening(self.hands)
        empty = 0
        most = self.hands.definition.wishes.max_turns or MAX_TURNS
        for turn in range(most):
            await inbox.read_into(turn, conversation)
            answer = await context.answer(turn, conversation)
            conversation.append(answer)
            called = list(answer.tool_calls)
            if called:
                handed_in = [one for one in called if output and one.tool_name == SUBMIT_RESULT]
                results = await calls.results(turn, called, but_not=handed_in)
                if output is not None:
                    for one in handed_in:
                        value, errors = output.judge(one)
                        if errors:
                            results.append(output.told(one, errors))
                        elif turn + 1 < most and await inbox.has_more(turn):
                            results.append(output.put_off(one))
                        else:
                            return value
                conversation.append(ModelRequest(parts=list(results)))
                continue
            text = (answer.text or "").strip()
            if text and turn + 1 < most and await inbox.has_more(turn):
                continue
            if text and output:
                output.count_repair([USE_THE_TOOL])
                conversation.append(ModelRequest(parts=[UserPromptPart(USE_THE_TOOL)]))
                continue
            if text:
                return {"text": text, "model": str(answers.model)}
            empty += 1
            if empty > MAX_EMPTY_ANSWERS:
                raise AgentFailure(f"{answers.model} gave an empty answer {empty} times", may_retry=True)
            conversation.append(ModelRequest(parts=[UserPromptPart("Your answer was empty. Go on.")]))
        raise AgentFailure(f"the agent did not end within {most} turns")
