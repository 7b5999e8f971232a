"""What this room needs from the rooms above it; app.py hands in what satisfies it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chargehand.domain.access import Principal
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.charge import Estimate, Settlement
from chargehand.domain.task import Task
from chargehand.domain.values import JsonObject


class EngineHints(Protocol):
    """How an engine is told that there may be something to do. Hints only: the rows decide."""

    def wake(self, due: datetime | None = None, ready: Sequence[Task] = ()) -> None:
        """Tasks may be ready, `ready` among them; `due`: or something is, at this time, that was not known before."""
        ...

    def cancel(self, task_ids: Sequence[str]) -> None:
        """These tasks are to be stopped, if this engine carries them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """Who a token of an issuer is about, and until when it is good."""

    principal: Principal
    expires_at: datetime


class TokenVerifier(Protocol):
    """Who reads the tokens of issuers; a service without issuers has none, and imports nothing for them."""

    async def verify(self, token: str) -> VerifiedToken:
        """Unauthorized when the token is not good; Unavailable when its issuer's keys cannot be had."""
        ...


class RuntimeDirectory(Protocol):
    """Which agents can be carried out here, and what input they take."""

    def check_definition(self, definition: AgentDefinition) -> None:
        """RuntimeMissing or InvalidDefinition when no runtime here could ever carry the agent out."""
        ...

    def check_input(self, definition: AgentDefinition, task_data: JsonObject) -> None:
        """InvalidInput, with findings, when the agent cannot work with this; RuntimeMissing as above."""
        ...

    def check_output_schema(self, definition: AgentDefinition, schema: JsonObject) -> None:
        """InvalidInput when it is no schema, or when the agent cannot answer by one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A model's pick among agents; `agent_id` None: none of them fits."""

    agent_id: str | None
    why: str
    model: str


class Account(Protocol):
    """What a request outside of any task is paid from."""

    async def reserve(self, estimate: Estimate) -> bool:
        """Take the most that it may cost; False: there is not so much left, and it must not be made."""
        ...

    async def settle(self, used: Settlement) -> None:
        """Give back what it did not need. Without this all that was reserved stays spent."""
        ...

    async def release(self) -> None:
        """It came to nothing and cost nothing: give all of it back."""
        ...


class AgentChooser(Protocol):
    """A second opinion on which of several agents a task is for."""

    async def choose(self, brief: str, agents: Sequence[AgentDefinition], account: Account) -> Choice | None:
        """The pick, within a short time; None where no model can be asked or paid, or none answered usably."""
        ...


class NoChooser:
    """Nobody to ask: the ranking decides."""

    async def choose(self, brief: str, agents: Sequence[AgentDefinition], account: Account) -> Choice | None:
        """Nothing to say."""


class McpServers(Protocol):
    """The MCP servers that the operator configured."""

    async def look(self) -> Mapping[str, str]:
        """Ask what they offer; each with what is wrong with it, or an empty text."""
        ...


class NoMcpServers:
    """None are configured."""

    async def look(self) -> Mapping[str, str]:
        """Nothing to ask."""
        return {}


class EditedCalls(Protocol):
    """Whether a call would run with the arguments that a person has put in."""

    async def check(self, task: Task, tool: str, arguments: JsonObject) -> None:
        """InvalidInput says which rule denies it, or what the tool does not take."""
        ...


class NoEngine:
    """Nobody carries out tasks in this process: they wait in their rows."""

    def wake(self, due: datetime | None = None, ready: Sequence[Task] = ()) -> None:
        """Nothing to wake."""

    def cancel(self, task_ids: Sequence[str]) -> None:
        """Nothing to stop."""
