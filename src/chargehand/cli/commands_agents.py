"""`chargehand agents`: what agents there are, and registering definitions."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AgentId, AsJson, Server, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import agents
else:
    agents = Lazily("chargehand.cli.agents")

app = typer_app("See agents and register definitions.")


@app.command("list")
@command
async def list_(server: Server = None, as_json: AsJson = False) -> ExitCode:
    """List the agents.

    \b
    Example:
      chargehand agents list
    """
    return await agents.list_agents(server, as_json=as_json)


@app.command()
@command
async def show(
    agent: AgentId,
    source: Annotated[
        bool, typer.Option("--source", help="Print the definition's text and nothing else.")
    ] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Show one agent: what it promises, whom it delegates to, what it may use.

    \b
    Examples:
      chargehand agents show backend-developer
      chargehand agents show backend-developer --source > my-developer.md
    """
    return await agents.show_agent(agent, server, source=source, as_json=as_json)


@app.command()
@command
async def put(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A Markdown file; - reads standard input.")],
    agent_id: Annotated[
        str | None,
        typer.Option("--id", metavar="AGENT", help="The agent's id; without it, made from its name."),
    ] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Register a definition as its agent's current version; running tasks keep theirs.

    \b
    Examples:
      chargehand agents put reviewer.md
      chargehand agents put reviewer.md --id code-reviewer
    """
    return await agents.put_agent(file, agent_id, server, as_json=as_json)


@app.command()
@command
async def versions(agent: AgentId, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """List an agent's versions, newest first.

    \b
    Example:
      chargehand agents versions backend-developer
    """
    return await agents.list_versions(agent, server, as_json=as_json)
