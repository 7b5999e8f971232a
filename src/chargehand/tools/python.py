"""Tools that are Python functions of the operator's: `@tool` makes one of a function with typed arguments.

    @tool(risk="network", after_crash="repeat")
    async def weather(city: str, days: Annotated[int, Field(ge=1, le=7)] = 1) -> str:
        \"\"\"The forecast for a city.\"\"\"

Rule: they run inside the service, outside of every sandbox, as code that the operator trusts. What they raise is
told to the agent and ends nothing.
"""

import asyncio
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, cast, get_type_hints

import structlog
from pydantic import BaseModel, create_model
from pydantic_core import to_json

from chargehand.domain.values import check_json, plain_text
from chargehand.errors import InvalidInput, ToolError
from chargehand.tools.base import AfterCrash, FunctionTool, Risk, Tool, ToolArguments, ToolContext, ToolResult

log = structlog.stdlib.get_logger("chargehand.tools")

Function = TypeVar("Function", bound=Callable[..., Any])

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_MARK = "__chargehand_tool__"


def tool(
    *,
    risk: Risk | Literal["read", "write", "execute", "network"],
    after_crash: AfterCrash | Literal["repeat", "report"],
    name: str | None = None,
    description: str | None = None,
) -> Callable[[Function], Function]:
    """Mark a function as a tool. It stays a function, to be called and tested as before.

    `risk`: the most that a call can do. `after_crash`: whether a call that was in flight when its worker died is run
    again (`repeat`: twice is as good as once) or reported to the agent as unknown (`report`). An argument annotated
    as `ToolContext` is given by the service and not shown to the agent. InvalidInput says what cannot be used.
    """

    def marked(function: Function) -> Function:
        called = name or function.__name__
        told = description or inspect.getdoc(function) or ""
        if not NAME.fullmatch(called):
            raise InvalidInput(f"{called!r} cannot be a tool's name: up to 64 letters, digits, _ and -")
        if not told.strip():
            raise InvalidInput(
                f"the tool {called!r} needs a docstring or a description: a model chooses by it"
            )
        fields, context_name = _fields(called, function)
        made = FunctionTool(
            name=called,
            description=told,
            arguments=create_model(f"{called}_arguments", __base__=ToolArguments, **cast("Any", fields)),
            risk=_one_of(Risk, risk, called, "risk"),
            after_crash=_one_of(AfterCrash, after_crash, called, "after_crash"),
            run=_runner(called, function, tuple(fields), context_name),
        )
        setattr(function, _MARK, made)
        return function

    return marked


def tool_of(found: object, place: str) -> Tool:
    """The tool that a function was marked as; InvalidInput, with where it stands, when it was not."""
    made = getattr(found, _MARK, None)
    if made is None:
        raise InvalidInput(f"{place} is no tool: put @tool(risk=…, after_crash=…) above the function")
    return cast("Tool", made)


Word = TypeVar("Word", Risk, AfterCrash)


def _one_of(kind: type[Word], value: str, called: str, argument: str) -> Word:
    try:
        return kind(value)
    except ValueError:
        listed = ", ".join(kind)
        raise InvalidInput(f"{argument}={value!r} of the tool {called!r} is none of: {listed}") from None


def _fields(
    called: str, function: Callable[..., Any]
) -> tuple[Mapping[str, tuple[object, object]], str | None]:
    """The arguments as pydantic takes them, and the name of the one that the service gives."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise InvalidInput(f"the types of the tool {called!r} cannot be read: {error}") from error
    fields: dict[str, tuple[object, object]] = {}
    context_name: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InvalidInput(
                f"the tool {called!r} takes {parameter}: only plain named arguments can be shown"
            )
        if parameter.name not in hints or parameter.name.startswith("_"):
            raise InvalidInput(
                f"the argument {parameter.name!r} of the tool {called!r} needs a name and a type"
            )
        if hints[parameter.name] is ToolContext:
            context_name = parameter.name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    return fields, context_name


def _runner(
    called: str, function: Callable[..., Any], names: tuple[str, ...], context_name: str | None
) -> Callable[[ToolContext, BaseModel], Any]:
    async def run(context: ToolContext, arguments: BaseModel) -> ToolResult:
        given: dict[str, Any] = {name: getattr(arguments, name) for name in names}
        if context_name is not None:
            given[context_name] = context
        try:
            if inspect.iscoroutinefunction(function):
                return _result(await function(**given))
            return _result(await asyncio.to_thread(function, **given))
        except ToolError:
            raise
        except Exception as error:
            log.warning("a tool raised", tool=called, exc_info=error)
            raise ToolError(
                plain_text(f"{called} failed: {type(error).__name__}: {error}")[:2_000]
            ) from error

    return run


def _result(value: object) -> ToolResult:
    """What the function returned: text as it is, anything else as JSON."""
    if isinstance(value, ToolResult):
        check_json(value.details)
        return ToolResult(content=plain_text(value.content), details=value.details, is_error=value.is_error)
    if isinstance(value, str):
        return ToolResult(content=plain_text(value))
    if value is None:
        return ToolResult(content="Done.")
    return ToolResult(content=plain_text(to_json(value).decode()))
