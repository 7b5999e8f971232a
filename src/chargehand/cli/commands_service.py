"""`chargehand serve`, `chargehand doctor` and `chargehand db`: run the service and see that it can run."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, command, synchronous, typer_app

if TYPE_CHECKING:
    from chargehand.cli import copying, databases, diagnosis, serving
else:
    copying, databases = Lazily("chargehand.cli.copying"), Lazily("chargehand.cli.databases")
    diagnosis, serving = Lazily("chargehand.cli.diagnosis"), Lazily("chargehand.cli.serving")


class Engine(StrEnum):
    """As CHARGEHAND_ENGINE."""

    EMBEDDED = "embedded"
    CELERY = "celery"


db = typer_app("Keep the database in order.")


@synchronous
def serve(
    host: Annotated[
        str | None,
        typer.Option("--host", help="Listen here instead of at CHARGEHAND_HOST (127.0.0.1)."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            help="Instead of CHARGEHAND_PORT (8700); 0 takes a free one.",
        ),
    ] = None,
    engine: Annotated[
        Engine | None,
        typer.Option("--engine", help="Who carries out tasks, instead of CHARGEHAND_ENGINE (embedded)."),
    ] = None,
) -> ExitCode:
    """Run the service until Ctrl-C or SIGTERM.

    What is running then is given back and goes on at the next start.

    \b
    Examples:
      chargehand serve
      CHARGEHAND_DATA_DIR=/srv/chargehand chargehand serve --port 8800
      chargehand serve --engine celery

    docs/reference/settings.md lists every setting (CHARGEHAND_...).
    """
    return serving.serve(host=host, port=port, engine=engine.value if engine else None)


@command
async def doctor(as_json: AsJson = False) -> ExitCode:
    """See whether everything is there that the service needs.

    Each line says ok, warn or fail, and what to do about it. The exit code is 6 when anything fails.

    \b
    Example:
      chargehand doctor
    """
    return await diagnosis.doctor(as_json=as_json)


@db.command()
@command
async def upgrade() -> ExitCode:
    """Bring the database up to this version's schema.

    On SQLite the service does it by itself at every start. On a server (CHARGEHAND_DATABASE_URL) it is done by this
    command, once, before the first process of the new version starts; processes of the version before go on meanwhile.

    \b
    Examples:
      chargehand db upgrade
      CHARGEHAND_DATABASE_URL=postgresql://chargehand@db.example/chargehand chargehand db upgrade
    """
    return await databases.upgrade()


@db.command()
@command
async def status(as_json: AsJson = False) -> ExitCode:
    """Tell which database the settings name, its revision, and whether this version can start on it.

    Nothing is changed. The exit code is 6 when it cannot.

    \b
    Example:
      chargehand db status
    """
    return await databases.status(as_json=as_json)


@db.command()
@command
async def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The database to copy, as an address.")],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="An empty one, or one that this copy was begun in.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Copy the moment as it is, though a service works on FROM.")
    ] = False,
) -> ExitCode:
    """Copy every row to another database and compare them one by one; tasks that were under way go on there.

    Stop the service first. A copy that was cut off goes on when it is begun again. Files (deliverables, workspaces,
    keys) are not in the database: the data folder stays what it is.

    \b
    Examples:
      chargehand db copy sqlite:////srv/chargehand.db postgresql://me@db.example/chargehand
      chargehand db copy mysql://chargehand@db.example/chargehand sqlite:///copy/chargehand.db
    """
    return await copying.copy_database(source, target, force=force)


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(serve)
    app.command()(doctor)
