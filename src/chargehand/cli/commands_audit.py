"""`chargehand audit`: who did what, and whether anybody changed what is written of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Server, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import audit
else:
    audit = Lazily("chargehand.cli.audit")

app = typer_app("See who did what, and prove that nobody changed what is written of it.")


@app.command("list")
@command
async def list_(
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="ID", help="Only what this key did.")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="ACTION", help="Only this, such as task.canceled.")
    ] = None,
    thing: Annotated[
        str | None, typer.Option("--object", metavar="ID", help="Only what was done to this.")
    ] = None,
    denied: Annotated[bool, typer.Option("--denied", help="Only attempts that were refused.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="From then on: 2030-01-31, which is its midnight (UTC), or 2030-01-31T09:30:00Z.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Before then; a day does not count itself.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=200, metavar="N", help="How many at most.")
    ] = 50,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """List entries, newest first.

    \b
    Examples:
      chargehand audit list --object TRACKER_TOKEN
      chargehand audit list --denied --since 2030-01-31
    """
    return await audit.list_entries(
        server,
        actor=actor,
        action=action,
        object_id=thing,
        denied=denied,
        since=since,
        until=until,
        limit=limit,
        as_json=as_json,
    )


@app.command()
@command
async def export(
    after: Annotated[
        int, typer.Option("--after", min=0, metavar="N", help="Go on behind entry N of an earlier export.")
    ] = 0,
    server: Server = None,
) -> ExitCode:
    """Print every entry in order, one JSON object a line.

    \b
    Examples:
      chargehand audit export > audit.ndjson
      chargehand audit export --after 1200 >> audit.ndjson
    """
    return await audit.export(server, after=after)


@app.command()
@command
async def verify(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Exported files, in order; none: what the service has."),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            "--expect-head",
            metavar="HASH",
            help="A head that was noted earlier has to be in it; may be repeated.",
        ),
    ] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Walk the chain; exit with 1 and name the first entry that is not as it was written.

    The last entries can be removed without a trace in the rest; note the head that this prints, elsewhere, and
    expect it the next time.

    \b
    Examples:
      chargehand audit verify
      chargehand audit verify audit.ndjson --expect-head 9f2c…
    """
    return await audit.verify(files or [], head or [], server, as_json=as_json)
