"""Arguments that a person puts in the place of an agent's: whether the call would run with them.

Rule: it is judged here as it is judged before it runs, so that nobody is told of a success that comes to nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chargehand.domain.agent import AgentDefinition
from chargehand.domain.policy import Policy
from chargehand.domain.task import Task
from chargehand.domain.values import JsonObject
from chargehand.errors import InvalidInput
from chargehand.runtimes.permission import edit_refusal
from chargehand.service.agents import Agents
from chargehand.service.lineage import agents_above
from chargehand.tools.base import Tool, argument_findings, takes
from chargehand.tools.catalogue import tools_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grounds:
    """By what a call of one task is judged."""

    definition: AgentDefinition
    above: Sequence[AgentDefinition]
    policy: Policy
    catalogue: Mapping[str, Tool]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedEdits:
    """The answer to `EditedCalls` in service/ports.py."""

    agents: Agents
    policy: Policy
    catalogue: Mapping[str, Tool]

    async def check(self, task: Task, tool: str, arguments: JsonObject) -> None:
        """InvalidInput names the rule that denies it, or what the tool does not take.

        What a tool of an MCP server takes is only known while it is connected; its server says so when it is run.
        """
        definition = await self.agents.version(task.tenant, task.agent_id, task.agent_version)
        grounds = _Grounds(
            definition=definition,
            above=await agents_above(self.agents, task),
            policy=self.policy,
            catalogue=tools_of(self.catalogue, definition),
        )
        known = grounds.catalogue.get(tool)
        findings = argument_findings(known, arguments) if known else []
        if known and findings:
            told = "; ".join(str(one) for one in findings[:3])
            raise InvalidInput(
                f"{tool} does not take these arguments: {told}. It takes: {takes(known)}. Nothing was decided"
            )
        refusal = edit_refusal(grounds, tool, arguments)
        if refusal is not None:
            why = refusal.removeprefix(f"{tool} was not run: ").rstrip(".")
            raise InvalidInput(f"{tool} would not be run with these arguments: {why}. Nothing was decided")
