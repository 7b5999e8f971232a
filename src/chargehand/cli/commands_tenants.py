"""`chargehand tenants`: whose agents, tasks and keys are kept apart."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Limit, Server, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import tenants
else:
    tenants = Lazily("chargehand.cli.tenants")

app = typer_app("Serve several teams that see nothing of each other; for the service's operator.")
Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's id.")]


@app.command("list")
@command
async def list_(
    limit: Limit = 50,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """List all tenants, by id.

    \b
    Example:
      chargehand tenants list
    """
    return await tenants.list_tenants(server, limit=limit, as_json=as_json)


@app.command()
@command
async def create(
    tenant: Annotated[
        str, typer.Argument(metavar="TENANT", help="Its id: a-z, 0-9 and hyphens, at most 63 of them.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="What people call it; else its id.")
    ] = None,
    no_key: Annotated[bool, typer.Option("--no-key", help="Make no administrator's key for it.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Make one, with the agents that ship; prints its administrator's key this once.

    \b
    Example:
      chargehand tenants create shop --name "The web shop"
    """
    return await tenants.create_tenant(tenant, server, name=name, with_key=not no_key, as_json=as_json)


@app.command()
@command
async def show(tenant: Tenant, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Show one.

    \b
    Example:
      chargehand tenants show shop
    """
    return await tenants.show_tenant(tenant, server, as_json=as_json)


@app.command()
@command
async def suspend(tenant: Tenant, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Refuse its keys and begin nothing more of it, until it is resumed; what is stored stays.

    \b
    Example:
      chargehand tenants suspend shop
    """
    return await tenants.set_suspended(tenant, server, is_suspended=True, as_json=as_json)


@app.command()
@command
async def resume(tenant: Tenant, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Let it go on.

    \b
    Example:
      chargehand tenants resume shop
    """
    return await tenants.set_suspended(tenant, server, is_suspended=False, as_json=as_json)
