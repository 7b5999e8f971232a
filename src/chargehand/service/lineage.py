"""Through whose hands a delegated task came: the agents above it.

Rule: what binds an agent binds whoever it hands work to; else a denial would last until the next delegation.
"""

from chargehand.domain.agent import AgentDefinition
from chargehand.domain.task import Task
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
