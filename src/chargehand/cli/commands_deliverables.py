"""`chargehand deliverables`: see and fetch what tasks have delivered."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Force, Server, TaskId, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import deliverables
else:
    deliverables = Lazily("chargehand.cli.deliverables")

app = typer_app("See and fetch what tasks have delivered.")


@app.command("list")
@command
async def list_(task_id: TaskId, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """List a task's deliverables and the evidence of their checks.

    \b
    Example:
      chargehand deliverables list 0190f7a2-91b4-7c3d-8a55-0242ac120002
    """
    return await deliverables.list_deliverables(task_id, server, as_json=as_json)


@app.command()
@command
async def get(
    task_id: TaskId,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Which deliverable; without it, all.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder that the files are written into.")
    ] = Path("delivered"),
    force: Force = False,
    server: Server = None,
) -> ExitCode:
    """Write a task's deliverables into a folder, each file checked against its hash.

    \b
    Examples:
      chargehand deliverables get 0190f7a2-91b4-7c3d-8a55-0242ac120002 --out ./service
      chargehand deliverables get 0190f7a2-91b4-7c3d-8a55-0242ac120002 report --out ./reports
    """
    return await deliverables.get_deliverables(task_id, name, server, out=out, force=force)
