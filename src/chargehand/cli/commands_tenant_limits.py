"""`chargehand tenants limits`: what one tenant may use."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Server, command

if TYPE_CHECKING:
    from chargehand.cli import tenant_limits as work
else:
    work = Lazily("chargehand.cli.tenant_limits")


@command
async def limits(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's id.")],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=AMOUNT", help="A limit of its own; NAME=default takes it back. Repeat it."
        ),
    ] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Show what a tenant may use, or change it.

    Names: requests_per_second, submits_per_second, concurrency, backlog, streams, usd_per_day,
    tokens_per_day, storage_bytes. What is not set is as the service's settings say.

    \b
    Examples:
      chargehand tenants limits acme
      chargehand tenants limits acme --set concurrency=4 --set usd_per_day=25.00
      chargehand tenants limits acme --set concurrency=default
    """
    return await work.show_or_change(server, tenant, changes or [], as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the command in the group of tenants."""
    app.command()(limits)
