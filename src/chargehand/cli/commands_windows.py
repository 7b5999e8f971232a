"""`chargehand service`: the service as Windows runs it."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, synchronous, typer_app

if TYPE_CHECKING:
    from chargehand.cli import windows_service
else:
    windows_service = Lazily("chargehand.cli.windows_service")


class Start(StrEnum):
    """When Windows starts it."""

    AUTO = "auto"
    DELAYED = "delayed"
    MANUAL = "manual"


Name = Annotated[str, typer.Option("--name", help="The service's name, where there are several.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]

app = typer_app("Run as a service of Windows. Elsewhere each command says what does the same there.")


@app.command()
@synchronous
def install(
    name: Name = "Chargehand",
    account: Annotated[
        str | None,
        typer.Option(
            "--account", help="Run as this account instead of the service's own (NT SERVICE\\NAME)."
        ),
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the account's password from standard input.")
    ] = False,
    start_type: Annotated[
        Start, typer.Option("--start", help="When Windows starts it; delayed: two minutes after the others.")
    ] = Start.DELAYED,
    data_dir: Annotated[
        str | None,
        typer.Option(
            "--data-dir",
            metavar="DIR",
            help="Database, workspaces, keys, log and chargehand.env; by default %ProgramData%\\NAME.",
        ),
    ] = None,
    dry_run: DryRun = False,
) -> ExitCode:
    """Register the service with Windows: own account, restart after a failure, event log, closed data folder.

    It needs a terminal opened with `Run as administrator`, and `pip install chargehand[windows]`. Settings of
    the service are lines NAME=value in chargehand.env in its data folder.

    \b
    Examples:
      chargehand service install --dry-run
      chargehand service install
      chargehand service install --data-dir D:\\Chargehand --start auto
    """
    return windows_service.install(
        name=name,
        account=account,
        password_stdin=password_stdin,
        start=start_type.value,
        data_dir=data_dir,
        dry_run=dry_run,
    )


@app.command()
@synchronous
def start(name: Name = "Chargehand") -> ExitCode:
    """Start it, and return when it answers.

    \b
    Example:
      chargehand service start
    """
    return windows_service.start(name)


@app.command()
@synchronous
def stop(name: Name = "Chargehand") -> ExitCode:
    """Stop it gracefully: what is running is given back and goes on at the next start.

    \b
    Example:
      chargehand service stop
    """
    return windows_service.stop(name)


@app.command()
@synchronous
def restart(name: Name = "Chargehand") -> ExitCode:
    """Stop it, if it runs, and start it: with new settings or a new version.

    \b
    Example:
      chargehand service restart
    """
    return windows_service.restart(name)


@app.command()
@synchronous
def status(name: Name = "Chargehand", as_json: AsJson = False) -> ExitCode:
    """Tell how it stands. The exit code is 0 when it runs, 6 when it does not, 4 when there is none.

    \b
    Example:
      chargehand service status
    """
    return windows_service.status(name, as_json=as_json)


@app.command()
@synchronous
def uninstall(name: Name = "Chargehand", dry_run: DryRun = False) -> ExitCode:
    """Stop it and remove it from Windows. Its data folder stays.

    \b
    Example:
      chargehand service uninstall
    """
    return windows_service.uninstall(name, dry_run=dry_run)


@app.command(hidden=True)
@synchronous
def run(name: Name = "Chargehand") -> ExitCode:
    """What Windows starts; not for a terminal.

    \b
    Example:
      chargehand service run
    """
    return windows_service.run(name)
