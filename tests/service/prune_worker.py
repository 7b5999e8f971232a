"""Prunes a data folder in a process that a test kills: `prune_worker.py FOLDER NOW`."""

import asyncio
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from chargehand.domain.retention import PruneOrder
from chargehand.service import retention
from tests import given


async def main(folder: Path, now: datetime) -> None:
    """One tree a transaction, so that there is a second one to die in."""
    retention.ROWS_AT_ONCE = 1
    clock = given.TestClock(now)
    async with given.a_core(folder, clock=clock, with_engine=False) as core:
        await core.retention.prune(given.ME, PruneOrder(older_than=timedelta(days=30)))
        clock.jump(time.time() - clock.now().timestamp())
        await core.retention.sweep(given.ME)


asyncio.run(main(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])))
