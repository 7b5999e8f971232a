"""The work of `chargehand worker` and `chargehand upkeep`."""

import logging
import os
import socket

from chargehand import __version__
from chargehand.app import loop
from chargehand.app.fleet import check_fleet
from chargehand.app.preflight import unknown_variables
from chargehand.app.upkeep import keep_up
from chargehand.cli.configured import load_settings
from chargehand.cli.exits import ExitCode, Told, say
from chargehand.errors import InvalidInput
from chargehand.settings import Settings
from chargehand.telemetry.logs import configure_logging


def worker(
    *,
    slots: int | None,
    queues: str | None,
    name: str | None,
    log_level: str | None,
    pool: str,
    processes: int,
) -> ExitCode:
    """Carry out tasks until told to stop."""
    given = {"SLOTS": slots, "LOG_LEVEL": log_level, "ENGINE": "celery"}
    # Also for the processes of a prefork pool, which read their settings themselves.
    os.environ.update({f"CHARGEHAND_{key}": str(value) for key, value in given.items() if value is not None})
    settings = _settings()
    if settings.log_level != "debug":
        # One line for each message, which tells nothing that the attempts' own lines do not.
        for noisy in ("celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
    # Not before the settings are known to be right; importing the Celery app reads them.
    from chargehand.app import worker as wiring  # noqa: PLC0415 - as said above
    from chargehand.engine.celery_worker import run_worker  # noqa: PLC0415 - as said above

    del wiring
    node = f"{name or f'chargehand-{os.getpid()}'}@{socket.gethostname()}"
    chosen = [one.strip() for one in (queues or "").split(",") if one.strip()]
    many = f"{processes} processes of {settings.slots}" if pool == "prefork" else str(settings.slots)
    say(f"Chargehand {__version__} worker {node}: {many} slots; stop it with Ctrl-C or SIGTERM")
    code = run_worker(settings, queues=chosen, node=node, pool=pool, processes=processes)
    if code:
        # So that a supervisor starts it again; Celery's log has the reason.
        raise Told(["the worker ended by an error; what was running goes on elsewhere"], ExitCode.UNAVAILABLE)
    say("worker stopped; what was running goes on elsewhere")
    return ExitCode.OK


def upkeep() -> ExitCode:
    """See to the duties until told to stop."""
    settings = _settings()
    if settings.database_url is None:
        raise InvalidInput(
            "chargehand upkeep is for a database server (CHARGEHAND_DATABASE_URL); on SQLite the service sees to it all"
        )
    say(
        f"Chargehand {__version__} upkeep: duties that no other process holds; stop it with Ctrl-C or SIGTERM"
    )
    loop.run(keep_up(settings))
    say("upkeep stopped; others take its duties over")
    return ExitCode.OK


def _settings() -> Settings:
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    for warning in unknown_variables(os.environ):
        say(warning)
    check_fleet(settings)
    return settings
