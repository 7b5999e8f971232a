"""Keeps a long conversation within what its model takes: old tool results are left out, then all is summed up.

Rule: what is sent follows from recorded data alone. Above 60 % of the window the oldest results give way, down to
40 % at once, so that the beginning of the requests stays the same for many turns and providers' caches hold. Above
85 % the model sums up the older part, which is a step of the journal like every answer. The prompts and the last
turns always stay, and a call is never parted from its result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, SystemPromptPart, UserPromptPart
from pydantic_ai.tools import ToolDefinition

from chargehand.domain.values import canonical
from chargehand.runtimes.base import AgentFailure
from chargehand.runtimes.model_answers import ContextTooLong, ModelAnswers
from chargehand.runtimes.model_sizes import (
    calls_by_id,
    clipped,
    elided,
    is_answer,
    message_tokens,
    text_tokens,
    told,
    without_giants,
)

ELIDE_ABOVE, ELIDE_TO, SUMMARISE_ABOVE = 0.60, 0.40, 0.85
LARGEST_RESULTS = 0.30
"""Of the window, what the results of one turn may take together."""
KEPT_TURNS = 4
"""Turns that a summary leaves as they are, when they have room."""
KEPT_RESULTS = 2
"""Turns whose results are in full."""
MOST_CORRECTION = 4.0

SUMMARY_SYSTEM = (
    "You sum up the work of an agent whose conversation has become too long for it. What you write takes the place"
    " of that conversation: the agent goes on from it alone. Keep what the task asks for and every constraint that"
    " was stated; what was decided and why; files made or changed, with their paths; facts, names and numbers that"
    " are still needed; what was tried and failed; what is done, what is open and what comes next. Plain text, no"
    " tool calls, no new work."
)
SUMMARY_HEAD = "Your work so far, summed up because the conversation had become too long:\n\n"
NO_SUMMARY = "(The model gave no summary. Look at the workspace to see what is done.)"


@dataclass(slots=True)
class ModelContext:
    """The conversation of one attempt, as the model is shown it."""

    answers: ModelAnswers
    tools: Sequence[ToolDefinition]
    window: int
    _messages: list[ModelMessage] = field(default_factory=list[ModelMessage])
    """As they are shown: results that alone would fill the window are cut, old ones are elided."""
    _sizes: list[int] = field(default_factory=list[int])
    _total: int = 0
    _tools_tokens: int = 0
    _through: int = 1
    """Messages before this one, but for the first, stand in the summary."""
    _full_from: int = 1
    """Results before this message are elided."""
    _summary: str = ""
    _correction: float = 1.0

    def __post_init__(self) -> None:
        shown = [[one.name, one.description, one.parameters_json_schema] for one in self.tools]
        self._tools_tokens = text_tokens(canonical(shown))

    async def answer(self, turn: int, conversation: Sequence[ModelMessage]) -> ModelResponse:
        """The model's answer to the conversation, as much of it as the model takes."""
        self._take_in(conversation)
        await self._make_room(turn)
        try:
            answer = await self.answers.answer(turn, self._shown(), self.tools)
        except ContextTooLong as refused:
            # The provider knows better than the estimate. Once: what is still too long then will not get shorter.
            if self._path(turn) in self.answers.hands.steps.recorded or not await self._sum_up(turn, 0.25):
                raise AgentFailure(_no_way_out(refused)) from refused
            answer = await self.answers.answer(turn, self._shown(), self.tools)
        self._learn(answer)
        return answer

    def _take_in(self, conversation: Sequence[ModelMessage]) -> None:
        for message in conversation[len(self._messages) :]:
            kept = without_giants(message, int(self.window * LARGEST_RESULTS))
            self._messages.append(kept)
            self._sizes.append(message_tokens(kept))
            self._total += self._sizes[-1]

    async def _make_room(self, turn: int) -> None:
        if self._share() > ELIDE_ABOVE:
            self._elide(ELIDE_TO, keeping=KEPT_RESULTS)
        # A turn that is answered was answered without one, whatever the window is now: none is paid for then.
        is_due = self._share() > SUMMARISE_ABOVE and not self.answers.is_answered(turn)
        if self._path(turn) in self.answers.hands.steps.recorded or is_due:
            await self._sum_up(turn, 0.5)
        if self._share() > SUMMARISE_ABOVE:
            self._elide(SUMMARISE_ABOVE, keeping=1)

    def _share(self) -> float:
        """How much of the window the next request takes, by the estimate."""
        return self._correction * (self._total + self._tools_tokens) / self.window

    def _learn(self, answer: ModelResponse) -> None:
        """Where a provider counts more tokens than the estimate, the estimate is raised from then on."""
        estimate = self._total + self._tools_tokens
        seen = answer.usage.input_tokens / estimate if estimate else 1.0
        self._correction = min(MOST_CORRECTION, max(self._correction, seen))

    def _elide(self, down_to: float, *, keeping: int) -> None:
        end = self._start_of_last(keeping)
        while self._full_from < end and self._share() > down_to:
            calls = calls_by_id(self._messages[self._full_from - 1])
            self._replace(self._full_from, elided(self._messages[self._full_from], calls))
            self._full_from += 1

    def _replace(self, index: int, message: ModelMessage) -> None:
        self._messages[index] = message
        self._total -= self._sizes[index]
        self._sizes[index] = message_tokens(message)
        self._total += self._sizes[index]

    def _start_of_last(self, turns: int) -> int:
        """Where the last so many turns begin, each with the model's answer."""
        answers = [index for index, one in enumerate(self._messages) if index and is_answer(one)]
        return answers[-turns] if len(answers) >= turns else 1

    async def _sum_up(self, turn: int, share: float) -> bool:
        """Put a summary in place of all but the last turns: recorded, or asked for now. False: nothing to sum up.

        `share` of the window is what the older part may take in the request for the summary.
        """
        hands, path = self.answers.hands, self._path(turn)
        step = hands.steps.recorded.get(path)
        recorded = step.arguments.get("through") if step is not None else None
        through = recorded if isinstance(recorded, int) else self._where_to_cut()
        if through <= self._through:
            return False
        most = int(min(self.window, self._total) * share / self._correction)
        older = told(self._messages[self._through : through], most)
        before = f"{SUMMARY_HEAD}{self._summary}\n\n" if self._summary else ""
        task = clipped(told(self._messages[:1], max(most, 400)), max(most, 400))
        asked = (
            f"The agent's instructions and task:\n{task}\n\n{before}What came then:\n\n{older}\n\nSum it up."
        )
        request = ModelRequest(parts=[SystemPromptPart(SUMMARY_SYSTEM), UserPromptPart(asked)])
        arguments = {"turn": turn, "through": through}
        answer = await self.answers.ask(path, "summary", dict(arguments), [request], [])
        text = clipped((answer.text or "").strip() or NO_SUMMARY, max(200, self.window // 5))
        self._total -= sum(self._sizes[self._through : through])
        self._total += text_tokens(text) - text_tokens(self._summary)
        self._summary, self._through = text, through
        self._full_from = max(self._full_from, through)
        return True

    def _where_to_cut(self) -> int:
        """The first message that a summary leaves: of the last turns as many as fill no half of the window."""
        keep = KEPT_TURNS
        while keep > 1 and sum(self._sizes[self._start_of_last(keep) :]) > self.window * 0.5:
            keep -= 1
        return self._start_of_last(keep)

    def _shown(self) -> list[ModelMessage]:
        if not self._summary:
            return list(self._messages)
        first = cast("ModelRequest", self._messages[0])
        told_so_far = UserPromptPart(SUMMARY_HEAD + self._summary)
        return [replace(first, parts=[*first.parts, told_so_far]), *self._messages[self._through :]]

    def _path(self, turn: int) -> str:
        return f"{self.answers.hands.task.round}/{turn}.summary"


def _no_way_out(refused: ContextTooLong) -> str:
    return (
        f"{refused.message}; what cannot be left out (the prompts and the last turn) is already too long for the"
        " model: give it less at once, or choose a model with a larger context"
    )
