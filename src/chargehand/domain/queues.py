"""Which of a fleet's queues an agent's tasks are told through, and which agents a worker of some queues serves.

Rule: one setting, agent → queue, is read by those who tell and by those who claim; every agent has one queue.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from chargehand.errors import InvalidInput

DEFAULT_QUEUE = "chargehand"
"""Of every agent that the setting does not name."""
QUEUE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentScope:
    """The agents whose tasks a worker claims: these, or with `is_all_but` every agent but these."""

    agents: frozenset[str] = frozenset()
    is_all_but: bool = True

    @property
    def is_everything(self) -> bool:
        """Whether it leaves no agent out."""
        return self.is_all_but and not self.agents

    def includes(self, agent_id: str) -> bool:
        """Whether a worker of this scope claims the agent's tasks."""
        return (agent_id in self.agents) != self.is_all_but


EVERY_AGENT = AgentScope()


@dataclass(frozen=True, slots=True)
class Queues:
    """The fleet's queues: the default one, and those that the setting gives to some agents."""

    by_agent: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, the default one first."""
        return (DEFAULT_QUEUE, *sorted(set(self.by_agent.values()) - {DEFAULT_QUEUE}))

    def of(self, agent_id: str) -> str:
        """The agent's queue."""
        return self.by_agent.get(agent_id, DEFAULT_QUEUE)

    def scope(self, queues: Collection[str]) -> AgentScope:
        """The agents of these queues. InvalidInput names a queue that no agent has."""
        unknown = sorted(set(queues) - set(self.names))
        if unknown:
            raise InvalidInput(
                f"there is no queue {unknown[0][:64]!r}; CHARGEHAND_AGENT_QUEUES gives: {', '.join(self.names)}"
            )
        if DEFAULT_QUEUE in queues:
            others = {agent for agent, queue in self.by_agent.items() if queue not in queues}
            return AgentScope(agents=frozenset(others))
        own = {agent for agent, queue in self.by_agent.items() if queue in queues}
        return AgentScope(agents=frozenset(own), is_all_but=False)


def check_queues(by_agent: Mapping[str, str]) -> None:
    """InvalidInput for a name that brokers do not take alike."""
    for agent_id, queue in by_agent.items():
        if not QUEUE_NAME.fullmatch(queue):
            raise InvalidInput(
                f"CHARGEHAND_AGENT_QUEUES: {queue[:64]!r}, the queue of {agent_id[:64]!r}, is no name of a queue; it"
                " has up to 64 letters, digits, dots, hyphens and underscores"
            )
