"""What a tool is, what it is given, and how it is called.

Rule: what an agent gets wrong comes back as a result that says what to do; only faults of the service raise.
"""

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from chargehand.domain.values import JsonObject, JsonValue, check_json
from chargehand.errors import Finding, InvalidInput, PayloadTooLarge, SandboxUnavailable, ToolError
from chargehand.tools.background import Background
from chargehand.tools.ledger import ReadLedger
from chargehand.tools.sandbox.base import Sandbox, SandboxLimits
from chargehand.tools.workspace import Workspace

MAX_CONTENT_CHARACTERS = 120_000
"""No result is longer, whatever a tool's own cap lets through."""

MAX_NAMED_PROBLEMS = 8

OUTCOME_UNKNOWN = "outcome_unknown"
"""The code of a result that tells what a dead worker has left: nobody knows how far it came."""


class Risk(StrEnum):
    """The most that a call of a tool can do; policies judge by it, and reading calls run side by side."""

    READ = "read"
    """It changes nothing that the work or anybody else depends on."""
    WRITE = "write"
    """It changes files of the workspace."""
    EXECUTE = "execute"
    """It runs code: commands in the sandbox, or the operator's own functions."""
    NETWORK = "network"
    """It talks to other machines: what the agent knows can leave, what comes back is not to be trusted."""


class AfterCrash(StrEnum):
    """A tool's idempotency: what happens to a call that was in flight when its worker died."""

    REPEAT = "repeat"
    """Run it again: the second run finds what the first one left and comes to the same end."""

    REPORT = "report"
    """Never run it again: the agent is told that the outcome is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool may use while it works for one task."""

    workspace: Workspace
    sandbox: Sandbox
    limits: SandboxLimits
    task_id: str
    reads: ReadLedger
    background: Background = field(default_factory=Background)
    """Commands that go on while the agent does; whoever makes the context ends them with it."""


@dataclass(slots=True, kw_only=True)
class ToolResult:
    """What came of a call: `content` is what the agent is told, `details` is what programs read."""

    content: str
    details: JsonObject = field(default_factory=dict[str, JsonValue])
    is_error: bool = False


class ToolArguments(BaseModel):
    """The base of every tool's arguments: an unknown argument is refused, never dropped in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tool(Protocol):
    """One thing an agent can do. The description and the schema of `arguments` are what a model is shown."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def arguments(self) -> type[BaseModel]: ...
    @property
    def risk(self) -> Risk: ...
    @property
    def after_crash(self) -> AfterCrash: ...

    async def __call__(self, context: ToolContext, arguments: BaseModel) -> ToolResult: ...


Arguments = TypeVar("Arguments", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionTool(Generic[Arguments]):
    """A tool whose work is one async function over its own argument type."""

    name: str
    description: str
    arguments: type[Arguments]
    risk: Risk
    after_crash: AfterCrash
    run: Callable[[ToolContext, Arguments], Awaitable[ToolResult]]

    async def __call__(self, context: ToolContext, arguments: BaseModel) -> ToolResult:
        if not isinstance(arguments, self.arguments):
            raise TypeError(f"{self.name} takes {self.arguments.__name__}, not {type(arguments).__name__}")
        return await self.run(context, arguments)


async def call_tool(
    catalogue: Mapping[str, Tool], context: ToolContext, name: str, arguments: JsonObject
) -> ToolResult:
    """Run one call of an agent. An unknown tool, wrong arguments and a `ToolError` come back as results."""
    tool = catalogue.get(name)
    if tool is None:
        return _failed("tool_unknown", _no_such_tool(name, catalogue))
    try:
        # Lone surrogates and NUL pass for text in pydantic, but no file or database takes them.
        check_json(arguments)
        parsed = tool.arguments.model_validate(arguments)
    except ValidationError as error:
        return _failed("tool_arguments_invalid", _wrong_arguments(tool, error))
    except (InvalidInput, PayloadTooLarge) as error:
        return _failed("tool_arguments_invalid", f"The arguments of {tool.name} were not accepted: {error}.")
    try:
        result = await tool(context, parsed)
    except (ToolError, SandboxUnavailable) as error:
        return _failed(error.code, error.message)
    context.reads.learn(result.details)
    result.content = _capped(result.content)
    return result


def _failed(code: str, message: str) -> ToolResult:
    return ToolResult(content=_capped(message), details={"code": code}, is_error=True)


def _no_such_tool(name: str, catalogue: Mapping[str, Tool]) -> str:
    by_folded_name = {known.casefold(): known for known in catalogue}
    near = difflib.get_close_matches(name.casefold(), by_folded_name, n=3, cutoff=0.6)
    meant = f" Did you mean {' or '.join(by_folded_name[match] for match in near)}?" if near else ""
    return f"There is no tool {name[:100]!r}.{meant} You have: {', '.join(catalogue) or 'no tools'}."


def _wrong_arguments(tool: Tool, error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"The arguments of {tool.name} were not accepted; nothing was done."]
    for problem in problems[:MAX_NAMED_PROBLEMS]:
        place = ".".join(str(part) for part in problem["loc"]) or "arguments"
        lines.append(f"- {place}: {problem['msg']}")
    if len(problems) > MAX_NAMED_PROBLEMS:
        lines.append(f"- and {len(problems) - MAX_NAMED_PROBLEMS} more")
    lines.append(f"{tool.name} takes: {takes(tool)}.")
    return "\n".join(lines)


def takes(tool: Tool) -> str:
    """The names of what a tool takes."""
    schema = tool.arguments.model_json_schema(by_alias=True)
    required, properties = schema.get("required", ()), schema.get("properties", {})
    names = [f"{name}{' (required)' if name in required else ''}" for name in properties]
    return ", ".join(names) or "nothing"


def argument_findings(tool: Tool, arguments: JsonObject) -> list[Finding]:
    """What of these arguments a tool would not take."""
    try:
        tool.arguments.model_validate(arguments)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        return [
            Finding(where=".".join(map(str, one["loc"])) or "arguments", message=one["msg"])
            for one in problems[:MAX_NAMED_PROBLEMS]
        ]
    return []


def _capped(text: str) -> str:
    if len(text) <= MAX_CONTENT_CHARACTERS:
        return text
    return f"{text[:MAX_CONTENT_CHARACTERS]}\n[cut: {len(text) - MAX_CONTENT_CHARACTERS:,} more characters]"
