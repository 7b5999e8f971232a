"""What a model call is reserved for before it is made, and what it came to.

Rule: an unknown price is unknown. It is never taken for zero: without one a call is counted in tokens, or
refused.
"""

from dataclasses import dataclass
from enum import StrEnum


class ChargeStatus(StrEnum):
    """Where the charge of one model call stands."""

    RESERVED = "reserved"
    """The call is under way; the most that it may cost is taken from the pool."""
    SETTLED = "settled"
    """The answer came; what it cost is known and the rest was given back."""
    LOST = "lost"
    """Nobody knows what came of the call: it may have been paid, so all that was reserved stays spent."""
    RELEASED = "released"
    """The provider did not answer; all was given back."""


class UnknownPrice(StrEnum):
    """What to do with a model whose price nobody knows."""

    AUTO = "auto"
    """Count its tokens where no limit in USD applies; refuse it where one does."""
    REFUSE = "refuse"
    COUNT_TOKENS = "count_tokens"


MIN_OUTPUT_TOKENS = 256
"""An answer that must be shorter than this is not worth asking for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The most that a call may cost."""

    model: str
    input_tokens: int
    max_output_tokens: int
    input_usd_nanos: int | None
    """What the input costs at most; None: the price is unknown."""
    output_nanos_per_million: int
    unknown_price: UnknownPrice

    @property
    def is_priced(self) -> bool:
        """Whether the price is known."""
        return self.input_usd_nanos is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a call was allowed: the answer may be so long. `is_cut`: shorter than it might be, for the budget."""

    max_output_tokens: int
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a call used and cost. `usd_nanos` None: its price is unknown."""

    model: str
    usd_nanos: int | None
    input_tokens: int
    """With what was read from a cache or written to one."""
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int

    @property
    def is_told(self) -> bool:
        """Whether the provider said what was used; some compatible servers do not."""
        return self.input_tokens > 0 or self.output_tokens > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLimits:
    """What a tenant may use in a day (UTC). None: no limit."""

    usd_nanos: int | None = None
    tokens: int | None = None
