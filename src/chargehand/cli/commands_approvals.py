"""`chargehand approvals`: see and decide the calls that wait for a person."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Limit, Server, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import approvals
else:
    approvals = Lazily("chargehand.cli.approvals")

app = typer_app("See and decide the calls that wait for a person.")
ApprovalId = Annotated[str, typer.Argument(metavar="APPROVAL_ID", help="The approval's id.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; the agent is told.")]


@app.command("list")
@command
async def list_(
    status: Annotated[
        str | None,
        typer.Option("--status", help="open, approved, edited, denied, expired, withdrawn; all: every one."),
    ] = "open",
    task: Annotated[str | None, typer.Option("--task", metavar="TASK_ID", help="Only this task's.")] = None,
    limit: Limit = 50,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """List what waits for a person, newest first.

    \b
    Examples:
      chargehand approvals list
      chargehand approvals list --status all --json
    """
    return await approvals.list_approvals(server, status=status, task_id=task, limit=limit, as_json=as_json)


@app.command()
@command
async def show(approval_id: ApprovalId, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Show one: the call with all its arguments, the rule that asks, and until when.

    \b
    Example:
      chargehand approvals show 0190f7a2-91b4-7c3d-8a55-0242ac120002
    """
    return await approvals.show_approval(approval_id, server, as_json=as_json)


@app.command()
@command
async def approve(
    approval_id: ApprovalId,
    arguments: Annotated[
        str | None,
        typer.Option("--arguments", metavar="JSON", help="Run it with these arguments instead."),
    ] = None,
    reason: Reason = None,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Let the call run.

    \b
    Examples:
      chargehand approvals approve 0190f7a2-91b4-7c3d-8a55-0242ac120002
      chargehand approvals approve 0190f7a2-91b4-7c3d-8a55-0242ac120002 --arguments '{"a": 1}'
    """
    return await approvals.decide(
        approval_id, server, approve=True, arguments=arguments, reason=reason, as_json=as_json
    )


@app.command()
@command
async def deny(
    approval_id: ApprovalId, reason: Reason = None, server: Server = None, as_json: AsJson = False
) -> ExitCode:
    """Do not let the call run; the agent is told and goes on without it.

    \b
    Example:
      chargehand approvals deny 0190f7a2-91b4-7c3d-8a55-0242ac120002 --reason "not on a Friday"
    """
    return await approvals.decide(
        approval_id, server, approve=False, arguments=None, reason=reason, as_json=as_json
    )
