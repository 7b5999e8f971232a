"""What a model is told at the start: the definition's prompt, where it works, the task, what it must deliver."""

from typing import TypeVar, cast

from chargehand.domain.values import JsonObject, JsonValue, canonical, plain_text
from chargehand.runtimes.base import Hands
from chargehand.tools.skills import SkillTool

SUBMIT_RESULT = "submit_result"
"""The tool that a result by schema is handed in by."""

Json = TypeVar("Json", bound=JsonValue)

_PLACE = (
    "You work unattended, in a workspace folder of your own. Paths are relative to it; nothing outside it can be"
    " reached. Nobody reads along: when the work is done, say in a final message what was done."
)
_ASKING = "A question that only a person can answer is asked with AskUserQuestion; the answer may take days."


def system_prompt(hands: Hands) -> str:
    """The definition's body, then what is true of every agent here, then the skills that it may load."""
    skills = hands.catalogue.get("Skill")
    listing = skills.listing() if isinstance(skills, SkillTool) else ""
    asking = _ASKING if "AskUserQuestion" in hands.definition.tools else ""
    return "\n\n".join(part for part in (hands.definition.body.strip(), _PLACE, asking, listing) if part)


def brief(hands: Hands) -> str:
    """The task's input: its `prompt`, then whatever else it holds; what is promised; what was found wrong."""
    data = hands.task.task_data
    prompt = data.get("prompt")
    rest: JsonObject = {
        key: value for key, value in data.items() if key != "prompt" or not isinstance(prompt, str)
    }
    parts = [prompt] if isinstance(prompt, str) else []
    if rest or not parts:
        parts.append(f"Input, as JSON:\n{canonical(rest)}")
    promises = hands.definition.block.deliverables
    if promises:
        lines = [f"- {one.name}: {one.path} {one.description}".rstrip() for one in promises]
        parts.append("You must leave in the workspace:\n" + "\n".join(lines))
    if output_schema(hands) is not None:
        parts.append(
            f"When all is done, hand the result in by calling {SUBMIT_RESULT}; a plain answer is not taken."
        )
    if hands.failures:
        found = [canonical(one.as_data()) for one in hands.failures]
        parts.append(
            "You have worked on this before; these checks then failed, repair it:\n" + "\n".join(found)
        )
    return "\n\n".join(parts)


def output_schema(hands: Hands) -> JsonObject | None:
    """The schema that the result must fit: the task's, or its agent's."""
    own = hands.task.output_schema
    return own if own is not None else hands.definition.block.output_schema


def plain_json(value: Json) -> Json:
    """The same value with texts that every database and JSON reader takes."""
    return cast("Json", _plain(value))


def _plain(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return plain_text(value)
        case list():
            return [_plain(one) for one in value]
        case dict():
            return {plain_text(key): _plain(one) for key, one in value.items()}
        case _:
            return value
