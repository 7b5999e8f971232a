"""`chargehand worker` and `chargehand upkeep`: the processes of a fleet beside `chargehand serve`."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import synchronous

if TYPE_CHECKING:
    from chargehand.cli import fleet
else:
    fleet = Lazily("chargehand.cli.fleet")


class Pool(StrEnum):
    """Celery's pools that a worker may have."""

    THREADS = "threads"
    PREFORK = "prefork"
    SOLO = "solo"


class LogLevel(StrEnum):
    """As CHARGEHAND_LOG_LEVEL."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@synchronous
def worker(
    slots: Annotated[
        int | None,
        typer.Option("--slots", min=1, max=1000, help="Tasks at once, instead of CHARGEHAND_SLOTS (8)."),
    ] = None,
    queues: Annotated[
        str | None,
        typer.Option(
            "--queues",
            metavar="NAME,NAME",
            help="Serve only the agents of these queues (CHARGEHAND_AGENT_QUEUES). Without it: every agent.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="What Celery's tools call this worker; by default its process."),
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option("--log-level", help="Instead of CHARGEHAND_LOG_LEVEL (info).")
    ] = None,
    pool: Annotated[
        Pool, typer.Option("--pool", help="Celery's pool; prefork makes several processes (not on Windows).")
    ] = Pool.THREADS,
    processes: Annotated[
        int, typer.Option("--processes", min=1, max=256, help="Of a prefork pool; each has its own slots.")
    ] = 1,
) -> ExitCode:
    """Carry out tasks as one worker of a fleet, until Ctrl-C or SIGTERM.

    It needs a database server and a broker (CHARGEHAND_DATABASE_URL, CHARGEHAND_BROKER_URL), as
    `chargehand serve --engine celery` does. Told to stop, it claims nothing more, lets running steps end for
    CHARGEHAND_SHUTDOWN_GRACE_SECONDS and gives the rest back; told again, it does so at once.

    \b
    Examples:
      chargehand worker
      chargehand worker --slots 32 --name builder-1
      CHARGEHAND_AGENT_QUEUES='{"backend-developer": "builds"}' chargehand worker --queues builds
    """
    return fleet.worker(
        slots=slots,
        queues=queues,
        name=name,
        log_level=log_level.value if log_level else None,
        pool=pool.value,
        processes=processes,
    )


@synchronous
def upkeep() -> ExitCode:
    """See to what one process does for all: dead workers' tasks, timers, deadlines, overdue approvals.

    Services and workers see to it too, so a process of its own is needed only where they shall not. It may
    run anywhere, any number of times: each duty is done by one process at a time.

    \b
    Example:
      chargehand upkeep
    """
    return fleet.upkeep()


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(worker)
    app.command()(upkeep)
