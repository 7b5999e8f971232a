"""The entry point: the tree of commands, and the last word on what ends the process.

Rule: nothing is imported here that `chargehand --help` does not need.
"""

import sys
from typing import Annotated

import typer

from chargehand import __version__
from chargehand.cli import (
    commands_agents,
    commands_approvals,
    commands_audit,
    commands_deliverables,
    commands_dev,
    commands_fleet,
    commands_keep,
    commands_keys,
    commands_mcp,
    commands_schedules,
    commands_secrets,
    commands_service,
    commands_tasks,
    commands_tenant_limits,
    commands_tenants,
    commands_usage,
    commands_webhooks,
    commands_windows,
    commands_work,
)
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.options import typer_app
from chargehand.cli.streams import abandon_output, prepare

app = typer_app("Runs AI agents as dependable workers: durable tasks, sandboxed tools, checked deliverables.")


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"chargehand {__version__}\n")
        raise typer.Exit


@app.callback(
    epilog="First steps: `chargehand demo`, then `chargehand serve` and `chargehand run --help`.",
)
def _chargehand(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


commands_work.add_to(app)
commands_service.add_to(app)
commands_fleet.add_to(app)
app.add_typer(commands_agents.app, name="agents")
app.add_typer(commands_tasks.app, name="tasks")
app.add_typer(commands_approvals.app, name="approvals")
app.add_typer(commands_schedules.app, name="schedules")
app.add_typer(commands_keys.app, name="keys")
commands_tenant_limits.add_to(commands_tenants.app)
app.add_typer(commands_tenants.app, name="tenants")
app.add_typer(commands_webhooks.app, name="webhooks")
commands_usage.add_to(app)
commands_keep.add_to(app)
app.add_typer(commands_deliverables.app, name="deliverables")
app.add_typer(commands_mcp.app, name="mcp")
app.add_typer(commands_secrets.app, name="secrets")
app.add_typer(commands_audit.app, name="audit")
app.add_typer(commands_service.db, name="db")
app.add_typer(commands_windows.app, name="service")
app.add_typer(commands_dev.app, name="dev")


def main() -> None:
    """Run the command line; exits the process with the code that docs/guide/command-line.md tells."""
    prepare()
    try:
        app()
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        abandon_output()
        sys.exit(ExitCode.OUTPUT_CLOSED)
