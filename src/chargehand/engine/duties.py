"""Does the duties that this process holds, and waits to take over those that others hold.

Rule: a duty is begun only under a lease, and cut off once another process has it, or when the lease could not be
prolonged for as long again as it lasts. It is safe to do twice (service/duties.py): a slow database must not keep it
from ever being done to its end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from chargehand.clock import Clock
from chargehand.domain.task import FOREVER
from chargehand.errors import StorageFull, Unavailable
from chargehand.service.duties import DutyLeases

log = structlog.stdlib.get_logger("chargehand.duties")

MAX_LEASE_SECONDS = 10.0
LEAST_PAUSE_SECONDS = 0.05
AFTER_FAULT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Something to see to. `do` is given the time and says when it is to be done next, if it knows.

    It is done again after `every_seconds` at the latest.
    """

    name: str
    do: Callable[[datetime], Awaitable[datetime | None]]
    every_seconds: float


def duty_lease(lease_seconds: float) -> timedelta:
    """Never longer than a worker's: when both die together, neither makes the other's takeover later."""
    return timedelta(seconds=min(lease_seconds, MAX_LEASE_SECONDS))


class DutyRounds:
    """The duties in which this process takes part. `start` and `stop` bound their time."""

    def __init__(self, *, duties: Sequence[Duty], leases: DutyLeases, clock: Clock) -> None:
        self._rounds = [_Round(duty, leases, clock) for duty in duties]
        self._leases = leases
        self._loops: list[asyncio.Task[None]] = []

    @property
    def held(self) -> list[str]:
        """The names of those that this process sees to now."""
        return [one.duty.name for one in self._rounds if one.is_held]

    def wake(self, due: datetime | None, *, only: str | None = None) -> None:
        """Something will have to be done at this time; `only`: by the duty of this name."""
        for one in self._rounds:
            if only is None or one.duty.name == only:
                one.wake(due)

    def start(self) -> None:
        """Begin."""
        self._loops = [asyncio.create_task(one.run(), name=f"duty {one.duty.name}") for one in self._rounds]

    async def stop(self) -> None:
        """Cut off what is being done, and let others take over at once."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if self.held:
            try:
                await self._leases.give_up()
            except (StorageFull, Unavailable) as error:
                log.warning("duties could not be given up; others take them later", error=error.message)


class _Round:
    """One duty: take its lease, do it, wait, prolong."""

    def __init__(self, duty: Duty, leases: DutyLeases, clock: Clock) -> None:
        self.duty = duty
        self.is_held = False
        self._leases = leases
        self._clock = clock
        self._due = asyncio.Event()
        self._next_at = clock.now()
        self._sure_until = 0.0

    def wake(self, due: datetime | None) -> None:
        if self.is_held and due is not None and due < self._next_at:
            self._next_at = due
            self._due.set()

    async def run(self) -> None:
        while True:
            try:
                await self._once()
            except (StorageFull, Unavailable) as error:
                log.warning("a duty cannot be done now", duty=self.duty.name, error=error.message)
                self._next_at = self._clock.now()
                await asyncio.sleep(AFTER_FAULT_SECONDS)
            except Exception:
                log.exception("a duty failed; trying again", duty=self.duty.name)
                self._next_at = self._clock.now()
                await asyncio.sleep(AFTER_FAULT_SECONDS)
            await self._wait()

    async def _once(self) -> None:
        other_until = await self._hold_in_time()
        if other_until is not None:
            self._next_at = other_until
        elif self._clock.now() >= self._next_at:
            # What is heard of meanwhile may be due earlier than what it finds.
            self._next_at = FOREVER
            due = await self._do()
            latest = self._clock.now() + timedelta(seconds=self.duty.every_seconds)
            self._next_at = min(self._next_at, due or latest, latest)

    async def _hold(self) -> datetime | None:
        """Take or prolong the lease: None. Else until when somebody else has it."""
        begun_at = self._clock.monotonic()
        lease = self._leases.lease.total_seconds()
        if self.is_held and begun_at < self._sure_until - lease / 2:
            return None
        other_until = await self._leases.take(self.duty.name)
        if (other_until is None) != self.is_held:
            self.is_held = other_until is None
            log.info("duty taken" if self.is_held else "duty lost", duty=self.duty.name)
        self._sure_until = begun_at + lease * 0.9 if self.is_held else 0.0
        return other_until

    async def _hold_in_time(self) -> datetime | None:
        """As `_hold`; Unavailable after a lease, in which whoever has the duty may have died."""
        try:
            async with asyncio.timeout(self._leases.lease.total_seconds()):
                return await self._hold()
        except TimeoutError:
            raise Unavailable("the database did not say in time whose duty it is") from None

    async def _do(self) -> datetime | None:
        """Do it once, prolonging the lease as long as that takes; cut it off when the lease is lost."""
        doing = asyncio.ensure_future(self.duty.do(self._clock.now()))
        try:
            while not doing.done():
                await asyncio.wait([doing], timeout=self._third)
                if not doing.done() and not await self._may_go_on():
                    log.warning("a duty took longer than its lease; it is cut off", duty=self.duty.name)
                    return None
            return await doing
        finally:
            if not doing.done():
                doing.cancel()
                await asyncio.gather(doing, return_exceptions=True)

    @property
    def _third(self) -> float:
        return self._leases.lease.total_seconds() / 3

    async def _may_go_on(self) -> bool:
        try:
            return await self._hold_in_time() is None
        except (StorageFull, Unavailable):
            return self._clock.monotonic() < self._sure_until + self._leases.lease.total_seconds()

    async def _wait(self) -> None:
        # A pause in any case; not in step with other processes.
        await asyncio.sleep(LEAST_PAUSE_SECONDS * (1 + self._clock.random()))
        prolong_at = self._clock.now() + timedelta(seconds=self._third)
        await self._clock.sleep_until(
            min(self._next_at, prolong_at) if self.is_held else self._next_at, self._due
        )
        self._due.clear()
