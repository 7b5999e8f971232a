"""Tools of MCP servers: how they are named here, which an agent may use, and when one counts as the one approved.

Rule: a tool is what its server said of it when somebody approved it. Name, description, input schema or hints that
differ are another tool, which nobody has approved.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chargehand.domain.agent import AgentDefinition
from chargehand.domain.values import JsonObject, content_hash

SERVER_NAME = re.compile(r"[A-Za-z0-9-]+(?:_[A-Za-z0-9-]+)*")
TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
MAX_SHOWN_NAME = 64
"""The longest name of a tool that every provider takes."""


class PinState(StrEnum):
    """Whether agents may call a tool."""

    APPROVED = "approved"
    NEW = "new"
    """Seen, and not approved by anybody yet."""
    CHANGED = "changed"
    """Not what was approved any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTool:
    """A tool as its server describes it."""

    name: str
    description: str
    input_schema: JsonObject
    is_repeatable: bool = False
    """The server says that a second call does no more than the first."""

    @property
    def hash(self) -> str:
        """What an approval is bound to."""
        return content_hash(self.as_data())

    def as_data(self) -> JsonObject:
        """As it is kept."""
        return {
            "name": self.name,
            "description": self.description,
            "input_schema": self.input_schema,
            "is_repeatable": self.is_repeatable,
        }

    @classmethod
    def from_data(cls, data: JsonObject) -> "McpTool":
        """As it was kept."""
        schema = data.get("input_schema")
        return cls(
            name=str(data.get("name", "")),
            description=str(data.get("description", "")),
            input_schema=schema if isinstance(schema, dict) else {},
            is_repeatable=data.get("is_repeatable") is True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A tool as it was last seen, and which version of it was approved."""

    server: str
    tool: McpTool
    seen_hash: str
    approved_hash: str | None
    seen_at: datetime
    approved_at: datetime | None
    approved_by: str | None

    @property
    def state(self) -> PinState:
        if self.approved_hash is None:
            return PinState.NEW
        return PinState.APPROVED if self.approved_hash == self.seen_hash else PinState.CHANGED


def shown_name(server: str, tool: str) -> str:
    """What agents call it: `mcp__server__tool`, in characters that every provider takes."""
    return f"mcp__{server}__{re.sub(r'[^A-Za-z0-9_-]', '_', tool)}"


def servers_wanted(definition: AgentDefinition) -> tuple[str, ...]:
    """The servers whose tools a definition names, in its order."""
    named = (entry.split("__")[1] for entry in definition.mcp_tools if entry.startswith("mcp__"))
    return tuple(dict.fromkeys(name for name in (*definition.wishes.mcp_servers, *named) if name))


def is_wanted(definition: AgentDefinition, server: str, tool: str) -> bool:
    """Whether the definition names the tool, or all of its server's, and does not deny it."""
    names = {f"mcp__{server}__{tool}", shown_name(server, tool), f"mcp__{server}", f"mcp__{server}__*"}
    if names & set(definition.denied_mcp):
        return False
    return server in definition.wishes.mcp_servers or bool(names & set(definition.mcp_tools))
