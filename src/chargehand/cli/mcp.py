"""The work of `chargehand mcp`."""

from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.lines import one_line
from chargehand.cli.output import write, write_json, write_rows
from chargehand.errors import InvalidInput, NotFound, Unavailable
from chargehand.wire.agents import McpToolList


async def list_tools(server: str | None, *, as_json: bool) -> ExitCode:
    """Every tool that was seen, and what is wrong with a server."""
    async with connect(server) as connection:
        found = await connection.client.mcp_tools()
    if as_json:
        write_json(found)
        return ExitCode.OK
    rows = [(one.server, one.name, one.state, one.shown_name, one.description) for one in found.items]
    write_rows(("SERVER", "TOOL", "STATE", "AGENTS CALL IT", "DESCRIPTION"), rows)
    for one in found.servers:
        if not one.ok:
            say(one_line(one.detail))
    if not found.servers:
        say("no MCP server is configured; set CHARGEHAND_MCP_FILE (docs/guide/mcp.md)")
    return ExitCode.OK


async def approve(
    mcp_server: str | None, tool: str | None, server: str | None, *, everything: bool
) -> ExitCode:
    """Approve one tool, or all that wait."""
    if everything == (tool is not None) or (tool is not None and mcp_server is None):
        raise InvalidInput("say which: MCP_SERVER TOOL, MCP_SERVER --all, or --all")
    async with connect(server) as connection:
        found = await connection.client.mcp_tools()
        _require_configured(mcp_server, found)
        seen = found.items
        wanted = [
            one
            for one in seen
            if mcp_server in (None, one.server)
            and tool in (None, one.name)
            and (tool or one.state != "approved")
        ]
        if not wanted and tool:
            known = ", ".join(f"{one.server} {one.name}" for one in seen) or "none"
            raise NotFound(f"no tool {tool!r} of MCP server {mcp_server!r} has been seen; seen: {known}")
        for one in wanted:
            approved = await connection.client.approve_mcp_tool(one.server, one.name, one.seen_hash)
            write(f"{approved.server} {approved.name}: {approved.state}, {approved.seen_hash[:12]}")
            write(f"  {one_line(approved.description)}")
    troubles = [one for one in found.servers if not one.ok and mcp_server in (None, one.name)]
    if mcp_server is not None and troubles and not wanted:
        raise Unavailable(one_line(troubles[0].detail))
    for one in troubles:
        say(one_line(one.detail))
    if not wanted:
        write("no tool waits for an approval")
    return ExitCode.OK


def _require_configured(mcp_server: str | None, found: McpToolList) -> None:
    configured = [one.name for one in found.servers]
    if mcp_server is not None and mcp_server not in configured:
        told = ", ".join(configured) or "none (set CHARGEHAND_MCP_FILE)"
        raise NotFound(f"there is no server {mcp_server!r}; configured: {told}")
