"""Whether there is room for another task in the backlog: what is pending and due, in all and of each tenant.

Rule: no submission waits for a count of rows. A count is taken beside the work, at most one at a time and for at most a
twentieth of the time; in between, what this process accepts is added to it. So what all processes accept within about a
second may go over a limit, and nothing is refused but by a count that is fresh.
"""

import asyncio
import math
from dataclasses import dataclass, field

import structlog

from chargehand.clock import Clock
from chargehand.errors import ChargehandError, TooManyRequests, Unavailable
from chargehand.store import backlog
from chargehand.store.database import Database

log = structlog.stdlib.get_logger("chargehand.admission")

COUNT_SECONDS = 1.0
"""How old a count may be before the next is begun."""
FRESH_SECONDS = 0.05
"""How old a count may be that something is refused by."""
SHARE = 20
"""Counting takes at most one part in so many of the time."""
OLDEST_SECONDS = 10.0
"""However long counting takes, a new count is begun when the last is so old."""
LONGEST_PAUSE_SECONDS = 60


@dataclass(slots=True)
class _Count:
    """What was pending and due at a time of the monotonic clock, with what was accepted here since."""

    at: float
    whole: int
    of_tenant: dict[str, int]
    accepted: int = 0
    drained_a_second: float = 0.0
    is_in_doubt: bool = False
    """Whether something may be counted twice: it was being stored while the rows were counted."""
    _accepted_of: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, tenant: str) -> None:
        self.accepted += 1
        self._accepted_of[tenant] = self._accepted_of.get(tenant, 0) + 1

    def now(self) -> int:
        return self.whole + self.accepted

    def now_of(self, tenant: str) -> int:
        return self.of_tenant.get(tenant, 0) + self._accepted_of.get(tenant, 0)


class Admission:
    """Keeps the count, and refuses by it. A limit that is None is none."""

    def __init__(self, db: Database, clock: Clock, *, most: int | None) -> None:
        self._db = db
        self._clock = clock
        self._most = most
        self.counts = 0
        """How many counts have ended."""
        self._counts_tenants = False
        """Whether a count tells each tenant's part, which costs more: once a tenant with a limit was asked about."""
        self._count = _Count(-math.inf, 0, {})
        self._seconds_taken = 0.0
        self._counting: asyncio.Task[None] | None = None
        self._meanwhile: list[str] = []

    async def check(self, tenant: str, most_of_tenant: int | None) -> None:
        """TooManyRequests when the tenant's backlog is full, Unavailable when that of all is."""
        if self._most is None and most_of_tenant is None:
            return
        if most_of_tenant is not None and not self._counts_tenants:
            await self._count_tenants()
        if self._is_older_than(COUNT_SECONDS):
            self._begin_count()
        if self._refusal(tenant, most_of_tenant) is not None and (
            self._count.is_in_doubt or self._is_older_than(FRESH_SECONDS)
        ):
            await asyncio.shield(self._begin_count())
        if (refusal := self._refusal(tenant, most_of_tenant)) is not None:
            raise refusal

    def accepted(self, tenant: str, *, counts_before: int) -> None:
        """A task that is due was stored. `counts_before`: `counts` when that began."""
        self._count.add(tenant)
        if self.counts != counts_before:
            self._count.is_in_doubt = True
        if self._counting is not None:
            # Whether the count under way sees it nobody knows.
            self._meanwhile.append(tenant)

    async def close(self) -> None:
        """Let a count that is under way end."""
        if self._counting is not None:
            await asyncio.wait([self._counting])

    async def _count_tenants(self) -> None:
        """From now on by tenant; a count that was begun before this says nothing of them."""
        if self._counting is not None:
            await asyncio.wait([self._counting])
        self._counts_tenants = True
        await asyncio.shield(self._begin_count())

    def _refusal(self, tenant: str, most_of_tenant: int | None) -> ChargehandError | None:
        count = self._count
        if most_of_tenant is not None and count.now_of(tenant) >= most_of_tenant:
            pause = self._pause(count, count.now_of(tenant) - most_of_tenant + 1)
            return TooManyRequests(
                f"{most_of_tenant} tasks of this tenant are waiting to begin, which is the most"
                f" (CHARGEHAND_TENANT_BACKLOG_LIMIT, or its own limit); try again in {pause} s",
                retry_after_seconds=pause,
            )
        if self._most is not None and count.now() >= self._most:
            pause = self._pause(count, count.now() - self._most + 1)
            return Unavailable(
                f"{self._most} tasks are waiting to begin, which is the most (CHARGEHAND_BACKLOG_LIMIT); try again in"
                f" {pause} s",
                retry_after_seconds=pause,
            )
        return None

    @staticmethod
    def _pause(count: _Count, too_many: int) -> int:
        """When there is room again, as fast as tasks begin just now."""
        if count.drained_a_second <= 0:
            return LONGEST_PAUSE_SECONDS
        return min(LONGEST_PAUSE_SECONDS, max(1, math.ceil(too_many / count.drained_a_second)))

    def _is_older_than(self, seconds: float) -> bool:
        return self._clock.monotonic() - self._count.at >= max(
            seconds, min(SHARE * self._seconds_taken, OLDEST_SECONDS)
        )

    def _begin_count(self) -> asyncio.Task[None]:
        if self._counting is None:
            self._counting = asyncio.create_task(self._take_count())
        return self._counting

    async def _take_count(self) -> None:
        before, began = self._count, self._clock.monotonic()
        self._meanwhile.clear()
        expected = before.now()
        try:
            async with self._db.read() as tx:
                if not self._counts_tenants:
                    of_tenant, whole = dict[str, int](), await backlog.count(tx, most=self._most or 0)
                else:
                    of_tenant = await backlog.count_by_tenant(tx)
                    whole = sum(of_tenant.values())
        except ChargehandError as error:
            log.warning("the backlog cannot be counted now", error=error.message)
            return
        finally:
            self._counting = None
        self.counts += 1
        now = self._clock.monotonic()
        self._seconds_taken = now - began
        self._count = _Count(now, whole, of_tenant)
        for tenant in self._meanwhile:
            self._count.add(tenant)
        self._count.is_in_doubt = bool(self._meanwhile)
        if before.at > -math.inf:
            drained = (expected - whole) / max(began - before.at, FRESH_SECONDS)
            self._count.drained_a_second = max(0.0, (before.drained_a_second + drained) / 2)
