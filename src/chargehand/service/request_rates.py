"""How fast requests may come: of one key, of one tenant, from one address; all of it in one look.

Rule: a request is counted once, in each allowance that it falls under, or, where one of them is used up, in none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from chargehand.domain.access import Principal
from chargehand.service.quotas import submits
from chargehand.service.tenant_limits import LimitsOfTenants
from chargehand.store.rates import Rate, Rates, Taken

MOST_PLANS = 10_000
KEY, TENANT, ADDRESS = "key", "tenant", "address"
SETTING_OF: Mapping[str, str] = {
    KEY: "CHARGEHAND_KEY_REQUESTS_PER_SECOND",
    TENANT: "CHARGEHAND_TENANT_REQUESTS_PER_SECOND, or its own limit",
    ADDRESS: "CHARGEHAND_ADDRESS_REQUESTS_PER_SECOND",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Requests a second, None: as many as come; a tenant's stand among its limits."""

    key_per_second: float | None = None
    address_per_second: float | None = None
    burst_seconds: float = 2.0
    """So many seconds' worth may come at once."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What requests of one kind are counted in; made once and kept, since it is looked at for each of them."""

    names: tuple[str, ...]
    asked: tuple[tuple[str, Rate], ...]
    policy: bytes


@dataclass(frozen=True, slots=True)
class Counted:
    """A request as it was counted: which allowances it fell under, and what is left of each."""

    plan: _Plan
    taken: Taken

    @property
    def wait_seconds(self) -> int:
        """0: it may go on; else after how many whole seconds it makes sense to come back."""
        return math.ceil(self.taken.wait - 1e-9) if self.taken.wait > 0 else 0

    def exhausted(self) -> tuple[str, Rate]:
        """Of a refused request: the allowance that is free again last."""
        waits = [
            whole_in - (rate.burst - 1) / rate.per_second
            for (_, rate), whole_in in zip(self.plan.asked, self.taken.whole_in, strict=True)
        ]
        index = waits.index(max(waits))
        return self.plan.names[index], self.plan.asked[index][1]

    def policy(self) -> bytes:
        """The field RateLimit-Policy: each allowance, with so many requests in so many seconds."""
        return self.plan.policy

    def standing(self) -> bytes:
        """The field RateLimit: how many requests are left of each, and in how many seconds all are back."""
        told = [
            f'"{name}";r={asked[1].left(whole_in)};t={math.ceil(whole_in)}'
            for name, asked, whole_in in zip(
                self.plan.names, self.plan.asked, self.taken.whole_in, strict=True
            )
        ]
        return ", ".join(told).encode()


class RequestRates:
    """Counts requests."""

    def __init__(self, limits: LimitsOfTenants, rates: Rates, requests: RequestLimits) -> None:
        self._limits = limits
        self._rates = rates
        self._requests = requests
        self._plan = lru_cache(maxsize=MOST_PLANS)(self._planned)

    async def take(self, who: Principal | None, address: str) -> Counted | None:
        """Count a request; None: no limit applies to it. `address`: what stands for where it came from."""
        if who is None:
            plan = self._plan(None, None, None, address)
        else:
            limits = self._limits.at_hand(who.tenant) or await self._limits.of(who.tenant)
            plan = self._plan(who.id, who.tenant, limits.requests_per_second, address)
        if not plan.names:
            return None
        return Counted(plan, await self._rates.take_all(plan.asked))

    def _planned(
        self, key_id: str | None, tenant: str | None, most_of_tenant: float | None, address: str
    ) -> _Plan:
        wanted = (
            (KEY, key_id, self._requests.key_per_second),
            (TENANT, tenant, most_of_tenant),
            (ADDRESS, address, self._requests.address_per_second),
        )
        burst = self._requests.burst_seconds
        found = [
            (name, f"requests:{name}:{whose}", Rate.of_seconds(most, burst))
            for name, whose, most in wanted
            if whose is not None and most is not None
        ]
        told = [
            f'"{name}";q={rate.burst};w={max(1, round(rate.burst / rate.per_second))}'
            for name, _, rate in found
        ]
        return _Plan(
            tuple(name for name, _, _ in found),
            tuple((key, rate) for _, key, rate in found),
            ", ".join(told).encode(),
        )

    async def used(self, tenant: str) -> dict[str, tuple[int, float]]:
        """By the names of a tenant's rates: how many are used now, and in how many seconds all are back."""
        limits = await self._limits.of(tenant)
        asked: dict[str, tuple[str, Rate]] = {}
        if (most := limits.requests_per_second) is not None:
            rate = Rate.of_seconds(most, self._requests.burst_seconds)
            asked["requests_per_second"] = (f"requests:tenant:{tenant}", rate)
        if limits.submits_per_second is not None:
            [asked["submits_per_second"]] = submits(tenant, limits.submits_per_second)
        if not asked:
            return {}
        seen = await self._rates.look(tuple(asked.values()))
        return {
            name: (rate.burst - rate.left(whole_in), whole_in)
            for (name, (_, rate)), whole_in in zip(asked.items(), seen.whole_in, strict=True)
        }
