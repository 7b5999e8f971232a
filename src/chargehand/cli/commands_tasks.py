"""`chargehand tasks`: see, watch and steer tasks."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Budgets, Force, Limit, Out, Server, TaskId, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import running, tasks
else:
    running, tasks = Lazily("chargehand.cli.running"), Lazily("chargehand.cli.tasks")

app = typer_app("See, watch and steer tasks.")


@app.command("list")
@command
async def list_(
    agent: Annotated[str | None, typer.Option("--agent", metavar="AGENT", help="Only this agent's.")] = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status", help="Only those that are pending, running, waiting, completed, failed or canceled."
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Only those with this label.")
    ] = None,
    limit: Limit = 50,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """List tasks, newest first.

    \b
    Examples:
      chargehand tasks list --status failed
      chargehand tasks list --agent backend-developer --label team=billing --json
    """
    return await tasks.list_tasks(
        server, agent_id=agent, status=status, labels=label or [], limit=limit, as_json=as_json
    )


@app.command()
@command
async def show(
    task_id: TaskId,
    steps: Annotated[
        bool, typer.Option("--steps", help="Its journal too: every step that was recorded.")
    ] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Show one task: how it stands, its input, its children, its questions, its deliverables with evidence.

    \b
    Example:
      chargehand tasks show 0190f7a2-91b4-7c3d-8a55-0242ac120002 --steps
    """
    return await tasks.show_task(task_id, server, steps=steps, as_json=as_json)


@app.command()
@command
async def watch(
    task_id: TaskId,
    out: Out = None,
    force: Force = False,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Watch a task to its end. Without a running service, one of our own goes on with the task.

    \b
    Examples:
      chargehand tasks watch 0190f7a2-91b4-7c3d-8a55-0242ac120002
      chargehand tasks watch 0190f7a2-91b4-7c3d-8a55-0242ac120002 --out ./service
    """
    return await running.resume_watching(task_id, server=server, out=out, force=force, as_json=as_json)


@app.command()
@command
async def cancel(task_id: TaskId, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Cancel a task and everything it has delegated.

    \b
    Example:
      chargehand tasks cancel 0190f7a2-91b4-7c3d-8a55-0242ac120002
    """
    return await tasks.cancel_task(task_id, server, as_json=as_json)


@app.command()
@command
async def retry(
    task_id: TaskId,
    watch: Annotated[bool, typer.Option("--watch", help="Watch it to its end.")] = False,
    budget: Budgets = None,
    out: Out = None,
    force: Force = False,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Give a failed or canceled task another try; steps that went well are not done again.

    What it has spent stays spent. --budget says what it may use from now on in all, within the limits
    of its agent's current definition.

    \b
    Examples:
      chargehand tasks retry 0190f7a2-91b4-7c3d-8a55-0242ac120002 --watch
      chargehand tasks retry 0190f7a2-91b4-7c3d-8a55-0242ac120002 --budget usd=2.00
    """
    return await tasks.retry_task(
        task_id,
        server,
        budget=budget,
        watch=watch or out is not None,
        out=out,
        force=force,
        as_json=as_json,
    )


@app.command()
@command
async def answer(
    task_id: TaskId,
    text: Annotated[
        str, typer.Argument(metavar="ANSWER", help="The answer; one of the choices where there are any.")
    ],
    question: Annotated[
        str | None,
        typer.Option("--question", metavar="ID", help="Which question; not needed when only one is open."),
    ] = None,
    server: Server = None,
) -> ExitCode:
    """Answer a question that a task waits for.

    \b
    Examples:
      chargehand tasks answer 0190f7a2-91b4-7c3d-8a55-0242ac120002 yes
      chargehand tasks answer 0190f7a2-91b4-7c3d-8a55-0242ac120002 "port 8443" --question 0/3
    """
    return await tasks.answer_question(task_id, text, question, server)


@app.command()
@command
async def send(
    task_id: TaskId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What the agent is told.")],
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Tell a task something. One that has ended is followed by a new task that goes on from it.

    \b
    Example:
      chargehand tasks send 0190f7a2-91b4-7c3d-8a55-0242ac120002 "Use tabs, please."
    """
    return await tasks.send_message(task_id, text, server, as_json=as_json)
