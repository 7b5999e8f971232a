"""A tool call as a step of the journal: run once, its result replayed, its crash told.

Shared by the runtimes whose agents call tools: playbooks and models.
"""

from chargehand.domain.history import StepKind
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import ToolError
from chargehand.runtimes.base import Hands
from chargehand.runtimes.permission import permission
from chargehand.tools.base import OUTCOME_UNKNOWN, AfterCrash, Risk, ToolResult, call_tool


async def run_tool(
    hands: Hands, path: str, name: str, arguments: JsonObject, *, goes_on: bool = False
) -> ToolResult:
    """Call a tool at a place of the journal. A failed call comes back as a result with `is_error`.

    `goes_on`: a step follows at once (runtimes/journal.py).
    """
    tool = hands.catalogue.get(name)
    reports = tool is not None and tool.after_crash is AfterCrash.REPORT
    allowed = await permission(hands, path, name, arguments)

    async def work() -> JsonValue:
        if allowed.refusal is not None:
            refused = ToolResult(content=allowed.refusal, details={"code": allowed.code}, is_error=True)
            return as_data(refused)
        with hands.telemetry.tool_call(name, allowed.arguments, known=hands.catalogue) as call:
            result = await call_tool(hands.catalogue, hands.tools, name, allowed.arguments)
            code = result.details.get("code")
            call.ended(result.content, is_error=result.is_error, code=code if isinstance(code, str) else None)
        return as_data(result)

    reads_only = allowed.refusal is not None or (tool is not None and tool.risk is Risk.READ)
    unknown = as_data(_outcome_unknown(name)) if reports and allowed.refusal is None else None
    data = await hands.steps.run(
        path,
        StepKind.TOOL,
        name,
        allowed.arguments,
        work,
        unknown=unknown,
        goes_on=goes_on,
        # What runs in the background changes files also while others only read.
        changes_files=not reads_only or hands.tools.background.is_busy,
    )
    result = as_result(data)
    result.content = allowed.note + result.content
    hands.tools.reads.learn(result.details)
    return result


async def refuse(hands: Hands, path: str, name: str, arguments: JsonObject, why: str, *, code: str) -> str:
    """Record that a call was refused, so that whoever watches sees it; what the agent is told."""

    async def work() -> JsonValue:
        return as_data(ToolResult(content=why, details={"code": code}, is_error=True))

    return as_result(
        await hands.steps.run(path, StepKind.TOOL, name, arguments, work, changes_files=False)
    ).content


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
