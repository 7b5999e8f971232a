"""Functions of the operator's as tools: their schema, what they return and raise, and what cannot be one."""

from collections.abc import Callable
from typing import Any

import pytest

from chargehand.domain.values import JsonValue
from chargehand.errors import InvalidInput
from chargehand.tools.base import AfterCrash, Risk, ToolContext, ToolResult, call_tool
from chargehand.tools.python import tool, tool_of
from tests.tools import own_tools

TOOLS = {
    one.name: one
    for one in (tool_of(getattr(own_tools, name), name) for name in ("weather", "leave_note", "broken"))
}


async def call(context: ToolContext, name: str, **arguments: JsonValue) -> ToolResult:
    return await call_tool(TOOLS, context, name, arguments)


def test_the_signature_is_the_schema_and_the_declarations_are_kept() -> None:
    weather = TOOLS["weather"]
    schema = weather.arguments.model_json_schema()

    assert schema["required"] == ["city"]
    assert schema["properties"]["days"]["maximum"] == 7
    assert schema["additionalProperties"] is False
    assert weather.description == "The forecast for a city."
    assert (weather.risk, weather.after_crash) == (Risk.NETWORK, AfterCrash.REPEAT)
    assert list(TOOLS["note"].arguments.model_fields) == ["text"]


async def test_what_they_return_is_told_and_wrong_arguments_never_reach_them(context: ToolContext) -> None:
    assert (await call(context, "weather", city="Bonn")).content == '{"city":"Bonn","days":["sun 0"]}'
    assert (await call(context, "note", text="x")).content == "noted for task-1"
    assert context.workspace.exists(context.workspace.path("note.txt"))
    refused = await call(context, "weather", city="Bonn", days=8)
    assert refused.is_error
    assert "days: Input should be less than or equal to 7" in refused.content


async def test_what_they_raise_is_told(context: ToolContext) -> None:
    result = await call(context, "broken", why="no luck")

    assert result.is_error
    assert result.content.startswith("broken failed: ValueError: no luck")
    assert "\0" not in result.content


def test_a_marked_function_stays_a_function() -> None:
    with pytest.raises(ValueError, match="why"):
        own_tools.broken("why")


def no_docs(a: int) -> None: ...
def no_type(a: Any) -> None:
    """Says something."""


del no_type.__annotations__["a"]


def many(*a: int) -> None:
    """Says something."""


REFUSED: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (no_docs, {}, "needs a docstring"),
    (no_type, {}, "'a' of the tool 'no_type' needs a name and a type"),
    (many, {}, "only plain named arguments"),
    (no_docs, {"description": "d", "name": "a b"}, "'a b' cannot be a tool's name"),
    (no_docs, {"description": "d", "risk": "none"}, "none of: read, write, execute, network"),
    (no_docs, {"description": "d", "after_crash": "retry"}, "none of: repeat, report"),
]


@pytest.mark.parametrize(("function", "options", "told"), REFUSED)
def test_what_cannot_be_a_tool_is_refused_with_the_reason(
    function: Callable[..., Any], options: dict[str, Any], told: str
) -> None:
    declared: dict[str, Any] = {"risk": "read", "after_crash": "repeat"}
    with pytest.raises(InvalidInput, match=told):
        tool(**(declared | options))(function)
