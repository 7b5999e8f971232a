"""`chargehand prune`, `chargehand backup` and `chargehand restore`: what is kept, and for how long."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Server, command

if TYPE_CHECKING:
    from chargehand.cli import backup as saving
    from chargehand.cli import retention
else:
    saving = Lazily("chargehand.cli.backup")
    retention = Lazily("chargehand.cli.retention")


@command
async def prune(
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="AGE", help="Ended longer ago than this: 30d, 12h, 90m; at least 1m."
        ),
    ],
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="STATUS,...",
            help="Only trees whose root ended so: completed, failed, canceled. Default: all three.",
        ),
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="AGENT", help="Only trees whose root is this agent's.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="No more than so many trees.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Delete ended tasks with all that belongs to them, while the service runs.

    A task goes with everything it delegated, once all of that has ended: events, steps, messages, approvals,
    deliverables, workspaces, keys of repeated submissions. What models cost stays in `chargehand usage`.
    It may be stopped at any moment and begun again.

    \b
    Examples:
      chargehand prune --older-than 30d --dry-run
      chargehand prune --older-than 30d
      chargehand prune --older-than 12h --status failed,canceled --agent backend-developer
    """
    return await retention.prune(
        server,
        older_than=older_than,
        status=status,
        agent_id=agent,
        limit=limit,
        dry_run=dry_run,
        as_json=as_json,
    )


@command
async def backup(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A folder that is not there yet.")],
) -> ExitCode:
    """Save everything into a folder while the service runs, and read it again.

    \b
    Example:
      chargehand backup /backups/chargehand-2030-01-31
    """
    return await saving.save_backup(target)


@command
async def restore(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A folder that `chargehand backup` wrote.")
    ],
) -> ExitCode:
    """Bring a backup back into an empty data folder (and an empty database, when one is set).

    \b
    Example:
      CHARGEHAND_DATA_DIR=/srv/chargehand chargehand restore /backups/chargehand-2030-01-31
    """
    return await saving.restore_backup(source)


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(prune)
    app.command()(backup)
    app.command()(restore)
