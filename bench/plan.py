"""How long and how often everything is measured."""

from dataclasses import dataclass

PARTS = ("accepts", "tasks", "latency", "stores", "claims", "takeover", "workers", "broker")
"""What --only may name. Start-up and memory are seen whenever accepts, tasks or latency are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The full run, unless changed; about a quarter of an hour on two cores."""

    parts: frozenset[str] = frozenset(PARTS)
    rounds: int = 2
    accept_seconds: float = 1.5
    task_seconds: float = 2.0
    latency_seconds: float = 2.5
    latency_count: int = 150
    read_seconds: float = 1.0
    sizes: tuple[int, ...] = (100_000, 1_000_000)
    pending: tuple[int, ...] = (1_000, 1_000_000)
    takeover_limit_seconds: float = 45.0
    workers_seconds: float = 4.0
    broker_up_seconds: float = 10.0
    broker_down_seconds: float = 60.0
    backlog_limit_seconds: float = 120.0


QUICK = Plan(
    rounds=1,
    accept_seconds=0.4,
    task_seconds=0.5,
    latency_seconds=1.0,
    latency_count=50,
    read_seconds=0.5,
    sizes=(10_000, 100_000),
    pending=(1_000, 100_000),
    takeover_limit_seconds=15.0,
    workers_seconds=1.5,
    broker_up_seconds=4.0,
    broker_down_seconds=8.0,
    backlog_limit_seconds=30.0,
)
"""To see that all of it works; its figures are rough and its stores smaller."""
