"""`chargehand schedules`: tasks that come by themselves."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.commands_work import Data, Labels, Prompt, Spec
from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Budgets, Limit, Server, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import schedules
else:
    schedules = Lazily("chargehand.cli.schedules")

app = typer_app("Have tasks come by themselves, at the times of a cron expression.")
Schedule = Annotated[str, typer.Argument(metavar="SCHEDULE", help="The schedule's name or id.")]


@app.command()
@command
async def add(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What it is called; its tasks have it as a label.")
    ],
    cron: Annotated[
        str,
        typer.Option(
            "--cron",
            metavar="EXPRESSION",
            help="Minute, hour, day of month, month and day of week; or @hourly, @daily, @weekly, @monthly.",
        ),
    ],
    agent: Annotated[str, typer.Option("--agent", metavar="AGENT", help="Who gets the task.")],
    zone: Annotated[
        str, typer.Option("--zone", metavar="ZONE", help="The time zone, such as Europe/Berlin.")
    ] = "UTC",
    missed: Annotated[
        str,
        typer.Option(
            "--missed", help="What becomes of times when no service ran: skip, once (one for all) or all."
        ),
    ] = "once",
    spec: Spec = None,
    prompt: Prompt = None,
    data: Data = None,
    label: Labels = None,
    priority: Annotated[
        int, typer.Option("--priority", min=-100, max=100, metavar="N", help="Higher goes first.")
    ] = 0,
    budget: Budgets = None,
    timeout: Annotated[  # noqa: ASYNC109 - the tasks' time, not this coroutine's
        int | None,
        typer.Option("--timeout", min=1, metavar="SECONDS", help="How long each task may take."),
    ] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Not to run before it is resumed.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Have a task come by itself while a service runs.

    \b
    Examples:
      chargehand schedules add nightly --cron "30 2 * * *" --agent reporter --prompt "Report."
      chargehand schedules add hourly --cron @hourly --zone Europe/Berlin --agent my-agent
    """
    return await schedules.add_schedule(
        name,
        server,
        cron=cron,
        agent_id=agent,
        time_zone=zone,
        missed=missed,
        spec=spec,
        prompt=prompt,
        data=data,
        labels=label or [],
        priority=priority,
        budget=budget or [],
        timeout_seconds=timeout,
        is_paused=paused,
        as_json=as_json,
    )


@app.command("list")
@command
async def list_(
    agent: Annotated[str | None, typer.Option("--agent", metavar="AGENT", help="Only this agent's.")] = None,
    limit: Limit = 50,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """List schedules, newest first, with the time that each runs next.

    \b
    Example:
      chargehand schedules list --agent reporter
    """
    return await schedules.list_schedules(server, agent_id=agent, limit=limit, as_json=as_json)


@app.command()
@command
async def show(schedule: Schedule, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Show one: what it orders, its next five times, and how its last time went.

    \b
    Example:
      chargehand schedules show nightly
    """
    return await schedules.show_schedule(schedule, server, as_json=as_json)


@app.command()
@command
async def pause(schedule: Schedule, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Let it not run until it is resumed.

    \b
    Example:
      chargehand schedules pause nightly
    """
    return await schedules.set_paused(schedule, server, is_paused=True, as_json=as_json)


@app.command()
@command
async def resume(schedule: Schedule, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Let it run again, from now on; what came by while it was paused is not run.

    \b
    Example:
      chargehand schedules resume nightly
    """
    return await schedules.set_paused(schedule, server, is_paused=False, as_json=as_json)


@app.command()
@command
async def run_now(schedule: Schedule, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Submit its task at once, also while it is paused; prints the task's id. Its times stay as they are.

    \b
    Example:
      chargehand schedules run-now nightly
    """
    return await schedules.run_now(schedule, server, as_json=as_json)


@app.command()
@command
async def remove(schedule: Schedule, server: Server = None) -> ExitCode:
    """End a schedule; the tasks that it brought stay.

    \b
    Example:
      chargehand schedules remove nightly
    """
    return await schedules.remove_schedule(schedule, server)
