"""What models cost: the operator's own prices first, then the table that genai-prices ships; no network.

Rule: a price that neither has is unknown (None), never zero; that holds for a server on this machine too. The
table is imported when the first price is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

from chargehand.domain.charge import Settlement
from chargehand.domain.money import NANOS_PER_USD, nanos_of, share_of
from chargehand.errors import InvalidInput
from chargehand.models.choice import ModelName

MILLION = 1_000_000
_PRICED_AS = {"openai-chat": "openai"}
"""Providers whose models stand in the table under another's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPrice:
    """An operator's price, in nano-dollars for a million tokens."""

    input: int
    output: int
    cache_read: int
    cache_write: int


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by model. `own` is keyed by `provider:model`, or by the bare name of the model."""

    own: Mapping[str, OwnPrice] = field(default_factory=dict[str, OwnPrice])

    def most(self, name: ModelName, input_tokens: int) -> tuple[int, int] | None:
        """The most that so much input may cost, and the output's price for a million; None: unknown.

        Whether the provider reads the input, or writes it to its cache, is its own affair: the dearer counts.
        """
        own = self._own(name)
        if own is not None:
            dearest = max(own.input, own.cache_write, own.cache_read)
            return share_of(dearest, input_tokens), own.output
        plain = _from_table(name, input_tokens, 0, 0, 0)
        if plain is None:
            return None
        cached = _from_table(name, input_tokens, 0, 0, input_tokens) or 0
        with_output = _from_table(name, input_tokens, MILLION, 0, 0) or 0
        return max(plain, cached), with_output - plain

    def cost(self, name: ModelName, used: Settlement) -> int | None:
        """What a call cost, in nano-dollars; None: its price is unknown."""
        read, written = used.cache_read_tokens, used.cache_write_tokens
        own = self._own(name)
        if own is None:
            return _from_table(name, used.input_tokens, used.output_tokens, read, written)
        plain = max(0, used.input_tokens - read - written)
        parts = (
            (own.input, plain), (own.output, used.output_tokens), (own.cache_read, read), (own.cache_write, written)
        )  # fmt: skip
        return share_of(sum(price * tokens for price, tokens in parts), 1)

    def _own(self, name: ModelName) -> OwnPrice | None:
        return self.own.get(str(name)) or self.own.get(name.model)


def _from_table(name: ModelName, read: int, written: int, cache_read: int, cache_write: int) -> int | None:
    """The table's price in nano-dollars, rounded up; None when it does not know the model."""
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - a tenth of a second that only models need

    provider = _PRICED_AS.get(name.provider.name, name.provider.name)
    if not _is_in_table(provider, name.model):
        return None
    usage = Usage(
        input_tokens=read,
        output_tokens=written,
        cache_read_tokens=cache_read or None,
        cache_write_tokens=cache_write or None,
    )
    try:
        price = calc_price(usage, name.model, provider_id=provider).total_price
    except (LookupError, ValueError):
        return None  # No price for a kind of token that was used.
    return -int(-price * NANOS_PER_USD // Decimal(1))


@lru_cache(maxsize=256)
def _is_in_table(provider: str, model: str) -> bool:
    """Whether the table knows the model; the table itself remembers only what it has found."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - as above

    try:
        get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return False
    return True


def own_prices(given: Mapping[str, Mapping[str, object]]) -> Mapping[str, OwnPrice]:
    """The operator's prices as CHARGEHAND_MODEL_PRICES has them; InvalidInput names what is wrong."""
    return {model: _own_price(model, values) for model, values in given.items()}


def _own_price(model: str, values: Mapping[str, object]) -> OwnPrice:
    known = {f"{name}_usd_per_million": name for name in ("input", "output", "cache_read", "cache_write")}
    where = f"CHARGEHAND_MODEL_PRICES[{model!r}]"
    found: dict[str, int] = {}
    for key, value in values.items():
        if key not in known:
            raise InvalidInput(f"{where} has no field {key!r}; it has: {', '.join(known)}")
        found[known[key]] = nanos_of(value, f"{where}.{key}")
    for key in ("input", "output"):
        if key not in found:
            raise InvalidInput(f"{where} lacks {key}_usd_per_million")
    return OwnPrice(**{"cache_read": found["input"], "cache_write": found["input"], **found})
