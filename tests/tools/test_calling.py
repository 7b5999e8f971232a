"""Calling a tool: whatever an agent gets wrong comes back as a result that it can act on."""

from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from chargehand.domain.agent_tools import TOOL_NAMES
from chargehand.domain.values import JsonValue
from chargehand.errors import SandboxUnavailable, ToolError
from chargehand.tools.base import (
    MAX_CONTENT_CHARACTERS,
    AfterCrash,
    FunctionTool,
    Risk,
    ToolArguments,
    ToolContext,
    ToolResult,
    call_tool,
)
from chargehand.tools.catalogue import catalogue
from tests.tools.conftest import Call


class NumberArguments(ToolArguments):
    number: int


@dataclass(frozen=True)
class Behaviour:
    """A tool that does one thing, to see what a caller makes of it."""

    raises: Exception | None = None
    content: str = "done"

    def tool(self) -> FunctionTool[NumberArguments]:
        async def run(_context: ToolContext, _arguments: NumberArguments) -> ToolResult:
            if self.raises is not None:
                raise self.raises
            return ToolResult(content=self.content)

        return FunctionTool(
            name="Count",
            description="",
            arguments=NumberArguments,
            risk=Risk.READ,
            after_crash=AfterCrash.REPEAT,
            run=run,
        )


async def test_an_unknown_tool_is_answered_with_the_ones_there_are_and_the_likely_one(call: Call) -> None:
    result = await call("read_", file_path="x")

    assert result.is_error
    assert "no tool 'read_'. Did you mean Read?" in result.content
    assert "Write" in result.content
    assert result.details == {"code": "tool_unknown"}


async def test_wrong_arguments_are_all_named_with_what_the_tool_takes(call: Call) -> None:
    result = await call("Read", path="x", offset="first")

    assert result.is_error
    assert "file_path: Field required" in result.content
    assert "path: Extra inputs are not permitted" in result.content
    assert "offset: " in result.content
    assert "Read takes: file_path (required), offset, limit." in result.content


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a\ud800b", "lone surrogate"),
        ("a\x00b", "NUL"),
        (["x"], "content: "),
        ({"a": 1}, "content: "),
        (None, "content: "),
        (7, "content: "),
    ],
)
async def test_an_argument_of_another_type_or_that_is_no_text_is_refused(
    call: Call, value: JsonValue, reason: str
) -> None:
    result = await call("Write", file_path="a.txt", content=value)

    assert result.details == {"code": "tool_arguments_invalid"}
    assert reason in result.content


@pytest.mark.parametrize("error", [ToolError("no luck"), SandboxUnavailable("no luck")])
async def test_what_a_tool_refuses_is_a_result_with_its_code(
    context: ToolContext, error: ToolError | SandboxUnavailable
) -> None:
    result = await call_tool({"Count": Behaviour(raises=error).tool()}, context, "Count", {"number": 1})

    assert (result.is_error, result.content, result.details) == (True, "no luck", {"code": error.code})


async def test_a_fault_of_the_service_is_raised_and_never_told_to_the_agent(context: ToolContext) -> None:
    broken = Behaviour(raises=RuntimeError("a bug")).tool()

    with pytest.raises(RuntimeError, match="a bug"):
        await call_tool({"Count": broken}, context, "Count", {"number": 1})


async def test_a_result_is_cut_to_what_is_kept_of_it_and_says_so(context: ToolContext) -> None:
    talkative = Behaviour(content="x" * (MAX_CONTENT_CHARACTERS + 5)).tool()

    result = await call_tool({"Count": talkative}, context, "Count", {"number": 1})

    assert result.content.endswith("x\n[cut: 5 more characters]")


async def test_a_tool_given_another_tools_arguments_is_a_fault_of_the_caller(context: ToolContext) -> None:
    class Other(BaseModel):
        number: int

    with pytest.raises(TypeError, match="Count takes NumberArguments, not Other"):
        await Behaviour().tool()(context, Other(number=1))


def test_the_catalogue_has_the_tools_that_definitions_name() -> None:
    named = [name for name in TOOL_NAMES if name != "Delegate"]
    assert [*catalogue()] == named
    assert all(tool.name == name for name, tool in catalogue().items())


def test_only_what_comes_to_the_same_end_twice_is_repeated_after_a_crash() -> None:
    repeated = {name for name, tool in catalogue().items() if tool.after_crash is AfterCrash.REPEAT}

    assert repeated == {"Read", "Write", "Glob", "Grep", "BashOutput", "KillShell", "TodoWrite"}


@pytest.mark.parametrize("name", catalogue())
def test_every_tool_describes_itself_and_each_argument_and_refuses_unknown_ones(name: str) -> None:
    tool = catalogue()[name]
    schema = tool.arguments.model_json_schema()

    assert len(tool.description) > 40
    assert schema["additionalProperties"] is False
    assert all(field["description"] for field in schema["properties"].values())


def test_each_tool_says_the_most_that_it_can_do() -> None:
    by_risk = {risk: {name for name, tool in catalogue().items() if tool.risk is risk} for risk in Risk}

    assert by_risk[Risk.READ] == {"Read", "Glob", "Grep", "BashOutput", "TodoWrite"}
    assert by_risk[Risk.WRITE] == {"Write", "Edit", "MultiEdit"}
    assert by_risk[Risk.EXECUTE] == {"Bash", "KillShell"}
    assert by_risk[Risk.NETWORK] == set()
