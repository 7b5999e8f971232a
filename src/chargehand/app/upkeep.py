"""One process of `chargehand upkeep`: takes part in the duties and carries out no task."""

import structlog

from chargehand.app.core import open_core
from chargehand.app.engines import Part
from chargehand.app.loop import stop_signals
from chargehand.app.readings import telling_numbers
from chargehand.app.supervisor import notify
from chargehand.settings import Settings

log = structlog.stdlib.get_logger("chargehand.upkeep")


async def keep_up(settings: Settings) -> None:
    """See to the duties that no other process holds, until SIGTERM, Ctrl-C or SIGBREAK."""
    with stop_signals() as stopping:
        async with open_core(settings, part=Part(carries=False)) as core, telling_numbers(core):
            log.info("upkeep ready")
            notify("READY=1")
            await stopping.wait()
            notify("STOPPING=1")
