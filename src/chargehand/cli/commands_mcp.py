"""`chargehand mcp`: the tools of MCP servers, and approving them."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Server, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import mcp
else:
    mcp = Lazily("chargehand.cli.mcp")

app = typer_app("See the tools of MCP servers and approve them.")


@app.command("list")
@command
async def list_(server: Server = None, as_json: AsJson = False) -> ExitCode:
    """List the tools that MCP servers offer, and whether agents may call them.

    \b
    Examples:
      chargehand mcp list
      chargehand mcp list --json
    """
    return await mcp.list_tools(server, as_json=as_json)


@app.command()
@command
async def approve(
    mcp_server: Annotated[
        str | None, typer.Argument(metavar="[MCP_SERVER]", help="The MCP server's name.")
    ] = None,
    tool: Annotated[str | None, typer.Argument(metavar="[TOOL]", help="The tool's name there.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All tools of the server, or of all servers, that wait for it.")
    ] = False,
    server: Server = None,
) -> ExitCode:
    """Allow agents to call a tool as it is now; when its server changes it, it waits again.

    Read its description first: agents will follow it.

    \b
    Examples:
      chargehand mcp approve tracker create_issue
      chargehand mcp approve tracker --all
    """
    return await mcp.approve(mcp_server, tool, server, everything=everything)
