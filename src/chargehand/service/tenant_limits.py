"""Which limits hold for a tenant: its own where it has such, else those of the settings.

Rule: whoever asks gets an answer from memory. The rows are read again when they were changed, as far as a signal tells,
and at the latest after FRESH_SECONDS; while they cannot be read, what was known last holds.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from chargehand.clock import Clock
from chargehand.domain.access import Principal, Scope
from chargehand.domain.audit import Action
from chargehand.domain.tenant_limits import NO_TENANT_LIMITS, TenantLimits
from chargehand.errors import ChargehandError, NotFound
from chargehand.service.audit_records import record as record_done
from chargehand.store import tenant_limits
from chargehand.store.bus import BACK, LIMITS, Bus
from chargehand.store.database import Database, retried

log = structlog.stdlib.get_logger("chargehand.limits")

FRESH_SECONDS = 5.0
_TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class OwnAndEffective:
    """A tenant's own limits, and those that hold for it."""

    tenant: str
    own: TenantLimits
    effective: TenantLimits


class LimitsOfTenants:
    """Reads and changes tenants' limits."""

    def __init__(
        self, db: Database, clock: Clock, defaults: TenantLimits = NO_TENANT_LIMITS, bus: Bus | None = None
    ) -> None:
        """`defaults`: what the settings say for every tenant."""
        self._db = db
        self._clock = clock
        self._defaults = defaults
        self._bus = bus or Bus()
        self._bus.hear(LIMITS, lambda _: self._forget())
        self._bus.hear(BACK, lambda _: self._forget())
        self._effective: Mapping[str, TenantLimits] = {}
        self._concurrency: Mapping[str, int] = {}
        self._fresh_until = -math.inf
        self._changes = 0

    async def load(self) -> None:
        """Read them before anybody asks: who asks while they are read goes by what was known before."""
        await self._read()

    def at_hand(self, tenant: str) -> TenantLimits | None:
        """As `of` without any wait; None: they must be read anew."""
        if self._clock.monotonic() >= self._fresh_until:
            return None
        return self._effective.get(tenant, self._defaults)

    async def of(self, tenant: str) -> TenantLimits:
        """What holds for a tenant."""
        if self._clock.monotonic() >= self._fresh_until:
            await self._read()
        return self._effective.get(tenant, self._defaults)

    async def concurrency(self) -> Mapping[str, int]:
        """How many tasks may run at once, of those tenants that have a number of their own."""
        if self._clock.monotonic() >= self._fresh_until:
            await self._read()
        return self._concurrency

    async def read(self, who: Principal, tenant: str) -> OwnAndEffective:
        """A tenant's limits as they are stored, and as they hold; NotFound for what can be no tenant."""
        who.require(Scope.ADMIN_SERVICE)
        _require_name(tenant)
        async with self._db.read() as tx:
            own = (await tenant_limits.every(tx)).get(tenant, NO_TENANT_LIMITS)
        return OwnAndEffective(tenant, own, own.or_else(self._defaults))

    @retried
    async def replace(self, who: Principal, tenant: str, limits: TenantLimits) -> OwnAndEffective:
        """Give a tenant these limits of its own instead of those before; what is None is as the settings say."""
        who.require(Scope.ADMIN_SERVICE)
        _require_name(tenant)
        async with self._db.write() as tx:
            await tenant_limits.store(tx, tenant, limits, who.id)
            tx.after_commit(lambda: self._bus.publish(LIMITS, tenant))
            await record_done(tx, who, Action.TENANT_LIMITED, tenant)
        return OwnAndEffective(tenant, limits, limits.or_else(self._defaults))

    def _forget(self) -> None:
        self._changes += 1
        self._fresh_until = -math.inf

    async def _read(self) -> None:
        # At once, so that those who ask meanwhile go by what was known and only one reads.
        self._fresh_until = self._clock.monotonic() + FRESH_SECONDS
        changes = self._changes
        try:
            async with self._db.read() as tx:
                own = await tenant_limits.every(tx)
        except ChargehandError as error:
            log.warning("tenants' limits cannot be read now; those known last hold", error=error.message)
            return
        self._effective = {tenant: one.or_else(self._defaults) for tenant, one in own.items()}
        self._concurrency = {
            tenant: one.concurrency for tenant, one in own.items() if one.concurrency is not None
        }
        if changes != self._changes:
            # They were changed while they were read: nobody knows which of the two was found.
            self._fresh_until = -math.inf


def _require_name(tenant: str) -> None:
    if not _TENANT.fullmatch(tenant):
        raise NotFound("there is no such tenant; a tenant's id is 1 to 63 of a-z 0-9 -")
