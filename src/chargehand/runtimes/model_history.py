"""How a conversation begins: with the task, or with the conversation of the task that this one follows.

The earlier conversation is put together from its rows; what tools returned is cut short, the files are still there.
"""

from collections.abc import Mapping, Sequence

from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    ToolReturnPart,
)

from chargehand.domain.history import Step, StepKind, StepStatus
from chargehand.domain.task import Task
from chargehand.domain.values import canonical
from chargehand.runtimes.base import Hands
from chargehand.runtimes.model_inbox import Inbox, say
from chargehand.runtimes.model_prompts import brief, system_prompt

MAX_RESULT_CHARACTERS = 2_000
MAX_TURNS_KEPT = 60
"""Of each earlier task, the last."""


async def opening(hands: Hands) -> list[ModelMessage]:
    """The messages before the model's first answer of this round."""
    conversation: list[ModelMessage] = [ModelRequest(parts=[SystemPromptPart(system_prompt(hands))])]
    if hands.task.follows_id is not None:
        for task, steps in await hands.steps.journal.followed(hands.task):
            _go_through(conversation, task, steps)
    say(conversation, brief(hands))
    for text in Inbox(hands).of_earlier_rounds():
        say(conversation, text)
    return conversation


def _go_through(conversation: list[ModelMessage], task: Task, steps: Sequence[Step]) -> None:
    """Add an earlier task: its input, and the turns of its last round."""
    prompt = task.task_data.get("prompt")
    say(conversation, prompt if isinstance(prompt, str) else canonical(task.task_data))
    by_path = {step.path: step for step in steps}
    answered = [
        int(step.path.rpartition("/")[2])
        for step in steps
        if step.kind is StepKind.MODEL
        and step.status is StepStatus.DONE
        and step.path.startswith(f"{task.round}/")
    ]
    for turn in sorted(answered)[-MAX_TURNS_KEPT:]:
        path = f"{task.round}/{turn}"
        for text in _said(by_path.get(f"{path}.messages")):
            say(conversation, text)
        answer = _answer(by_path[path])
        if answer is None:
            continue
        conversation.append(answer)
        returned = [
            ToolReturnPart(
                tool_name=call.tool_name,
                content=_result(by_path, f"{path}.{index}"),
                tool_call_id=call.tool_call_id,
            )
            for index, call in enumerate(answer.tool_calls)
        ]
        if returned:
            conversation.append(ModelRequest(parts=list(returned)))
    if task.error is not None:
        say(conversation, f"(This work then ended: {task.status.value}, {task.error.get('message')})")


def _said(step: Step | None) -> list[str]:
    return [str(text) for text in step.result] if step is not None and isinstance(step.result, list) else []


def _answer(step: Step) -> ModelResponse | None:
    message = step.result.get("message") if isinstance(step.result, dict) else None
    if message is None:
        return None
    [answer] = ModelMessagesTypeAdapter.validate_python([message])
    return answer if isinstance(answer, ModelResponse) and answer.parts else None


def _result(by_path: Mapping[str, Step], path: str) -> str:
    """What a call came to, as far as the journal tells."""
    step = by_path.get(path) or by_path.get(f"{path}.q0")
    if step is None or step.result is None:
        return "(nothing is recorded of what this came to)"
    content = step.result.get("content") if isinstance(step.result, dict) else None
    text = content if isinstance(content, str) else canonical(step.result)
    if len(text) <= MAX_RESULT_CHARACTERS:
        return text
    return f"{text[:MAX_RESULT_CHARACTERS]}\n[cut: {len(text) - MAX_RESULT_CHARACTERS:,} more characters]"
