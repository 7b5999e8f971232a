"""What a tenant asks of a model outside of any task: out of its day alone, reserved before and settled after.

Rule: a request that no task pays for is still paid for; where the day has no room for it, it is not made.
"""

from dataclasses import dataclass, field

from chargehand.domain.charge import DayLimits, Estimate, Settlement
from chargehand.service import spending
from chargehand.store import charges
from chargehand.store.database import Database, retried


@dataclass(slots=True)
class DayAccount:
    """One request's account with its tenant's day."""

    db: Database
    tenant: str
    limits: DayLimits
    _reserved: spending.DayShare | None = field(default=None)

    @retried
    async def reserve(self, estimate: Estimate) -> bool:
        """Take the most that the request may cost; False when the day has less left or its price is unknown."""
        async with self.db.write() as tx:
            self._reserved = await spending.reserve_of_day(tx, self.tenant, estimate, self.limits)
        return self._reserved is not None

    @retried
    async def settle(self, used: Settlement) -> None:
        """Give back to the day of the reservation what was not needed."""
        held = self._reserved
        if held is None or not used.is_told:
            return
        usd = held.usd_nanos if used.usd_nanos is None else used.usd_nanos
        tokens = used.input_tokens + used.output_tokens
        async with self.db.write() as tx:
            await charges.add_to_day(tx, self.tenant, held.day, usd - held.usd_nanos, tokens - held.tokens)

    @retried
    async def release(self) -> None:
        """It came to nothing and cost nothing."""
        if (held := self._reserved) is not None:
            async with self.db.write() as tx:
                await charges.add_to_day(tx, self.tenant, held.day, -held.usd_nanos, -held.tokens)
