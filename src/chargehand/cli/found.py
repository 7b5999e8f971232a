"""One line of what `chargehand doctor` reports."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was looked at, how it stands, and the way out."""

    name: str
    state: State
    message: str
    way_out: str = ""
