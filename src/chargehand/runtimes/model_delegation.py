"""Delegation by a model: the tool `Agent` (alias `Task`), and a child task for each call of it."""

from collections.abc import Mapping, Sequence

from pydantic_ai.tools import ToolDefinition

from chargehand.domain.agent import AgentDefinition
from chargehand.domain.agent_names import id_called, rules_by_id, short_names
from chargehand.domain.agent_rules import rule_refusal
from chargehand.domain.agent_wishes import ISOLATIONS
from chargehand.domain.history import StepKind
from chargehand.domain.policy import DELEGATION
from chargehand.domain.task import Reason
from chargehand.domain.values import JsonObject, JsonValue, canonical
from chargehand.errors import AgentNotFound, Forbidden, InvalidInput, RuntimeMissing
from chargehand.runtimes.base import Hands, Suspension
from chargehand.runtimes.permission import APPROVAL_SUFFIX, permission
from chargehand.runtimes.tool_steps import refuse
from chargehand.service.journal import Delegation

DELEGATION_NAMES = frozenset({"Agent", "Task", "Delegate"})


MAX_TOLD, MAX_DESCRIPTION = 100, 240
"""How many delegates a model is told of, and how much of each."""


def delegation_tool(
    definition: AgentDefinition, registered: Mapping[str, AgentDefinition]
) -> ToolDefinition | None:
    """The tool as the model is shown it; None for an agent that may hand work to nobody."""
    delegates = definition.block.delegates
    if "Delegate" not in definition.tools or not delegates:
        return None
    return ToolDefinition(
        name="Agent",
        description=(
            "Hand a piece of work to another agent and get what it came to. It sees the workspace and your"
            " prompt, and nothing else of this conversation. Several calls in one answer run at once.\n\n"
            + _delegates_told(delegates, registered)
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
                "subagent_type": {
                    "type": "string",
                    "enum": [*delegates, *_shorts(delegates, registered).values()],
                    "description": "Which agent.",
                },
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


def _shorts(delegates: Sequence[str], registered: Mapping[str, AgentDefinition]) -> dict[str, str]:
    """Each delegate's short name that is no other's id either, by id."""
    return short_names(delegates, _names(registered))


def _names(registered: Mapping[str, AgentDefinition]) -> dict[str, str]:
    return {agent_id: one.name for agent_id, one in registered.items()}


def _delegates_told(delegates: Sequence[str], registered: Mapping[str, AgentDefinition]) -> str:
    shorts = _shorts(delegates, registered)
    lines = ["The agents, by what `subagent_type` calls them:"]
    for one in delegates[:MAX_TOLD]:
        known = registered.get(one)
        about = " ".join(known.description.split()) if known else "(is not registered)"
        about = about if len(about) <= MAX_DESCRIPTION else f"{about[: MAX_DESCRIPTION - 1]}…"
        short = f" (or {shorts[one]})" if one in shorts else ""
        lines.append(f"- {one}{short}: {about}")
    if len(delegates) > MAX_TOLD:
        lines.append(f"- and {len(delegates) - MAX_TOLD} more")
    return "\n".join(lines)


async def hand_out(hands: Hands, path: str, tool: str, arguments: JsonObject) -> str:
    """Hand work out as far as the definition, the policy and a person allow; what the model is told.

    The short name of a delegate is its id from here on, so that all rules speak of the same agent.
    """
    own, names = hands.definition, _names(hands.below)
    delegates = own.block.delegates
    try:
        arguments = _by_id(hands, path, arguments, names)
    except InvalidInput as error:
        return await refused_order(hands, path, arguments, error.message)
    allowed_rules = rules_by_id(own.tool_rules, delegates, names)
    denied_rules = rules_by_id(own.denied_rules, delegates, names)
    refusal = rule_refusal("Delegate", arguments, allowed_rules, denied_rules)
    if refusal is not None:
        return await refuse(hands, path, tool[:128], arguments, refusal, code="refused_by_definition")
    allowed = await permission(hands, path, DELEGATION, arguments)
    if allowed.refusal is not None:
        return await refused_order(hands, path, allowed.arguments, allowed.refusal)
    return allowed.note + await delegate(hands, path, allowed.arguments)


def _by_id(hands: Hands, path: str, arguments: JsonObject, names: Mapping[str, str]) -> JsonObject:
    """The arguments with the delegate's id. What a name meant before a crash or a wait, it means afterwards."""
    wanted, found = arguments.get("subagent_type"), _settled(hands, path)
    if not isinstance(wanted, str):
        return arguments
    if found is None or found == wanted:
        found = id_called(wanted, hands.definition.block.delegates, names)
    return arguments if found == wanted else {**arguments, "subagent_type": found}


def _settled(hands: Hands, path: str) -> JsonValue:
    """Whom this call meant when it was asked about, carried out or refused; None for a new one."""
    recorded = hands.steps.recorded
    asked, step = recorded.get(path + APPROVAL_SUFFIX), recorded.get(path)
    if asked is not None:
        arguments = asked.arguments.get("arguments")
        return arguments.get("subagent_type") if isinstance(arguments, dict) else None
    if step is None:
        return None
    orders = step.arguments.get("orders")
    if step.kind is StepKind.DELEGATION and isinstance(orders, list) and orders:
        return orders[0].get("agent_id") if isinstance(orders[0], dict) else None
    return step.arguments.get("subagent_type")


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
