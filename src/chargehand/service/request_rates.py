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
class Counted:
    """A request as it was counted: which allowances it fell under, and what is left of each."""

    names: tuple[str, ...]
    rates: tuple[Rate, ...]
    taken: Taken

    @property
    def wait_seconds(self) -> int:
        """0: it may go on; else after how many whole seconds it makes sense to come back."""
        return math.ceil(self.taken.wait - 1e-9) if self.taken.wait > 0 else 0

    @property
    def exhausted(self) -> str:
        """Of a refused request: the name of the allowance that is free again last."""
        waits = [
            whole_in - (rate.burst - 1) / rate.per_second
            for rate, whole_in in zip(self.rates, self.taken.whole_in, strict=True)
        ]
        return self.names[waits.index(max(waits))]

    def policy(self) -> str:
        """The field RateLimit-Policy: each allowance, with so many requests in so many seconds."""
        return _policy(self.names, self.rates)

    def standing(self) -> str:
        """The field RateLimit: how many requests are left of each, and in how many seconds all are back."""
        return ", ".join(
            f'"{name}";r={rate.left(whole_in)};t={math.ceil(whole_in)}'
            for name, rate, whole_in in zip(self.names, self.rates, self.taken.whole_in, strict=True)
        )


@lru_cache(maxsize=1024)
def _policy(names: tuple[str, ...], rates: tuple[Rate, ...]) -> str:
    return ", ".join(
        f'"{name}";q={rate.burst};w={max(1, round(rate.burst / rate.per_second))}'
        for name, rate in zip(names, rates, strict=True)
    )


@lru_cache(maxsize=1024)
def _rate(per_second: float, burst_seconds: float) -> Rate:
    return Rate.of_seconds(per_second, burst_seconds)


class RequestRates:
    """Counts requests."""

    def __init__(self, limits: LimitsOfTenants, rates: Rates, requests: RequestLimits) -> None:
        self._limits = limits
        self._rates = rates
        self._requests = requests

    async def take(self, who: Principal | None, address: str) -> Counted | None:
        """Count a request; None: no limit applies to it. `address`: what stands for where it came from."""
        asked: list[tuple[str, Rate]] = []
        names: list[str] = []
        burst = self._requests.burst_seconds
        if who is not None:
            if (most := self._requests.key_per_second) is not None:
                names.append(KEY)
                asked.append((f"requests:key:{who.id}", _rate(most, burst)))
            if (most := (await self._limits.of(who.tenant)).requests_per_second) is not None:
                names.append(TENANT)
                asked.append((f"requests:tenant:{who.tenant}", _rate(most, burst)))
        if (most := self._requests.address_per_second) is not None:
            names.append(ADDRESS)
            asked.append((f"requests:address:{address}", _rate(most, burst)))
        if not asked:
            return None
        taken = await self._rates.take_all(asked)
        return Counted(tuple(names), tuple(rate for _, rate in asked), taken)

    async def used(self, tenant: str) -> dict[str, tuple[int, float]]:
        """By the names of a tenant's rates: how many are used now, and in how many seconds all are back."""
        limits = await self._limits.of(tenant)
        asked: dict[str, tuple[str, Rate]] = {}
        if (most := limits.requests_per_second) is not None:
            rate = _rate(most, self._requests.burst_seconds)
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
