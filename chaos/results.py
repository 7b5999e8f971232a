"""What a run came to, as one value that the report, the plot and the JSON file are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chaos.checker import Found
from chaos.clients import Seen
from chaos.faults import Done
from chaos.nodes import Kill, OwnEnd
from chaos.takeovers import Takeover, percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run."""

    title: str
    seed: int
    began_at: float
    calm_at: float
    """When the last fault was made good."""
    rested_at: float
    """When no task was open any more, or the patience was over."""
    clients: int
    lives: Mapping[str, int]
    seconds_to_be_up: Mapping[str, tuple[float, float]]
    """By role the medians of the time, and of a processor's time."""
    kills: Sequence[Kill]
    own_ends: Sequence[OwnEnd]
    faults: Sequence[Done]
    seen: Sequence[Seen]
    answers: Mapping[str, int]
    takeovers: Sequence[Takeover]
    found: Found
    problems: Sequence[str]
    """What kept the run itself from being whole, such as an installation that did not come up again."""
    skipped: Sequence[str]

    @property
    def holds(self) -> bool:
        return self.found.holds and not self.problems

    @property
    def accepted(self) -> int:
        return sum(1 for one in self.seen if one.task_id)

    def takeover_seconds(self, percent: float) -> float:
        return percentile([one.seconds for one in self.takeovers], percent)

    def as_data(self) -> dict[str, Any]:
        """For JSON: everything but the clients' own lists, which are summed up."""
        data = asdict(self)
        del data["seen"]
        data["tasks"] = {
            "sent": len(self.seen),
            "accepted": self.accepted,
            "seen to end": sum(1 for one in self.seen if one.ends),
            "streams": sum(one.streams for one in self.seen),
            "moves": sum(one.moves for one in self.seen),
        }
        data["takeover_seconds"] = {str(percent): self.takeover_seconds(percent) for percent in (50, 99)}
        data["holds"] = self.holds
        return data
