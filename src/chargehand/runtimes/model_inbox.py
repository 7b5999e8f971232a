"""What people told the task meanwhile: put before the model at a turn, and at the same one in every replay."""

from dataclasses import dataclass

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart

from chargehand.domain.history import StepKind, StepStatus
from chargehand.runtimes.base import Hands


@dataclass(frozen=True, slots=True)
class Inbox:
    """The messages of one task."""

    hands: Hands

    async def read_into(self, turn: int, conversation: list[ModelMessage]) -> None:
        """Add what this turn has taken, or takes now."""
        for text in await self._taken(turn):
            say(conversation, text)

    async def has_more(self, turn: int) -> bool:
        """Whether there is something for the turn after this one."""
        recorded = self.hands.steps.recorded
        if _path(self.hands, turn + 1) in recorded:
            return True
        return bool(await self.hands.steps.journal.unread_messages(self.hands.task))

    def of_earlier_rounds(self) -> list[str]:
        """What was taken before checks failed: the next round's conversation begins anew and must know it."""
        steps = [
            step
            for step in self.hands.steps.recorded.values()
            if step.name == "messages"
            and step.kind is StepKind.VALUE
            and int(step.path.partition("/")[0]) < self.hands.task.round
        ]
        ordered = sorted(steps, key=lambda one: one.started_at)
        return [str(text) for step in ordered for text in _texts(step.result)]

    async def _taken(self, turn: int) -> list[str]:
        steps, path = self.hands.steps, _path(self.hands, turn)
        step = steps.recorded.get(path)
        if step is None:
            asked = steps.recorded.get(path.removesuffix(".messages"))
            if asked is not None and asked.status is StepStatus.DONE:
                return []  # The model has answered this turn without them.
            if not await steps.journal.unread_messages(self.hands.task):
                return []
            step = await steps.take_messages(path)
        return [str(text) for text in _texts(step.result)]


def say(conversation: list[ModelMessage], text: str) -> None:
    """Add a user's words; beside tool results, because two requests in a row are one to a provider."""
    part = UserPromptPart(text)
    last = conversation[-1] if conversation else None
    if isinstance(last, ModelRequest):
        conversation[-1] = ModelRequest(parts=[*last.parts, part])
    else:
        conversation.append(ModelRequest(parts=[part]))


def _path(hands: Hands, turn: int) -> str:
    return f"{hands.task.round}/{turn}.messages"


def _texts(result: object) -> list[object]:
    return list(result) if isinstance(result, list) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - a list of the journal
