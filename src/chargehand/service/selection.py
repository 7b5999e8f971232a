"""Which agent a task for `auto` gets, and why: the best of a ranking by description, or a model's choice among them.

Rule: only agents that could carry the task out are candidates, and the choice is always one of them; where nothing
fits the caller is told what comes nearest, and no task is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chargehand.domain.access import Principal
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.agent_ranking import Ranked, brief_of, ranked
from chargehand.domain.values import JsonObject, JsonValue, plain_text
from chargehand.errors import ChargehandError, Finding, NoAgentFits
from chargehand.service.agents import Agents
from chargehand.service.ports import Account, AgentChooser

MAX_CANDIDATES = 8
MAX_LOOKED_AT = 50
"""How far down the ranking agents are asked whether they could carry the task out."""
MAX_WHY_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Selection:
    """The agent that was picked; `told` is what the event and the answer say of it."""

    agent: AgentDefinition
    told: JsonObject


async def select(
    agents: Agents, chooser: AgentChooser, account: Account, who: Principal, task_data: JsonObject
) -> Selection:
    """Pick an agent for this input. NoAgentFits lists the nearest, and says of each why it was not taken."""
    brief = brief_of(task_data)
    candidates, findings = _candidates(agents, ranked(brief, await agents.seen_by(who)), task_data)
    offered = [one.agent for one in candidates]
    choice = await chooser.choose(brief, offered, account) if candidates else None
    if choice is not None:
        chosen = next((one for one in candidates if one.agent.id == choice.agent_id), None)
        if chosen is None:
            raise _nothing_fits(candidates, findings, f"{choice.model} says: {plain_text(choice.why)}")
        return Selection(chosen.agent, _told("model", choice.why, candidates, model=choice.model))
    best = candidates[0] if candidates else None
    if best is None or not best.score:
        raise _nothing_fits(candidates, findings, "no description has a telling word of the task's input")
    why = f"its name and description match best: {', '.join(best.words)}"
    return Selection(best.agent, _told("ranking", why, candidates))


def _candidates(
    agents: Agents, ranking: Sequence[Ranked], task_data: JsonObject
) -> tuple[list[Ranked], list[Finding]]:
    """The best that could carry the task out, and why better ones could not."""
    found: list[Ranked] = []
    findings: list[Finding] = []
    for one in ranking[:MAX_LOOKED_AT]:
        try:
            agents.runtimes.check_input(one.agent, task_data)
        except ChargehandError as error:
            if one.score and len(findings) < MAX_CANDIDATES:
                findings.append(Finding(where=one.agent.id, message=error.message))
        else:
            found.append(one)
            if len(found) == MAX_CANDIDATES:
                break
    return found, findings


def _told(by: str, why: str, candidates: Sequence[Ranked], *, model: str | None = None) -> JsonObject:
    listed: list[JsonValue] = [
        {"agent_id": one.agent.id, "score": one.score} for one in candidates if one.score or by == "model"
    ]
    told: JsonObject = {"by": by, "why": plain_text(why)[:MAX_WHY_CHARACTERS], "candidates": listed}
    return {**told, "model": model} if model else told


def _nothing_fits(candidates: Sequence[Ranked], findings: Sequence[Finding], why: str) -> NoAgentFits:
    nearest = ", ".join(one.agent.id for one in candidates[:5]) or "none that could carry it out"
    return NoAgentFits(
        f"no agent fits this task: {why[:MAX_WHY_CHARACTERS]}. Nearest: {nearest}. Name the agent in place of"
        " `auto`, or say more of what is to be done",
        findings=findings,
    )
