"""Delegation by a model: the tool `Agent` (alias `Task`), and a child task for each call of it."""

from pydantic_ai.tools import ToolDefinition

from chargehand.domain.agent import AgentDefinition
from chargehand.domain.agent_wishes import ISOLATIONS
from chargehand.domain.history import StepKind
from chargehand.domain.task import Reason
from chargehand.domain.values import JsonObject, JsonValue, canonical
from chargehand.errors import AgentNotFound, Forbidden, InvalidInput, RuntimeMissing
from chargehand.runtimes.base import Hands, Suspension
from chargehand.runtimes.tool_steps import refuse
from chargehand.service.journal import Delegation

DELEGATION_NAMES = frozenset({"Agent", "Task", "Delegate"})


def delegation_tool(definition: AgentDefinition) -> ToolDefinition | None:
    """The tool as the model is shown it; None for an agent that may hand work to nobody."""
    delegates = definition.block.delegates
    if "Delegate" not in definition.tools or not delegates:
        return None
    return ToolDefinition(
        name="Agent",
        description=(
            "Hand a piece of work to another agent and get what it came to. It sees the workspace and your"
            " prompt, and nothing else of this conversation. Several calls in one answer run at once."
        ),
        parameters_json_schema={
            "type": "object",
            "properties": {
                "description": {
                    "type": "string",
                    "description": "The work in a few words, for those who watch.",
                },
                "prompt": {
                    "type": "string",
                    "description": "The whole task, with all that the agent must know.",
                },
                "subagent_type": {"type": "string", "enum": list(delegates), "description": "Which agent."},
                "isolation": {
                    "type": "string",
                    "enum": list(ISOLATIONS),
                    "description": "Have it work in a copy of the workspace; what it changes is applied when it"
                    " completes. For agents that work at once on the same files.",
                },
            },
            "required": ["prompt", "subagent_type"],
        },
        strict=False,
    )


async def delegate(hands: Hands, path: str, arguments: JsonObject) -> str:
    """What the child came to, as the model is told it. Suspension(CHILDREN) while it has not ended.

    An order that was refused is a step too: a later replay, by when the agent may exist, must not place it.
    """
    recorded = hands.steps.recorded.get(path)
    if recorded is None or recorded.kind is StepKind.DELEGATION:
        try:
            results = await hands.steps.delegate(path, [_order(hands, arguments)])
        except (AgentNotFound, Forbidden, InvalidInput, RuntimeMissing) as error:
            return await refused_order(hands, path, arguments, error.message)
        if results is None:
            raise Suspension(Reason.CHILDREN)
        return child_told(results[0])
    return await refused_order(hands, path, arguments, "")


async def refused_order(hands: Hands, path: str, arguments: JsonObject, message: str) -> str:
    """Why nothing was handed out, as a step."""
    return await refuse(hands, path, "Agent", arguments, message, code="delegation_refused")


def _order(hands: Hands, arguments: JsonObject) -> Delegation:
    if "Delegate" not in hands.definition.tools:
        raise Forbidden(f"agent {hands.definition.id!r} does not list the tool Agent; nothing was handed out")
    agent_id, prompt = arguments.get("subagent_type"), arguments.get("prompt")
    if not isinstance(agent_id, str) or not isinstance(prompt, str) or not prompt.strip():
        raise InvalidInput("Agent takes `subagent_type` and `prompt`, both texts; nothing was handed out")
    isolation = arguments.get("isolation")
    if isolation is not None and isolation not in ISOLATIONS:
        raise InvalidInput(
            f"`isolation` is {ISOLATIONS[0]!r} or left out, not {isolation!r}; nothing was handed out"
        )
    isolated = isolation is not None
    return Delegation(agent_id=agent_id, task_data={"prompt": prompt}, labels={}, isolated=isolated)


def child_told(child: JsonValue) -> str:
    """What a model is told of a child that ended."""
    if not isinstance(child, dict):
        return "The child's result is missing."
    result, error = child.get("result"), child.get("error")
    if child.get("status") == "completed":
        text = result.get("text") if isinstance(result, dict) else None
        said = text if isinstance(text, str) else canonical(result)
        changes = child.get("changes")
        return f"{said}\n\n{_brought_back(changes)}" if isinstance(changes, dict) else said
    why = error.get("message") if isinstance(error, dict) else "no reason was given"
    return f"{child.get('agent_id')} {child.get('status')}: {why}"


def _brought_back(changes: JsonObject) -> str:
    """What a child's own workspace changed here, for a model."""
    applied, conflicts = changes.get("applied"), changes.get("conflicts")
    lines = ["It worked in a copy of the workspace."]
    if isinstance(applied, list) and applied:
        lines.append(f"Applied to this workspace: {', '.join(map(str, applied))}.")
    if isinstance(conflicts, list) and conflicts:
        lines.append("Not applied; settle these yourself:")
        lines += [f"- {one.get('path')}: {one.get('why')}" for one in conflicts if isinstance(one, dict)]
    if more := changes.get("not_listed"):
        lines.append(f"And {more} more files.")
    return "\n".join(lines if len(lines) > 1 else [*lines, "It changed no file."])
