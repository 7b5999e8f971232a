"""What one request may cost at most, and what its answer came to: prices and the operator's policy put together."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from chargehand.domain.charge import Estimate, Settlement, UnknownPrice
from chargehand.models.choice import ModelName
from chargehand.models.prices import Prices

MAX_TOLD_TOKENS = 100_000_000
"""Of one answer; no model reads or writes so many, and sums of them stay far from what a column holds."""


def believable(told: Mapping[str, int]) -> dict[str, int]:
    """The numbers of tokens; none of them told when one can be no such number, so that what was reserved counts."""
    if all(0 <= count <= MAX_TOLD_TOKENS for count in told.values()):
        return dict(told)
    return dict.fromkeys(told, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """How model calls are reckoned."""

    prices: Prices = field(default_factory=Prices)
    unknown_price: UnknownPrice = UnknownPrice.AUTO
    max_output_tokens: int = 8_192

    def estimate(self, name: ModelName, input_tokens: int) -> Estimate:
        """The most that a request of at most so many tokens may cost."""
        price = self.prices.most(name, input_tokens)
        return Estimate(
            model=str(name),
            input_tokens=input_tokens,
            max_output_tokens=self.max_output_tokens,
            input_usd_nanos=None if price is None else price[0],
            output_nanos_per_million=0 if price is None else price[1],
            unknown_price=self.unknown_price,
        )

    def settlement(self, name: ModelName, usage: Mapping[str, int]) -> Settlement:
        """What an answer cost, from the four numbers of tokens that its provider told."""
        used = Settlement(model=str(name), usd_nanos=None, **usage)
        return replace(used, usd_nanos=self.prices.cost(name, used))
