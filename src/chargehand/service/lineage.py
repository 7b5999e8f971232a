"""Through whose hands a delegated task came, and to whose it may go: the agents above and below.

Rule: what binds an agent binds whoever it hands work to; else a denial would last until the next delegation.
"""

from contextlib import suppress

from chargehand.domain.agent import AgentDefinition
from chargehand.domain.task import Task
from chargehand.errors import AgentNotFound
from chargehand.service.agents import Agents
from chargehand.store import tasks


async def agents_above(agents: Agents, task: Task) -> tuple[AgentDefinition, ...]:
    """The definitions, as their tasks have pinned them, of all that handed this task down; the nearest first."""
    if task.parent_id is None:
        return ()
    above: list[Task] = []
    async with agents.db.read() as tx:
        parent_id: str | None = task.parent_id
        while parent_id is not None:
            parent = (await tasks.get(tx, [parent_id]))[parent_id]
            above.append(parent)
            parent_id = parent.parent_id
    return tuple([await agents.version(one.tenant, one.agent_id, one.agent_version) for one in above])


async def agents_below(
    agents: Agents, tenant: str, definition: AgentDefinition
) -> dict[str, AgentDefinition]:
    """The definitions of those whom an agent may hand work to, by id, as far as they are registered."""
    found: dict[str, AgentDefinition] = {}
    for agent_id in definition.block.delegates if "Delegate" in definition.tools else ():
        with suppress(AgentNotFound):
            found[agent_id] = await agents.version_for(tenant, agent_id)
    return found
