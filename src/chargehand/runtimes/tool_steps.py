"""A tool call as a step of the journal: run once, its result replayed, its crash told.

Shared by the runtimes whose agents call tools: playbooks and models.
"""

from chargehand.domain.history import StepKind
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import ToolError
from chargehand.runtimes.base import Hands
from chargehand.tools.base import AfterCrash, ToolResult, call_tool

OUTCOME_UNKNOWN = "outcome_unknown"
"""The code of a call that was in flight when its worker died, of a tool that is never run twice."""


async def run_tool(hands: Hands, path: str, name: str, arguments: JsonObject) -> ToolResult:
    """Call a tool at a place of the journal. A failed call comes back as a result with `is_error`."""
    tool = hands.catalogue.get(name)
    reports = tool is not None and tool.after_crash is AfterCrash.REPORT

    async def work() -> JsonValue:
        with hands.telemetry.tool_call(name, arguments, known=hands.catalogue) as call:
            result = await call_tool(hands.catalogue, hands.tools, name, arguments)
            code = result.details.get("code")
            call.ended(result.content, is_error=result.is_error, code=code if isinstance(code, str) else None)
        return as_data(result)

    unknown = as_data(_outcome_unknown(name)) if reports else None
    data = await hands.steps.run(path, StepKind.TOOL, name, arguments, work, unknown=unknown)
    result = as_result(data)
    hands.tools.reads.learn(result.details)
    return result


def _outcome_unknown(name: str) -> ToolResult:
    return ToolResult(
        content=f"The worker died while {name} was running. Whether it took effect is unknown: look first.",
        details={"code": OUTCOME_UNKNOWN},
        is_error=True,
    )


def as_data(result: ToolResult) -> JsonObject:
    """A result as the journal keeps it."""
    return {"content": result.content, "details": result.details, "is_error": result.is_error}


def as_result(data: JsonValue) -> ToolResult:
    """A result as the journal kept it."""
    if not isinstance(data, dict):
        raise ToolError("the journal holds no tool result here")
    details = data.get("details")
    return ToolResult(
        content=str(data.get("content", "")),
        details=details if isinstance(details, dict) else {},
        is_error=bool(data.get("is_error")),
    )
