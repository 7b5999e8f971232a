"""What can be done with the tools of MCP servers: note what they offer, list them, approve one.

Rule: the servers are the operator's, one set for all tenants; so it takes `admin:service` to see and approve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chargehand.domain.access import Principal, Scope
from chargehand.domain.audit import Action
from chargehand.domain.mcp import McpTool, Pin
from chargehand.errors import Conflict, NotFound
from chargehand.service.audit_records import record
from chargehand.service.ports import McpServers, NoMcpServers
from chargehand.store import mcp_tools
from chargehand.store.database import Database, retried

FIRST_USE = "first use"
"""Who approved a tool where the operator trusts what a server offers at first."""


@dataclass(slots=True)
class McpPins:
    """The pinned tools. `trusts_first`: a tool that was never seen before is approved at once."""

    db: Database
    trusts_first: bool
    servers: McpServers = field(default_factory=NoMcpServers)

    @retried
    async def see(self, server: str, tools: Sequence[McpTool]) -> None:
        """Note what a server offers now; a tool that is not as it was approved cannot be called any more."""
        async with self.db.glance() as tx:
            known = {pin.tool.name: pin.seen_hash for pin in await mcp_tools.pins(tx, [server])}
        fresh = [tool for tool in tools if known.get(tool.name) != tool.hash]
        if fresh:
            async with self.db.write() as tx:
                await mcp_tools.see(tx, server, fresh, approved_by=FIRST_USE if self.trusts_first else None)

    async def of(self, servers: Sequence[str]) -> list[Pin]:
        """The pins of some servers, as the service itself reads them."""
        async with self.db.glance() as tx:
            return await mcp_tools.pins(tx, servers)

    async def all(self, who: Principal) -> tuple[list[Pin], Mapping[str, str]]:
        """Every tool that was ever seen, and each configured server with what is wrong with it (or nothing)."""
        who.require(Scope.ADMIN_SERVICE)
        problems = await self.servers.look()
        async with self.db.read(who.tenant) as tx:
            return await mcp_tools.pins(tx), problems

    @retried
    async def approve(self, who: Principal, server: str, name: str, seen_hash: str) -> Pin:
        """Approve a tool as it was when its hash was read; Conflict when it has changed since."""
        who.require(Scope.ADMIN_SERVICE)
        async with self.db.write(who.tenant) as tx:
            pin = await self._pin(await mcp_tools.pins(tx, [server]), server, name)
            if pin.seen_hash != seen_hash:
                raise Conflict(
                    f"the tool {name!r} of server {server!r} is now {pin.seen_hash[:12]}, not {seen_hash[:12]};"
                    " look at it again before it is approved"
                )
            await mcp_tools.approve(tx, pin, by=who.id)
            await record(tx, who, Action.MCP_TOOL_APPROVED, f"{server}/{name}", {"hash": seen_hash})
            return await self._pin(await mcp_tools.pins(tx, [server]), server, name)

    @staticmethod
    async def _pin(pins: Sequence[Pin], server: str, name: str) -> Pin:
        found = next((pin for pin in pins if pin.tool.name == name), None)
        if found is None:
            known = ", ".join(pin.tool.name for pin in pins[:10]) or "none"
            raise NotFound(f"no tool {name[:128]!r} of server {server[:64]!r} has been seen; seen: {known}")
        return found
