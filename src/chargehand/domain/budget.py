"""What a tree of tasks may use. One pool per tree: children draw from their root's.

Steps, children and depth are counted in the store, reserved before the work they pay for; wall clock is the
tree's deadline.
"""

from dataclasses import dataclass
from typing import Self

from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of one tree of tasks; all hard."""

    steps: int = 10_000
    children: int = 1_000
    depth: int = 8
    wall_seconds: float = 86_400.0

    def as_data(self) -> JsonObject:
        """The shape that is stored."""
        return {
            "steps": self.steps,
            "children": self.children,
            "depth": self.depth,
            "wall_seconds": self.wall_seconds,
        }

    @classmethod
    def from_data(cls, data: JsonObject) -> Self:
        """Read it back; absent limits take their defaults. InvalidInput names an unknown or a wrong one."""
        known = {"steps": 10_000, "children": 1_000, "depth": 8, "wall_seconds": 86_400.0}
        for name, value in data.items():
            if name not in known:
                raise InvalidInput(f"budget has no limit {name!r}; it has: {', '.join(known)}")
            known[name] = _limit(name, value)
        return cls(
            steps=int(known["steps"]),
            children=int(known["children"]),
            depth=int(known["depth"]),
            wall_seconds=float(known["wall_seconds"]),
        )


def _limit(name: str, value: JsonValue) -> float:
    whole = name != "wall_seconds"
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (whole and not isinstance(value, int))
    ):
        raise InvalidInput(f"budget.{name} is a {'whole ' if whole else ''}number, not {value!r}")
    if value <= 0:
        raise InvalidInput(f"budget.{name} is greater than zero, not {value!r}")
    return value
