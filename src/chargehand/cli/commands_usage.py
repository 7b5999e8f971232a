"""`chargehand usage`: what models have cost."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Server, command

if TYPE_CHECKING:
    from chargehand.cli import usage as work
else:
    work = Lazily("chargehand.cli.usage")


@command
async def usage(
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="WHAT", help="Sums by day, agent, model, task or tree. Default: day."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="TASK_ID", help="Only this task, with all that it delegated."),
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="AGENT", help="Only this agent's calls.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="From this day on, such as 2030-01-31 (UTC).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="To this day, which counts too (UTC).")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many lines at most.")] = 100,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Show what models have cost.

    \b
    Examples:
      chargehand usage
      chargehand usage --by agent --from 2030-01-01 --to 2030-01-31
      chargehand usage --task 0190f7a2-91b4-7c3d-8a55-0242ac120002 --json
    """
    return await work.show_usage(
        server, by=by, task_id=task, agent_id=agent, since=since, until=until, limit=limit, as_json=as_json
    )


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(usage)
