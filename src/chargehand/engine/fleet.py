"""One member of a fleet: carries attempts beside other processes, and stops by itself when its leases may be gone.

Rule: it hears of ready tasks (`wake`, `heard`) and looks into the rows by itself too, so that a hint that is lost,
late or double costs time only. What one process sees to for all (the sweeper, …) is not its own: engine/duties.py.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from chargehand.clock import Clock
from chargehand.domain.task import Task
from chargehand.engine.carrier import Carrier
from chargehand.engine.carrier_loops import CarrierLoops
from chargehand.errors import StorageFull, Unavailable

log = structlog.stdlib.get_logger("chargehand.engine")

LOOK_SECONDS = 1.0
"""How often it looks for ready tasks without having been told."""


class FleetEngine(CarrierLoops):
    """Claims, carries and renews. `start` and `stop` bound its life."""

    def __init__(self, *, carrier: Carrier, clock: Clock) -> None:
        super().__init__(carrier)
        self._clock = clock
        self._hurry = asyncio.Event()

    def wake(self, due: datetime | None = None, ready: Sequence[Task] = ()) -> None:
        """Tasks may be ready."""
        del due, ready
        self.carrier.wake()

    async def heard(self, limit_seconds: float) -> None:
        """A wake-up came from outside: return once it has been looked after, or after so long."""
        try:
            async with asyncio.timeout(limit_seconds):
                await self.carrier.passed()
        except TimeoutError:
            return

    def hurry(self) -> None:
        """A stop that is under way waits no longer for steps to end."""
        self._hurry.set()

    def begin_stop(self) -> None:
        """Claim nothing more; `stop` follows."""
        self.carrier.runner.stopping.set()
        self.carrier.wake()

    async def start(self) -> None:
        """Begin."""
        await self.carrier.runner.copies.look()
        self.carrier.wake()
        loops = (
            self.carrier.claim_loop(),
            self._look_loop(),
            self._renew_loop(),
            self._guard_loop(),
        )
        self._loops = [asyncio.create_task(loop) for loop in loops]

    async def stop(self, grace_seconds: float) -> None:
        """Begin nothing more; let running steps end for so long; give the rest back. No attempt is spent."""
        claiming, *others = self._loops
        await self.carrier.stop(grace_seconds, claiming, self._hurry)
        for loop in others:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.carrier.runner.copies.close()
        await self.carrier.runner.workplaces.close()

    async def _look_loop(self) -> None:
        """Look once in a while, not in step with the others."""
        while True:
            await asyncio.sleep(LOOK_SECONDS * (0.75 + self._clock.random() / 4))
            if self.carrier.free > 0:
                self.carrier.wake()

    async def _renew_loop(self) -> None:
        pause = min(1.0, self.carrier.lease.total_seconds() / 8)
        while True:
            await asyncio.sleep(pause)
            try:
                await self.carrier.renew()
                await self.carrier.runner.copies.sweep(but_not=self.carrier.attempts_carried())
            except (StorageFull, Unavailable) as error:
                log.warning("leases cannot be renewed now; trying again", error=error.message)
            except Exception:
                log.exception("renewing leases failed; trying again")

    async def _guard_loop(self) -> None:
        """Beside the renewal, which may itself be waiting for a database that does not answer."""
        pause = self.carrier.lease / timedelta(seconds=20)
        while True:
            await asyncio.sleep(min(0.5, pause))
            for task_id in self.carrier.drop_unsure():
                log.warning("its lease could not be renewed in time; the attempt is dropped", task_id=task_id)
