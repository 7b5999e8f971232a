"""The ledger outside: each effect that ever happened, by whom, and what of it breaks the promise of one payment.

The promise: once a step is finished, its effect never happens again. What may happen: an effect whose worker died
before its record is done again by the next attempt, and a worker that was stopped in the middle of a step ends it
when it goes on, without being able to record it. Both are counted and told.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.outside import Row

STATEMENT = "SELECT task_id, name, attempt FROM task_steps WHERE status = 'done' AND name LIKE 'effect-%'"
"""The finished steps, for `compare`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One effect."""

    task_id: str
    name: str
    attempt: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the ledger says beside the journal."""

    marks: int
    steps: int
    again_before_record: int
    """Done again by a later attempt, because the earlier one had not recorded it."""
    broken: list[str]


def read(path: Path) -> list[Mark]:
    """Every whole line of the ledger."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines]
    return [Mark(one[0], one[1], int(one[2]), float(one[3])) for one in words if len(one) == 4]


def compare(marks: Iterable[Mark], finished_steps: Iterable[Row]) -> Compared:
    """Each finished step against the effects that carry its name."""
    done: Mapping[tuple[str, str], Counter[int]] = defaultdict(Counter)
    count = 0
    for mark in marks:
        done[mark.task_id, mark.name][mark.attempt] += 1
        count += 1
    broken: list[str] = []
    again = steps = 0
    for task_id, name, attempt in finished_steps:
        steps += 1
        recorded_by, by_attempt = int(attempt), done[task_id, name]
        told = f"{name} of {task_id}, finished by attempt {recorded_by}"
        if not by_attempt[recorded_by]:
            broken.append(f"{told}, was done by attempts {sorted(by_attempt)} only")
        if later := sorted(one for one in by_attempt if one > recorded_by):
            broken.append(f"{told}, was done once more by attempts {later}")
        again += sum(1 for one in by_attempt if one < recorded_by)
    broken += [
        f"{name} of {task_id} was done {times} times in attempt {attempt}"
        for (task_id, name), by_attempt in done.items()
        for attempt, times in by_attempt.items()
        if times > 1
    ]
    return Compared(marks=count, steps=steps, again_before_record=again, broken=broken)
