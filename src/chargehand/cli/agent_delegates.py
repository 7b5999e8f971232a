"""Whom an imported definition may hand work to, taken from the list in its text when the operator says so.

Rule: a name counts only when it is an agent that is known: one of the same import, the same folder first, or one
that is registered.
"""

from collections.abc import Iterable, Sequence

from chargehand.domain.agent import AgentDefinition, parse_definition
from chargehand.domain.agent_conventions import delegates_suggested
from chargehand.errors import InvalidInput

_FENCE = "---"


def suggested_delegates(
    imported: Sequence[tuple[str, AgentDefinition]], registered: Iterable[str]
) -> dict[str, list[str]]:
    """For each agent that its definition leaves without delegates: the ids of those that its text names."""
    by_name: dict[str, list[str]] = {}
    for agent_id, definition in imported:
        by_name.setdefault(definition.id, []).append(agent_id)
    known = set(registered)
    found: dict[str, list[str]] = {}
    for agent_id, definition in imported:
        if definition.block.delegates or "Delegate" not in definition.tools:
            continue
        named = (_id_of(name, agent_id, by_name, known) for name in delegates_suggested(definition.body))
        found[agent_id] = [one for one in dict.fromkeys(named) if one is not None and one != agent_id]
    return found


def _id_of(name: str, agent_id: str, by_name: dict[str, list[str]], known: set[str]) -> str | None:
    folder = agent_id.rpartition(".")[0]
    candidates = by_name.get(name, [])
    beside = [one for one in candidates if one.rpartition(".")[0] == folder]
    for some in (beside, candidates):
        if len(some) == 1:
            return some[0]
    return name if not candidates and name in known else None


def with_delegates(text: str, delegates: Sequence[str]) -> str | None:
    """The definition with `delegates` in its block; None where its front matter cannot take one."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if line.rstrip("\r") == _FENCE][:2]
    if len(fences) < 2 or any(line.startswith("chargehand:") for line in lines[: fences[1]]):
        return None
    block = ["chargehand:", f"  delegates: [{', '.join(delegates)}]"]
    changed = "\n".join([*lines[: fences[1]], *block, *lines[fences[1] :]])
    try:
        taken = parse_definition(changed).block.delegates
    except InvalidInput:
        return None
    return changed if taken == tuple(delegates) else None
