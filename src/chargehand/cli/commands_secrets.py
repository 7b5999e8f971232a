"""`chargehand secrets`: what calls need and nobody may read."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Server, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import secrets
else:
    secrets = Lazily("chargehand.cli.secrets")

app = typer_app("Keep secrets that calls are given and that nothing tells again.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="What the secret is called.")]


@app.command("list")
@command
async def list_(server: Server = None, as_json: AsJson = False) -> ExitCode:
    """List secrets: names, versions and times.

    \b
    Example:
      chargehand secrets list
    """
    return await secrets.list_secrets(server, as_json=as_json)


@app.command("set")
@command
async def set_(name: Name, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Give a secret a value: asked for on a terminal, else read from standard input.

    A line's end behind it is not part of it. It is never an argument: other users of a machine see those.

    \b
    Examples:
      chargehand secrets set TRACKER_TOKEN
      chargehand secrets set model:anthropic < key.txt
    """
    return await secrets.set_secret(name, server, as_json=as_json)


@app.command()
@command
async def delete(name: Name, server: Server = None) -> ExitCode:
    """Delete a secret; what refers to it fails from now on and says so.

    \b
    Example:
      chargehand secrets delete TRACKER_TOKEN
    """
    return await secrets.delete_secret(name, server)


@app.command()
@command
async def rewrap(server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Encrypt all data keys with the first master key, so that the others may go.

    \b
    Example:
      chargehand secrets rewrap
    """
    return await secrets.rewrap(server, as_json=as_json)
