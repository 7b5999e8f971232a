"""Runs a Celery worker in this process, until it is told to stop."""

from collections.abc import Sequence
from typing import Any

from chargehand.domain.queues import Queues
from chargehand.engine.celery import PROCESS, ai_agents
from chargehand.settings import Settings


def run_worker(settings: Settings, *, queues: Sequence[str], node: str, pool: str, processes: int) -> int:
    """Carry out tasks until SIGTERM or Ctrl-C; the exit code. InvalidInput names a queue that there is not.

    What keeps the core from opening is raised.
    """
    chosen = tuple(queues) or Queues(settings.agent_queues).names
    Queues(settings.agent_queues).scope(chosen)
    worker: Any = ai_agents.Worker(
        hostname=node,
        queues=",".join(chosen),
        pool=pool,
        concurrency=processes,
        loglevel=settings.log_level.upper(),
        quiet=True,
        # What workers tell each other at their start and while they run is of no use here, and takes a second.
        without_gossip=True,
        without_mingle=True,
    )
    # Begins to carry tasks once Celery's signal handlers are there (CarryingStep): a stop is never a kill.
    worker.start()
    PROCESS.raise_failure()
    return int(worker.exitcode or 0)
