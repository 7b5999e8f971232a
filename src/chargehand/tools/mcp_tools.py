"""The tools of MCP servers that one agent may call: those it names, of servers that the operator configured, as
somebody approved them.

Rule: what a model is shown comes from the approved pins and never from what a server says now; so a server that is
down, or has changed, changes no conversation.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pydantic import RootModel, model_validator

from chargehand.clock import Clock
from chargehand.domain.access import DEFAULT_TENANT
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.mcp import (
    MAX_SHOWN_NAME,
    McpTool,
    Pin,
    PinState,
    is_wanted,
    servers_wanted,
    shown_name,
)
from chargehand.domain.values import JsonObject
from chargehand.errors import ChargehandError, InvalidInput
from chargehand.service.mcp_pins import McpPins
from chargehand.service.secrets import Secrets
from chargehand.tools.base import AfterCrash, FunctionTool, Risk, Tool, ToolContext, ToolResult
from chargehand.tools.mcp_client import call, offered
from chargehand.tools.mcp_failure import McpChanged, McpFailure
from chargehand.tools.mcp_file import McpServer
from chargehand.tools.sandbox.base import Sandbox

FRESH_SECONDS = 60.0
"""How long what a server offers is not asked for again."""
FAILED_SECONDS = 10.0
MAX_NAMED_PROBLEMS = 8


@dataclass(slots=True)
class _Look:
    """When a server was last asked, and what was wrong then (empty: nothing)."""

    until: float = 0.0
    problem: str = ""
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class McpTools:
    """The configured servers and what they offer."""

    servers: Mapping[str, McpServer]
    pins: McpPins
    clock: Clock
    sandbox: Sandbox | None = None
    """Where servers that are programs run; None where this process runs no commands."""
    secrets: Secrets | None = None
    """Where the operator's secrets are that the servers' entries refer to."""
    _looks: dict[str, _Look] = field(default_factory=dict[str, _Look])

    async def of(self, definition: AgentDefinition) -> tuple[dict[str, Tool], list[str]]:
        """The tools by the name that the agent calls them by, and what it names and cannot have."""
        wanted = servers_wanted(definition)
        if not wanted:
            return {}, []
        notes = [
            f"no MCP server {name[:64]!r} is configured; the operator adds it to CHARGEHAND_MCP_FILE"
            for name in wanted
            if name not in self.servers
        ]
        known = [name for name in wanted if name in self.servers]
        await asyncio.gather(*(self._fresh(name) for name in known))
        notes += [problem for name in known if (problem := self._looks[name].problem)]
        tools: dict[str, Tool] = {}
        for pin in await self.pins.of(known):
            if is_wanted(definition, pin.server, pin.tool.name):
                made = self._usable(pin)
                if isinstance(made, str):
                    notes.append(made)
                else:
                    tools.setdefault(made.name, made)
        return tools, notes

    async def look(self) -> Mapping[str, str]:
        """Ask every server that was not asked just now; each with what is wrong with it (empty: nothing)."""
        await asyncio.gather(*(self._fresh(name) for name in self.servers))
        return {name: self._looks[name].problem for name in self.servers}

    async def _fresh(self, name: str) -> None:
        look = self._looks.setdefault(name, _Look())
        async with look.asking:
            if self.clock.monotonic() < look.until:
                return
            try:
                given = await self._given(name)
            except InvalidInput as error:
                # A secret is missing: nobody was asked, and the next look finds it once it is set.
                look.problem, look.until = error.message, 0.0
                return
            try:
                await self.pins.see(name, await offered(given, self.sandbox))
                look.problem = ""
            except ChargehandError as error:
                look.problem = error.message
            seconds = FAILED_SECONDS if look.problem else FRESH_SECONDS
            look.until = self.clock.monotonic() + seconds

    async def _given(self, name: str) -> McpServer:
        """The server with the secrets that it needs, read for this one conversation."""
        server = self.servers[name]
        needed = server.needed_secrets()
        if not needed:
            return server
        values = {} if self.secrets is None else await self.secrets.values(DEFAULT_TENANT, needed)
        return server.given(values)

    def _usable(self, pin: Pin) -> Tool | str:
        """The tool; or why it cannot be called."""
        what = f"the tool {pin.tool.name!r} of the MCP server {pin.server!r}"
        if pin.state is not PinState.APPROVED:
            why = "is new" if pin.state is PinState.NEW else "has changed since it was approved"
            return f"{what} {why}: `chargehand mcp approve {pin.server} {pin.tool.name}` allows it"
        if len(shown_name(pin.server, pin.tool.name)) > MAX_SHOWN_NAME:
            return f"{what} has a name that is too long; give the server a shorter one"
        try:
            arguments = arguments_type(pin.tool.input_schema)
        except ValueError as error:
            return f"{what} has an input schema that is none: {str(error)[:200]}"
        return self._tool(pin, arguments)

    def _tool(self, pin: Pin, arguments: type["McpArguments"]) -> Tool:
        async def run(context: ToolContext, given: McpArguments) -> ToolResult:
            del context
            return await self._call(pin.server, pin.tool, pin.seen_hash, given.root)

        return FunctionTool(
            name=shown_name(pin.server, pin.tool.name),
            description=pin.tool.description,
            arguments=arguments,
            risk=Risk.NETWORK,
            after_crash=AfterCrash.REPEAT if pin.tool.is_repeatable else AfterCrash.REPORT,
            run=run,
        )

    async def _call(self, server: str, tool: McpTool, approved: str, arguments: JsonObject) -> ToolResult:
        try:
            return await call(
                await self._given(server), self.sandbox, tool.name, arguments, approved_hash=approved
            )
        except McpChanged as changed:
            await self.pins.see(server, [changed.now])
            raise McpFailure(
                f"the tool {tool.name!r} of the MCP server {server!r} has changed since it was approved, and was not"
                f" called; the operator allows it with `chargehand mcp approve {server} {tool.name}`"
            ) from changed


class McpArguments(RootModel[dict[str, Any]]):
    """Arguments that a server's own schema describes."""


def arguments_type(schema: JsonObject) -> type[McpArguments]:
    """The type of a tool's arguments. ValueError for what is no JSON schema of an object."""
    import jsonschema_rs  # noqa: PLC0415 - only tools of MCP servers are described by schemas of others

    if schema.get("type") != "object":
        raise ValueError("its type is not object")
    validator = jsonschema_rs.validator_for(schema, retriever=_retrieve_nothing)

    class Arguments(McpArguments):
        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return dict(schema)

        @model_validator(mode="after")
        def _fits(self) -> "Arguments":
            problems = [
                f"{'.'.join(map(str, one.instance_path)) or 'arguments'}: {one.message[:200]}"
                for one in islice(validator.iter_errors(self.root), MAX_NAMED_PROBLEMS)
            ]
            if problems:
                raise ValueError("; ".join(problems))
            return self

    return Arguments


def _retrieve_nothing(uri: str) -> Any:
    """A schema that refers to the network would have the service fetch what a stranger names."""
    raise ValueError(f"it refers to {uri[:200]}, which is not fetched")
