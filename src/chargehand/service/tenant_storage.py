"""Whether a tenant may store more: what its deliverables hold, against its limit.

Rule: as for the backlog (admission.py), no use case waits for a count of rows while an older one will do: to it is
added what this process has stored since. Nothing is refused but by a count that is fresh, and counting takes at most a
twentieth of the time; so retention makes room at once, and all processes together may go over by what they store within
about a minute.
"""

import asyncio
from dataclasses import dataclass

from chargehand.clock import Clock
from chargehand.errors import TenantStorageFull
from chargehand.service.tenant_limits import LimitsOfTenants
from chargehand.store import tenant_storage
from chargehand.store.database import Database

COUNT_SECONDS = 60.0
"""How old a count may be before the next is taken."""
FRESH_SECONDS = 1.0
"""How old a count may be that something is refused by."""
SHARE = 20
MOST_TENANTS = 10_000
RETRY_SECONDS = 60


@dataclass(slots=True)
class _Count:
    at: float
    bytes: int
    seconds_taken: float


class TenantStorage:
    """Keeps a count of each tenant that has a limit, and refuses by it."""

    def __init__(self, db: Database, clock: Clock, limits: LimitsOfTenants) -> None:
        self._db = db
        self._clock = clock
        self._limits = limits
        self._counts: dict[str, _Count] = {}
        self._counting: dict[str, asyncio.Task[_Count]] = {}

    async def check(self, tenant: str, more_bytes: int = 0) -> None:
        """TenantStorageFull when the tenant has no room for so many bytes more; for 0: when it has none at all."""
        most = (await self._limits.of(tenant)).storage_bytes
        if most is None:
            return
        allowed = most - max(1, more_bytes)
        if (await self._count(tenant, COUNT_SECONDS)).bytes <= allowed:
            return
        held = (await self._count(tenant, FRESH_SECONDS)).bytes
        if held > allowed:
            needs = f", and {more_bytes} more are to be stored" if more_bytes else ""
            raise TenantStorageFull(
                f"this tenant's deliverables hold {held} of {most} bytes{needs}; delete ended tasks"
                " (`chargehand prune`), or have the operator raise the tenant's storage_bytes",
                retry_after_seconds=RETRY_SECONDS,
            )

    async def used_bytes(self, tenant: str) -> int:
        """What the tenant's deliverables hold, as counted a short while ago."""
        return (await self._count(tenant, FRESH_SECONDS)).bytes

    def stored(self, tenant: str, more_bytes: int) -> None:
        """Deliverables were stored."""
        if tenant in self._counts:
            self._counts[tenant].bytes += more_bytes

    async def close(self) -> None:
        """Let counts that are under way end."""
        if self._counting:
            await asyncio.wait(self._counting.values())

    async def _count(self, tenant: str, most_seconds: float) -> _Count:
        known = self._counts.get(tenant)
        if known is not None:
            age = self._clock.monotonic() - known.at
            if age < max(most_seconds, SHARE * known.seconds_taken):
                return known
        if tenant not in self._counting:
            self._counting[tenant] = asyncio.create_task(self._take_count(tenant))
        return await asyncio.shield(self._counting[tenant])

    async def _take_count(self, tenant: str) -> _Count:
        began = self._clock.monotonic()
        try:
            async with self._db.read(tenant) as tx:
                held = await tenant_storage.delivered_bytes(tx, tenant)
        finally:
            del self._counting[tenant]
        now = self._clock.monotonic()
        if len(self._counts) >= MOST_TENANTS:
            self._counts.clear()
        self._counts[tenant] = count = _Count(now, held, now - began)
        return count
