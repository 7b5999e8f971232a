"""What models have cost, summed up by task, tree, agent, model or day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class UsageBy(StrEnum):
    """What sums are grouped by."""

    TASK = "task"
    TREE = "tree"
    AGENT = "agent"
    MODEL = "model"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFilter:
    """Which calls are summed up; None leaves a condition out. Days are UTC and both count."""

    since: date | None = None
    until: date | None = None
    agent_id: str | None = None
    root_id: str | None = None
    task_id: str | None = None
    of_trees: frozenset[str] | None = None
    """Only trees of tasks whose root is one of these agents'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSums:
    """Sums over model calls; `usd_nanos` holds what is lost too."""

    calls: int
    usd_nanos: int
    unpriced_calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    lost_calls: int
    lost_usd_nanos: int
    lost_tokens: int
    reserved_usd_nanos: int
    reserved_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The sums of the groups (the dearest, or the newest days, first) and of all, also those left out."""

    by: UsageBy
    groups: Sequence[tuple[str, UsageSums]]
    total: UsageSums
    is_complete: bool
