"""The embedded engine: N attempts at once in this process, woken by the commit that makes a task ready.

It alone holds the data folder, so at its start it knows that no other worker lives and takes back at once
what a dead one held.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog

from chargehand.clock import Clock
from chargehand.domain.task import FOREVER, Task
from chargehand.engine.carrier import AFTER_FAULT, Carrier
from chargehand.engine.carrier_loops import CarrierLoops
from chargehand.engine.duties import Duty
from chargehand.errors import StorageFull, Unavailable
from chargehand.service.upkeep import Upkeep

log = structlog.stdlib.get_logger("chargehand.engine")

LEAST_SECONDS_BETWEEN_SWEEPS = 0.05


class EmbeddedEngine(CarrierLoops):
    """Claims, carries, renews and sweeps. `start` and `stop` bound its life."""

    def __init__(
        self, *, carrier: Carrier, upkeep: Upkeep, clock: Clock, duties: Sequence[Duty] = ()
    ) -> None:
        super().__init__(carrier)
        self._duties = [self._tend, *(duty.do for duty in duties)]
        self._upkeep = upkeep
        self._clock = clock
        self._due = asyncio.Event()
        self._looks_at = FOREVER

    def wake(self, due: datetime | None = None, ready: Sequence[Task] = ()) -> None:
        """Tasks may be ready; `due`: or something is, earlier perhaps than what the engine sleeps for."""
        del ready
        self.carrier.wake()
        if due is not None and due < self._looks_at:
            self._looks_at = due
            self._due.set()

    async def start(self) -> None:
        """Take back what a dead worker held, then begin."""
        await self._upkeep.sweep(of_any_worker=True)
        await self.carrier.runner.copies.look()
        self.carrier.wake()
        self._loops = [asyncio.create_task(self.carrier.claim_loop()), asyncio.create_task(self._tend_loop())]

    async def stop(self, grace_seconds: float) -> None:
        """Begin nothing more; let running steps end for so long; give the rest back. No attempt is spent."""
        await self.carrier.stop(grace_seconds, self._loops[0], asyncio.Event())
        self._loops[1].cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.carrier.runner.copies.close()
        await self.carrier.runner.workplaces.close()

    async def _tend_loop(self) -> None:
        while True:
            # What is heard of meanwhile may be due earlier than what it finds.
            self._looks_at = FOREVER
            times = [await self._see_to(duty) for duty in self._duties]
            due = min((time for time in times if time is not None), default=None)
            await asyncio.sleep(LEAST_SECONDS_BETWEEN_SWEEPS)
            latest = self._clock.now() + self.carrier.lease / 3
            self._looks_at = min(self._looks_at, due or latest, latest)
            while self._clock.now() < self._looks_at:
                self._due.clear()
                await self._clock.sleep_until(self._looks_at, self._due)
            # A delayed task may be due by now; and once in a while we look without having been told.
            self.carrier.wake()

    async def _see_to(self, duty: Callable[[datetime], Awaitable[datetime | None]]) -> datetime | None:
        """What goes wrong with one keeps nobody from the others."""
        try:
            return await duty(self._clock.now())
        except (StorageFull, Unavailable) as error:
            log.warning("no upkeep is possible now; trying again", error=error.message)
        except Exception:
            log.exception("upkeep failed; trying again")
        return self._clock.now() + AFTER_FAULT

    async def _tend(self, now: datetime) -> datetime | None:
        del now
        await self.carrier.renew()
        await self.carrier.runner.copies.sweep(but_not=self.carrier.attempts_carried())
        return await self._upkeep.sweep(but_not=self.carrier.attempts_carried())
