"""What is no longer kept: which ended trees of tasks go, and what went with them."""

from dataclasses import dataclass
from datetime import timedelta

from chargehand.domain.task import FINAL, Status
from chargehand.errors import InvalidInput

LEAST_AGE = timedelta(minutes=1)
"""So that a client which repeats a submission after a fault still finds its task by the key."""
MOST_AGE = timedelta(days=36_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOrder:
    """Trees whose root ended longer ago than `older_than` in one of these statuses, and that have wholly ended."""

    older_than: timedelta
    statuses: frozenset[Status] = frozenset(FINAL)
    agent_id: str | None = None
    """The root's."""
    most_trees: int | None = None
    is_dry_run: bool = False
    after: str | None = None
    """Go on behind this root; as an earlier answer said."""

    def check(self) -> None:
        """InvalidInput for an order that means nothing, or too much."""
        if not LEAST_AGE <= self.older_than <= MOST_AGE:
            raise InvalidInput(f"tasks are kept for at least a minute and at most {MOST_AGE.days} days")
        if self.most_trees is not None and self.most_trees < 1:
            raise InvalidInput(f"at least one tree is pruned, not {self.most_trees}")
        unended = self.statuses - FINAL
        if unended or not self.statuses:
            wrong = ", ".join(sorted(unended)) or "none"
            raise InvalidInput(
                f"only ended tasks are pruned: completed, failed or canceled; not with status {wrong}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How much went, or would go."""

    trees: int = 0
    tasks: int = 0
    events: int = 0
    after: str | None = None
    """The last root that was looked at; None: there are no more."""

    def with_more(self, more: "Pruned") -> "Pruned":
        """Both together."""
        return Pruned(
            trees=self.trees + more.trees,
            tasks=self.tasks + more.tasks,
            events=self.events + more.events,
            after=more.after,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What nothing refers to any more, and was removed."""

    workspaces: int = 0
    blobs: int = 0
    blob_bytes: int = 0
