"""The bodies of the REST API that are about agents and the tools that they may call. See rest.py."""

from datetime import datetime
from typing import Any

from pydantic import Field

from chargehand.domain.agent import MAX_DEFINITION_BYTES, RuntimeKind
from chargehand.domain.mcp import PinState
from chargehand.wire.bases import Answer as _Answer
from chargehand.wire.bases import Sent as _Sent
from chargehand.wire.rest import FindingBody


class AgentSource(_Sent):
    """A definition: the text of a Markdown file with front matter."""

    source: str = Field(max_length=MAX_DEFINITION_BYTES)


class McpApproval(_Sent):
    """That a tool of an MCP server may be called."""

    seen_hash: str = Field(pattern="^[0-9a-f]{64}$")
    """The version that was looked at; when the tool has changed since, nothing is approved."""


class AgentSummary(_Answer):
    """An agent, in short."""

    id: str
    name: str
    description: str
    tools: list[str]
    runtime: RuntimeKind
    version: str
    """The SHA-256 of the definition's text."""


class AgentList(_Answer):
    """Every agent's current version, by id."""

    items: list[AgentSummary]


class AgentBody(AgentSummary):
    """An agent."""

    mcp_tools: list[str]
    """The tools of MCP servers that its definition lists, as it lists them."""
    chargehand: dict[str, Any]
    """The `chargehand:` block with its defaults: deliverables, delegates, budget, …"""
    format: str
    """Whose format the text is in."""
    wishes: dict[str, Any]
    """What it asks of the product that runs it: `model`, `max_turns`, …; only what the text says."""
    findings: list[FindingBody]
    """What was repaired, guessed or left out on reading."""
    source: str
    """The definition's text."""


class AgentPublished(_Answer):
    """What putting a definition led to."""

    changed: bool
    """False when the text was the agent's current version already."""
    agent: AgentBody


class McpToolBody(_Answer):
    """A tool of an MCP server, as it was last seen."""

    server: str
    name: str
    shown_name: str
    """What agents call it."""
    state: PinState
    description: str
    input_schema: dict[str, Any]
    is_repeatable: bool
    """The server says that a second call does no more than the first; after a crash it is then called again."""
    seen_hash: str
    approved_hash: str | None
    seen_at: datetime
    approved_at: datetime | None
    approved_by: str | None


class McpServerBody(_Answer):
    """A configured MCP server, asked just now."""

    name: str
    ok: bool
    detail: str
    """What is wrong with it."""


class McpToolList(_Answer):
    """The tools of MCP servers, by server and name."""

    items: list[McpToolBody]
    servers: list[McpServerBody]


class AgentVersionBody(_Answer):
    """One version of an agent."""

    version: str
    created_at: datetime


class AgentVersionList(_Answer):
    """An agent's versions, newest first."""

    items: list[AgentVersionBody]
