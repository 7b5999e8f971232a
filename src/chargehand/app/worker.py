"""One process of `chargehand worker`: the core without HTTP, opened in the loop that engine/celery_process.py runs.

Celery imports this module by its name (`imports` of engine/celery.py), because wiring is above the engine.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import structlog

from chargehand.app import loop
from chargehand.app.core import open_core
from chargehand.app.engines import Part
from chargehand.app.readings import telling_numbers
from chargehand.app.supervisor import notify
from chargehand.engine.celery_process import PROCESS
from chargehand.engine.fleet import FleetEngine
from chargehand.errors import InvalidInput
from chargehand.settings import Settings

log = structlog.stdlib.get_logger("chargehand.worker")


@asynccontextmanager
async def open_worker(queues: Sequence[str]) -> AsyncGenerator[FleetEngine, None]:
    """Begin to carry out tasks of the agents of these queues; at the end give back what is running."""
    settings = Settings()
    if settings.engine != "celery":
        raise InvalidInput("a worker needs CHARGEHAND_ENGINE=celery, here and where `chargehand serve` runs")
    async with open_core(settings, part=Part(is_worker=True, queues=queues)) as core, telling_numbers(core):
        engine = core.engine
        if not isinstance(engine, FleetEngine):
            raise InvalidInput("a worker needs CHARGEHAND_DATABASE_URL")
        log.info("worker ready", worker=engine.carrier.worker, slots=engine.slots, queues=list(queues))
        notify("READY=1", f"STATUS=carries tasks in {engine.slots} slots")
        yield engine
        notify("STOPPING=1")
        log.info("worker stopping; running steps may end", running=engine.running)


PROCESS.opener, PROCESS.run = open_worker, loop.run
