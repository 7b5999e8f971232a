"""`chargehand demo` and `chargehand run`: have work done."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode, naming
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AgentId, AsJson, Budgets, Force, Out, Server, command
from chargehand.errors import InvalidInput

if TYPE_CHECKING:
    from chargehand.cli import demo_fleet, demonstration, running
else:
    demo_fleet = Lazily("chargehand.cli.demo_fleet")
    demonstration = Lazily("chargehand.cli.demonstration")
    running = Lazily("chargehand.cli.running")

Spec = Annotated[
    str | None,
    typer.Option(
        "--spec", metavar="FILE", help="A service specification, YAML or JSON; - reads standard input."
    ),
]
Prompt = Annotated[str | None, typer.Option("--prompt", metavar="TEXT", help="A brief in plain words.")]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="JSON|@FILE|-", help="The task's input itself, as a JSON object."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY=VALUE", help="A mark to find the task by; may be repeated."),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", help="How long the task, and all that it delegates, may take."
    ),
]
OutputSchema = Annotated[
    str | None,
    typer.Option(
        "--output-schema",
        metavar="FILE",
        help="A JSON schema that the result must fit; for agents that a model runs.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key", metavar="KEY", help="The same key again means the same task, not another one."
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the task's id and do not watch it.")]


@command
async def run(
    agent: AgentId,
    spec: Spec = None,
    prompt: Prompt = None,
    data: Data = None,
    out: Out = None,
    force: Force = False,
    server: Server = None,
    timeout: Timeout = None,  # noqa: ASYNC109 - the task's time, not this coroutine's
    output_schema: OutputSchema = None,
    idempotency_key: IdempotencyKey = None,
    label: Labels = None,
    budget: Budgets = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Hand an agent a task, watch it, and fetch what it delivers.

    \b
    Examples:
      chargehand run backend-developer --spec service.yaml --out ./service
      chargehand run my-agent --data '{"number": 7}' --label team=billing
      chargehand run my-agent --data @input.json --json
      chargehand run my-agent --prompt "Tidy up." --budget usd=1.00 --budget tool_calls=100
      echo '{}' | chargehand run my-agent --data - --server http://127.0.0.1:8700

    \b
    Exit codes: 0 completed, 1 failed, 2 invalid input, 3 canceled, 4 not found,
    5 not allowed, 6 service unavailable, 130 interrupted.
    """
    with naming(spec):
        order = running.order_of(
            agent,
            spec=spec,
            prompt=prompt,
            data=data,
            labels=label or [],
            idempotency_key=idempotency_key,
            timeout_seconds=timeout,
            budget=budget or [],
            output_schema=output_schema,
        )
        return await running.run(
            order, server=server, out=out, force=force, as_json=as_json, wait=not no_wait
        )


@command
async def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the delivered service is written.")
    ] = Path("delivered/bookstore"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the demo that was stopped or killed.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the data folder, to look into the tasks afterwards.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
    fleet: Annotated[
        bool,
        typer.Option("--fleet", help="On a database server, a broker and workers: each process its own."),
    ] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, max=16, help="Of the fleet (2).")] = None,
    kill_workers: Annotated[
        bool,
        typer.Option("--kill-workers", help="Kill each worker of the fleet once, in the middle of its work."),
    ] = False,
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url", metavar="URL", help="The fleet's, instead of CHARGEHAND_DATABASE_URL."
        ),
    ] = None,
    broker_url: Annotated[
        str | None,
        typer.Option("--broker-url", metavar="URL", help="The fleet's, instead of CHARGEHAND_BROKER_URL."),
    ] = None,
) -> ExitCode:
    """Have the backend crew build the example service.

    It delivers code, tests, documentation, deployment and benchmarks. Everything runs in this process,
    on this machine, without a model and without a network. The demo keeps its tasks in ./chargehand-data,
    or in the folder that CHARGEHAND_DATA_DIR names.

    With --fleet a service and workers of their own processes carry it out, on a database of the demo's own and a
    broker. A process that dies is told and started anew, and the task goes on. The data folder
    (./chargehand-fleet) stays, since the database's rows name what is in it.

    \b
    Examples:
      chargehand demo
      chargehand demo --out ./bookstore --keep
      chargehand demo --resume
      chargehand demo --fleet --database-url postgresql://localhost/chargehand_demo \\
        --broker-url redis://localhost:6379/9 --kill-workers
    """
    fleet_options = {
        "--workers": workers,
        "--kill-workers": kill_workers or None,
        "--database-url": database_url,
        "--broker-url": broker_url,
    }
    lone = [name for name, value in fleet_options.items() if value is not None]
    if lone and not fleet:
        raise InvalidInput(f"{lone[0]} is of a fleet; add --fleet")
    options = None
    if fleet:
        options = demo_fleet.FleetOptions(
            workers=workers or 2,
            kills_workers=kill_workers,
            database_url=database_url,
            broker_url=broker_url,
        )
    return await demonstration.demo(
        out, resume=resume, keep=keep, force=force, as_json=as_json, fleet=options
    )


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(demo)
    app.command()(run)
