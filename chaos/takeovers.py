"""How long it took until somebody went on with what a killed process had held."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.nodes import Kill
from chaos.outside import Outside, Row

ENDS_HOLDING = (
    "'task.rescued','task.waiting','task.released','task.deferred',"
    "'task.completed','task.failed','task.canceled'"
)
STATEMENTS = {
    "sqlite": "json_extract(data, '$.worker')",
    "postgresql": "data ->> 'worker'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """A task that a killed process held went on after so many seconds."""

    at: float
    seconds: float
    rescued_seconds: float
    """Of these: until its loss was seen and it was put back."""
    task_id: str


@dataclass(frozen=True, slots=True)
class _Change:
    task_id: str
    kind: str
    at: float
    worker: str


async def takeovers(outside: Outside, kills: Sequence[Kill]) -> list[Takeover]:
    """Read from the events: from each kill to the next start of each task that was held then."""
    worker = STATEMENTS[outside.kind]
    rows = await outside.rows(
        f"SELECT task_id, kind, at, {worker} FROM task_events"  # noqa: S608 - constants of this module
        f" WHERE kind IN ('task.started',{ENDS_HOLDING}) ORDER BY task_id, sequence"
    )
    return found_in(rows, kills)


def found_in(rows: Iterable[Row], kills: Iterable[Kill]) -> list[Takeover]:
    """As `takeovers`, from rows of (task, kind, microseconds, worker) in the order of the events."""
    of_process: dict[str, list[Kill]] = defaultdict(list)
    for kill in kills:
        of_process[str(kill.pid)].append(kill)
    changes: dict[str, list[_Change]] = defaultdict(list)
    for task_id, kind, at, worker in rows:
        changes[task_id].append(_Change(task_id, kind, int(at) / 1e6, worker))
    found: list[Takeover] = []
    for of_task in changes.values():
        for index, (change, following) in enumerate(pairwise(of_task)):
            if change.kind != "task.started":
                continue
            kill = _kill_between(of_process, change, following)
            again = next((one for one in of_task[index + 1 :] if one.kind == "task.started"), None)
            if kill is not None and again is not None:
                found.append(
                    Takeover(
                        at=kill.at,
                        seconds=again.at - kill.at,
                        rescued_seconds=following.at - kill.at,
                        task_id=change.task_id,
                    )
                )
    return sorted(found, key=lambda one: one.at)


def _kill_between(of_process: dict[str, list[Kill]], start: _Change, following: _Change) -> Kill | None:
    """The kill of the worker while it held the task; a worker's name holds its process id."""
    for part in start.worker.split(":"):
        for kill in of_process.get(part, ()):
            if start.at <= kill.at <= following.at:
                return kill
    return None


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many percent are; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0
