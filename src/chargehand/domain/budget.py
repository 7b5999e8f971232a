"""What a tree of tasks may use. One pool per tree: children draw from their root's.

Steps, children, tool calls, tokens and money are counted in the store, reserved before the work they pay for;
wall clock is the tree's deadline.
"""

from dataclasses import dataclass, fields
from decimal import Decimal
from difflib import get_close_matches
from typing import Self

from chargehand.domain.money import NANOS_PER_USD, nanos_of, usd_text
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import InvalidInput

MAX_COUNT = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of one tree of tasks; all hard. None: no limit."""

    steps: int = 10_000
    children: int = 1_000
    depth: int = 8
    wall_seconds: float = 86_400.0
    usd_nanos: int | None = None
    """Money for models, written as `usd`."""
    tokens: int | None = None
    """Of models: what they read and what they write."""
    tool_calls: int | None = None

    def as_data(self) -> JsonObject:
        """The shape that is stored and shown."""
        return {
            "steps": self.steps,
            "children": self.children,
            "depth": self.depth,
            "wall_seconds": self.wall_seconds,
            "usd": None if self.usd_nanos is None else usd_text(self.usd_nanos),
            "tokens": self.tokens,
            "tool_calls": self.tool_calls,
        }

    @classmethod
    def from_data(cls, data: JsonObject) -> Self:
        """Read it back; absent limits take their defaults. InvalidInput names an unknown or a wrong one."""
        return cls(**_read(data))  # pyright: ignore[reportArgumentType] - _read gives each field its type

    def tightened(self, data: JsonObject) -> Self:
        """This budget with the limits of `data` where they are lower, or where there is none yet."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in _read(data).items():
            if value is not None:
                values[name] = value if values[name] is None else min(values[name], value)
        return type(self)(**values)

    def refuse_spent(self, named: JsonObject, spent: JsonObject, needed: JsonObject) -> None:
        """InvalidInput when a limit that is named leaves nothing: what was spent stays spent.

        `needed`: what the next step takes of a limit, where that is known.
        """
        for name in named:
            limit, used = self.as_data().get(name), spent.get(name)
            if limit is None or used is None or _amount(limit) > _amount(used):
                continue
            least = _amount(used) + _amount(needed.get(name) or 0)
            told = usd_text(int(least * NANOS_PER_USD)) if name == "usd" else str(int(least))
            at_least = f"at least {told}" if needed.get(name) else f"more than {told}"
            raise InvalidInput(
                f"budget.{name} is what the task may use in all, and {used} are spent already; {limit} leaves"
                f" nothing: write {at_least}, and see that the agent's definition allows it"
            )


def _amount(value: JsonValue) -> Decimal:
    return Decimal(str(value))


_DEFAULTS = Budget().as_data()


def _read(data: JsonObject) -> dict[str, float | int | None]:
    """The fields of Budget that are named there."""
    found: dict[str, float | int | None] = {}
    for name, value in data.items():
        if name not in _DEFAULTS:
            close = get_close_matches(str(name), _DEFAULTS, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InvalidInput(
                f"budget has no limit {str(name)[:64]!r}; it has: {', '.join(_DEFAULTS)}{hint}"
            )
        if value is None and _DEFAULTS[name] is None:
            found["usd_nanos" if name == "usd" else name] = None
        elif name == "usd":
            found["usd_nanos"] = nanos_of(value, "budget.usd")
        else:
            found[name] = _limit(name, value)
    return found


def _limit(name: str, value: JsonValue) -> float:
    whole = name != "wall_seconds"
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (whole and not isinstance(value, int))
    ):
        raise InvalidInput(f"budget.{name} is a {'whole ' if whole else ''}number, not {value!r}")
    if not 0 < value <= MAX_COUNT:
        raise InvalidInput(f"budget.{name} is greater than zero and at most {MAX_COUNT:,}, not {value!r}")
    return value if whole else float(value)
