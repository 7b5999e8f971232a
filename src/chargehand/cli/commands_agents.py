"""`chargehand agents`: what agents there are, and registering definitions."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AgentId, AsJson, Server, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import agent_imports, agents
else:
    agents = Lazily("chargehand.cli.agents")
    agent_imports = Lazily("chargehand.cli.agent_imports")

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


@app.command()
@command
async def lint(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Files, folders or zip archives with definitions.")
    ],
    as_json: AsJson = False,
) -> ExitCode:
    """Read definitions and tell what is repaired, left out or suggested in them; registers nothing.

    It fails only when a file would be refused.

    \b
    Examples:
      chargehand agents lint reviewer.md
      chargehand agents lint .claude/agents --json
    """
    return await agent_imports.lint(paths, as_json=as_json)


@app.command("import")
@command
async def import_(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file, a folder or a zip archive.")],
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME", help="What ids start with; without it, the folder's name."),
    ] = None,
    delegates: Annotated[
        bool,
        typer.Option(
            "--delegates", help="Let each hand work to the known agents that its text names for it."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Register every definition below a path; a file that is refused does not stop the rest.

    \b
    Examples:
      chargehand agents import .claude/agents --source team
      chargehand agents import .claude/agents --delegates
      chargehand agents import agents.zip --dry-run
    """
    return await agent_imports.import_agents(
        path, server, source=source, delegates=delegates, dry_run=dry_run, as_json=as_json
    )
