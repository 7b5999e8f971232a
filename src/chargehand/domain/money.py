"""Money: whole nano-dollars inside, decimal text outside. Nothing in between rounds.

A price of 0.05 USD for a million tokens is 50 nano-dollars a token; so sums of calls add up exactly.
"""

from decimal import Decimal, InvalidOperation

from chargehand.errors import InvalidInput

NANOS_PER_USD = 10**9
MAX_USD = 1_000_000
"""More than anybody means; it keeps sums far from what a column holds."""


def nanos_of(value: object, name: str) -> int:
    """The nano-dollars of `"1.50"`, `1.5` or `2`; InvalidInput names the field."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidInput(f'{name} is an amount in USD such as "1.50", not {value!r}')
    try:
        # Through text: 0.1 is meant as one tenth, not as the nearest binary fraction.
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise InvalidInput(f'{name} is an amount in USD such as "1.50", not {str(value)[:40]!r}')
    if not 0 <= amount <= MAX_USD:
        raise InvalidInput(f"{name} is from 0 to {MAX_USD} USD, not {str(value)[:40]}")
    nanos = amount * NANOS_PER_USD
    if isinstance(value, float):
        return int(nanos)  # Digits that a binary fraction trails are nobody's wish.
    if nanos != nanos.to_integral_value():
        raise InvalidInput(f"{name} has at most nine digits after the point, not {str(value)[:40]}")
    return int(nanos)


def usd_text(nanos: int) -> str:
    """The amount as decimal text: at least two digits after the point, no more than are needed."""
    whole, rest = divmod(abs(nanos), NANOS_PER_USD)
    digits = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nanos < 0 else ''}{whole}.{digits}"


def share_of(nanos_per_million: int, tokens: int) -> int:
    """What so many tokens cost at a price for a million, rounded up to a whole nano-dollar."""
    return -(-nanos_per_million * tokens // 1_000_000)
