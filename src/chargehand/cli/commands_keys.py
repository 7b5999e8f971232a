"""`chargehand keys`: who may call."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Limit, Server, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import keys
else:
    keys = Lazily("chargehand.cli.keys")

app = typer_app("Make, list, replace and revoke the keys that callers show.")
Key = Annotated[str, typer.Argument(metavar="KEY", help="The key's name or id.")]


@app.command("list")
@command
async def list_(
    limit: Limit = 50,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """List the tenant's keys by name: what each may do, whether it is live, when it was last used.

    \b
    Example:
      chargehand keys list
    """
    return await keys.list_keys(server, limit=limit, as_json=as_json)


@app.command()
@command
async def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called; once in a tenant.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", metavar="SCOPE", help="What it may do, such as tasks:read or tasks:*; may be repeated."
        ),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="A set of scopes: viewer, client, approver, developer, operator, admin; may be repeated.",
        ),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option("--agent", metavar="AGENT", help="Only this agent and its tasks; may be repeated."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="TIME", help="When it ends, such as 24h or 90d from now."),
    ] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Make a key that can do no more than the one it is made with. It is printed this once.

    \b
    Examples:
      chargehand keys create shop --role client --agent backend-developer
      chargehand keys create ci --scope tasks:write --scope tasks:read --expires 90d
    """
    return await keys.create_key(
        name,
        server,
        scopes=scope or [],
        roles=role or [],
        agents=agent or [],
        expires_in=expires,
        as_json=as_json,
    )


@app.command()
@command
async def show(key: Key, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Show one: its scopes, its agents, when it ends and when it was last used; never the key itself.

    \b
    Example:
      chargehand keys show ci
    """
    return await keys.show_key(key, server, as_json=as_json)


@app.command()
@command
async def rotate(
    key: Key,
    keep: Annotated[
        str | None,
        typer.Option("--keep", metavar="TIME", help="How long the old one still works: 0s to 90d; 24h."),
    ] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Replace it by a new one of the same name and rights, which is printed this once.

    \b
    Example:
      chargehand keys rotate ci --keep 1h
    """
    return await keys.rotate_key(key, server, keep=keep, as_json=as_json)


@app.command()
@command
async def revoke(key: Key, server: Server = None) -> ExitCode:
    """End it: within five seconds no process takes it any more.

    \b
    Example:
      chargehand keys revoke ci
    """
    return await keys.revoke_key(key, server)
