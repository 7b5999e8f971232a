"""Which limits hold for a tenant: its own where it has such, else those of the settings.

Rule: whoever asks gets an answer from memory. The rows are read again when they were changed, as far as a signal tells,
and at the latest after FRESH_SECONDS; while they cannot be read, what was known last holds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from chargehand.clock import Clock
from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.domain.audit import Action
from chargehand.domain.tenant import TENANT_ID
from chargehand.domain.tenant_limits import LIMIT_NAMES, NO_TENANT_LIMITS, TenantLimits
from chargehand.domain.values import JsonObject
from chargehand.errors import ChargehandError, TenantNotFound
from chargehand.service.audit_records import record as record_done
from chargehand.store import tenant_limits, tenants
from chargehand.store.bus import BACK, LIMITS, Bus
from chargehand.store.database import Database, Tx, retried

log = structlog.stdlib.get_logger("chargehand.limits")

FRESH_SECONDS = 5.0


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
        """A tenant's limits as they are stored, and as they hold. TenantNotFound."""
        who.require(Scope.ADMIN_SERVICE)
        async with self._db.read() as tx:
            await _require_there(tx, tenant)
            own = (await tenant_limits.every(tx)).get(tenant, NO_TENANT_LIMITS)
        return OwnAndEffective(tenant, own, own.or_else(self._defaults))

    @retried
    async def replace(self, who: Principal, tenant: str, limits: TenantLimits) -> OwnAndEffective:
        """Give a tenant these limits of its own instead of those before; what is None is as the settings say.

        TenantNotFound: for an id that was misspelt they would hold for nobody, and nobody would be told.
        """
        who.require(Scope.ADMIN_SERVICE)
        async with self._db.write() as tx:
            await _require_there(tx, tenant)
            await tenant_limits.store(tx, tenant, limits, who.id)
            tx.after_commit(lambda: self._bus.publish(LIMITS, tenant))
            await record_done(tx, who, Action.TENANT_LIMITED, tenant, _told(limits))
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


def _told(limits: TenantLimits) -> JsonObject:
    """What the audit says: the limits of its own that the tenant has now, and no others."""
    own = {name: getattr(limits, name) for name in LIMIT_NAMES}
    return {name: value for name, value in own.items() if value is not None}


async def _require_there(tx: Tx, tenant: str) -> None:
    """The operator's own tenant is there also in a program that embeds the service, which has no rows of tenants."""
    if tenant == DEFAULT_TENANT or (
        TENANT_ID.fullmatch(tenant) and await tenants.get(tx, tenant) is not None
    ):
        return
    raise TenantNotFound(f"there is no tenant {tenant[:64]!r}")
