"""A model's questions to a person: the tool `AskUserQuestion`, each question a step that `tasks answer` ends."""

from typing import cast

from pydantic_ai.tools import ToolDefinition

from chargehand.domain.agent import AgentDefinition
from chargehand.domain.history import Step, StepKind, StepStatus
from chargehand.domain.task import Reason
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.runtimes.base import Hands, Suspension

QUESTION_TOOL = "AskUserQuestion"
MAX_QUESTIONS = 4
MAX_OPTIONS = 20
MAX_TEXT = 4_000

_OPTION: JsonObject = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "description": {"type": "string"}},
    "required": ["label"],
}
_QUESTION: JsonObject = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "description": "The whole question, as the person is to read it."},
        "header": {"type": "string", "description": "A word or two on what it is about."},
        "options": {
            "type": "array",
            "items": _OPTION,
            "description": "The answers to choose from; none: any text is an answer.",
        },
        "multiSelect": {"type": "boolean", "description": "Whether several options may be chosen."},
    },
    "required": ["question"],
}


def question_tool(definition: AgentDefinition) -> ToolDefinition | None:
    """The tool as the model is shown it; None for an agent that does not list it."""
    if QUESTION_TOOL not in definition.tools:
        return None
    return ToolDefinition(
        name=QUESTION_TOOL,
        description=(
            "Ask a person up to four questions and wait for the answers, which may take days. Ask only what you"
            " can neither find out nor decide yourself."
        ),
        parameters_json_schema={
            "type": "object",
            "properties": {"questions": {"type": "array", "items": _QUESTION, "maxItems": MAX_QUESTIONS}},
            "required": ["questions"],
        },
        strict=False,
    )


async def ask_person(hands: Hands, path: str, arguments: JsonObject) -> str:
    """The answers, as the model is told them. Suspension(QUESTION) while one is missing."""
    questions = _questions(arguments)
    if isinstance(questions, str):
        return f"The arguments of {QUESTION_TOOL} were not accepted; nobody was asked: {questions}."
    steps = [await _asked(hands, f"{path}.q{index}", one) for index, one in enumerate(questions)]
    if any(step.status is not StepStatus.DONE for step in steps):
        raise Suspension(Reason.QUESTION)
    told = [f"{one['question']}\n→ {step.result}" for one, step in zip(questions, steps, strict=True)]
    return "\n\n".join(told)


async def _asked(hands: Hands, path: str, question: JsonObject) -> Step:
    async def open_step(step: Step) -> Step:
        await hands.steps.journal.ask(hands.task, step)
        return step

    return await hands.steps.open_or_result(path, StepKind.QUESTION, "ask", question, open_step)


def _questions(arguments: JsonObject) -> list[JsonObject] | str:
    """Each question with its choices as the journal keeps them; or what is wrong with them."""
    asked = arguments.get("questions")
    if not isinstance(asked, list) or not 1 <= len(asked) <= MAX_QUESTIONS:
        return f"`questions` is a list of 1 to {MAX_QUESTIONS}"
    found = [_question(one) for one in asked]
    wrong = next((one for one in found if isinstance(one, str)), None)
    return wrong if wrong is not None else cast("list[JsonObject]", found)


def _question(value: JsonValue) -> JsonObject | str:
    text = value.get("question") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_TEXT:
        return f"a question has the text `question`, of up to {MAX_TEXT} characters"
    options = value.get("options", [])
    if not isinstance(options, list) or len(options) > MAX_OPTIONS:
        return f"`options` is a list of up to {MAX_OPTIONS}"
    labels: list[JsonValue] = [one.get("label") if isinstance(one, dict) else one for one in options]
    if not all(isinstance(one, str) and one.strip() for one in labels):
        return "each of `options` has a `label`"
    listed = [f"- {_told(one)}" for one in options]
    if listed:
        several = "one or several of these" if value.get("multiSelect") is True else "one of these"
        listed.insert(0, f"({several}, or an answer of your own)")
    # As elsewhere an option is an offer: the person may say something else, so none is enforced as a choice.
    return {"question": "\n".join([text, *listed]), "choices": []}


def _told(option: JsonValue) -> str:
    if not isinstance(option, dict):
        return str(option)
    description = option.get("description")
    return f"{option['label']}: {description}" if description else str(option["label"])
