"""Whether everything holds that must always be true (design, section 3), seen from outside.

What clients were told, what the ledger of effects says and what the database holds are compared; none of the service's
code is asked.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos import agents, ledger
from chaos.clients import Seen
from chaos.ledger import Compared, Mark
from chaos.outside import Outside
from tests.promises import FINAL, rules

ENDED = ("completed", "failed", "canceled")

SHOWN = 10
"""How many breaches of one promise are told in full."""
LEAST_LOSSES = 3
"""So many workers must have died in a row before a task may be given up."""


@dataclass(frozen=True, slots=True)
class Check:
    """A promise and every breach of it that was found."""

    promise: str
    broken: Sequence[str]

    @property
    def holds(self) -> bool:
        return not self.broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that was checked, and what was counted on the way."""

    checks: Sequence[Check]
    compared: Compared
    tasks: int
    given_up: int
    """Tasks that were failed because three workers in a row had died with them: allowed, and told."""

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Task:
    agent_id: str
    parent_id: str
    status: str
    reason: str


async def check_all(outside: Outside, seen: Sequence[Seen], marks: Sequence[Mark]) -> Found:
    """Every promise, after all has come to rest."""
    stored = {
        row[0]: _Task(*row[1:])
        for row in await outside.rows("SELECT id, agent_id, parent_id, status, reason FROM agent_tasks")
    }
    keys = {row[0]: row[1] for row in await outside.rows("SELECT key, task_id FROM idempotency_keys")}
    last_events = {
        task_id: int(last) for task_id, last in await outside.rows("SELECT id, last_event FROM agent_tasks")
    }
    compared = ledger.compare(marks, await outside.rows(ledger.STATEMENT))
    starts = {
        task_id: int(count)
        for task_id, count in await outside.rows(
            "SELECT task_id, count(*) FROM task_events WHERE kind = 'task.started' GROUP BY task_id"
        )
    }
    checks = [
        Check("an accepted task is stored, under its key", list(lost(seen, stored, keys))),
        Check("one key leads to one task, whichever process is asked", list(conflicting(seen))),
        Check("no task is stuck", list(stuck(stored))),
        Check("a task ends as its work says", list(unlike(seen, stored, starts))),
        Check("a completed tree has every child once", list(unlike_trees(seen, stored))),
        Check("a client sees each event once, in order, to the end", list(unlike_streams(seen, last_events))),
        Check("a client is told of one end, and it stays so", list(unlike_ends(seen, stored))),
        Check("a finished step's effect never happens again", compared.broken),
    ]
    for promise, statement in rules(outside.kind):
        rows = await outside.rows(statement)
        checks.append(Check(promise, [", ".join(row) for row in rows]))
    given_up = sum(1 for task in stored.values() if task.reason == "worker_lost")
    return Found(checks=checks, compared=compared, tasks=len(stored), given_up=given_up)


async def open_tasks(outside: Outside) -> int:
    """How many tasks have not ended."""
    found = await outside.rows(
        f"SELECT count(*) FROM agent_tasks WHERE status NOT IN {FINAL}"  # noqa: S608 - a constant
    )
    return int(found[0][0])


def lost(seen: Sequence[Seen], stored: Mapping[str, _Task], keys: Mapping[str, str]) -> Iterator[str]:
    for one in seen:
        if one.task_id and one.task_id not in stored:
            yield f"{one.task_id} ({one.agent_id}), accepted for {one.key}, is not stored"
        elif one.task_id and keys.get(one.key) != one.task_id:
            yield f"{one.key} was answered with {one.task_id} and is stored with {keys.get(one.key)}"


def conflicting(seen: Sequence[Seen]) -> Iterator[str]:
    for one in seen:
        if one.conflicting_ids:
            yield f"{one.key} was answered with {one.task_id}, then with {', '.join(one.conflicting_ids)}"


def stuck(stored: Mapping[str, _Task]) -> Iterator[str]:
    for task_id, task in stored.items():
        if task.status not in ENDED:
            yield f"{task_id} ({task.agent_id}) is still {task.status} ({task.reason or 'no reason'})"


def unlike(seen: Sequence[Seen], stored: Mapping[str, _Task], starts: Mapping[str, int]) -> Iterator[str]:
    """Ends that neither the work nor three dead workers explain."""
    below: dict[str, list[str]] = defaultdict(list)
    for task_id, task in stored.items():
        below[task.parent_id].append(task_id)

    def was_given_up(task_id: str) -> bool:
        by_itself = stored[task_id].reason == "worker_lost" and starts.get(task_id, 0) >= LEAST_LOSSES
        return by_itself or any(was_given_up(child) for child in below[task_id])

    for one in seen:
        task = stored.get(one.task_id)
        if task is None or task.status not in ENDED:
            continue
        wanted = "canceled" if one.agent_id == "held" else "completed"
        if task.status != wanted and not was_given_up(one.task_id):
            yield f"{one.task_id} ({one.agent_id}) ended as {task.status} ({task.reason}), not {wanted}"


def unlike_trees(seen: Sequence[Seen], stored: Mapping[str, _Task]) -> Iterator[str]:
    below: dict[str, list[str]] = defaultdict(list)
    for task_id, task in stored.items():
        below[task.parent_id].append(task_id)

    def count(task_id: str) -> int:
        return sum(1 + count(child) for child in below[task_id])

    for one in seen:
        task = stored.get(one.task_id)
        wanted = agents.descendants(one.agent_id, one.depth)
        if task is not None and task.status == "completed" and wanted is not None:
            found = count(one.task_id)
            if found != wanted:
                yield f"{one.task_id} ({one.agent_id}) has {found} tasks below it, not {wanted}"


def unlike_streams(seen: Sequence[Seen], last_events: Mapping[str, int]) -> Iterator[str]:
    for one in seen:
        wanted = list(range(1, len(one.sequences) + 1))
        if one.sequences != wanted:
            wrong = next(index for index, number in enumerate(one.sequences) if number != index + 1)
            around = one.sequences[max(0, wrong - 2) : wrong + 3]
            yield f"{one.task_id} ({one.agent_id}) over {one.streams} streams: … {around} …"
        elif one.ends and len(one.sequences) != last_events.get(one.task_id):
            yield f"{one.task_id}: {len(one.sequences)} events seen, {last_events.get(one.task_id)} stored"


def unlike_ends(seen: Sequence[Seen], stored: Mapping[str, _Task]) -> Iterator[str]:
    for one in seen:
        status = stored[one.task_id].status if one.task_id in stored else "missing"
        if len(one.ends) > 1:
            yield f"{one.task_id} was told to have ended {len(one.ends)} times: {', '.join(one.ends)}"
        elif one.ends and one.ends[0] != f"task.{status}":
            yield f"{one.task_id} was told to have ended with {one.ends[0]} and is {status}"
