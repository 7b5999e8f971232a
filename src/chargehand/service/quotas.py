"""Whether a tenant may hand in another task, and what its models may use in a day: all its quotas in one place."""

import math
from functools import lru_cache

from chargehand.domain.charge import DayLimits
from chargehand.domain.tenant_limits import TenantLimits
from chargehand.errors import TooManyRequests
from chargehand.service.admission import Admission
from chargehand.service.tenant_limits import LimitsOfTenants
from chargehand.service.tenant_storage import TenantStorage
from chargehand.store.rates import Asked, Rate, Rates

MOST_KEPT = 10_000


class Quotas:
    """Refuses what is over a quota, with the time after which it makes sense to ask again."""

    def __init__(
        self, limits: LimitsOfTenants, rates: Rates, admission: Admission, storage: TenantStorage
    ) -> None:
        self.limits = limits
        self.admission = admission
        self.storage = storage
        self._rates = rates

    async def check_submission(self, tenant: str) -> None:
        """TooManyRequests, Unavailable, TenantStorageFull: not now. Where it may submit, that is counted."""
        limits = self.limits.at_hand(tenant) or await self.limits.of(tenant)
        if limits.submits_per_second is not None:
            await self._check_rate(tenant, limits.submits_per_second)
        await self._check_room(tenant, limits)

    async def check_room(self, tenant: str) -> None:
        """As `check_submission`, of a task that nobody submits just now: its rate does not count."""
        await self._check_room(tenant, await self.limits.of(tenant))

    async def _check_room(self, tenant: str, limits: TenantLimits) -> None:
        await self.admission.check(tenant, limits.backlog)
        if limits.storage_bytes is not None:
            await self.storage.check(tenant)

    async def day(self, tenant: str) -> DayLimits:
        """What the tenant's models may use in a day."""
        limits = await self.limits.of(tenant)
        return DayLimits(usd_nanos=limits.usd_nanos_per_day, tokens=limits.tokens_per_day)

    async def close(self) -> None:
        """Let what goes on beside the use cases end."""
        await self.admission.close()
        await self.storage.close()

    async def _check_rate(self, tenant: str, per_second: float) -> None:
        wait = (await self._rates.take_all(submits(tenant, per_second))).wait
        if wait > 0:
            seconds = max(1, math.ceil(wait))
            raise TooManyRequests(
                f"this tenant may submit {per_second:g} tasks a second (CHARGEHAND_TENANT_SUBMITS_PER_SECOND, or its"
                f" own limit); the next one in {seconds} s",
                retry_after_seconds=seconds,
            )


@lru_cache(maxsize=MOST_KEPT)
def submits(tenant: str, per_second: float) -> Asked:
    """The allowance that a tenant's submissions are counted in."""
    return ((f"submits:{tenant}", Rate.of_seconds(per_second)),)
