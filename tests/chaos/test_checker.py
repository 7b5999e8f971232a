"""The checker finds what is planted: a check that passes over a breach would make every green run worthless."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from chaos import checker, ledger
from chaos.clients import Seen
from chaos.ledger import Mark
from chaos.nodes import Kill
from chaos.outside import OutsideSqlite
from chaos.takeovers import found_in, percentile
from chargehand.service.journal import Delegation
from tests import given
from tests.given import a_core, a_task, ended


async def quick(ctx: given.PlaybookContext) -> None:
    await ctx.once("effect-0", lambda: None)


async def tree(ctx: given.PlaybookContext) -> None:
    orders = [given_order(name) for name in ("quick", "timer")]
    await ctx.must_delegate(*orders)


def given_order(name: str) -> Delegation:
    return Delegation(agent_id=name, task_data={}, labels={})


PLAYBOOKS = {"quick": quick, "timer": quick, "tree": tree, "held": quick}


class World:
    """A run in which nothing is wrong, to plant something in."""

    def __init__(self, path: Path, seen: list[Seen], marks: list[Mark]) -> None:
        self.path, self.seen, self.marks = path, seen, marks

    def sql(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            assert connection.execute(statement).rowcount > 0
            connection.commit()

    def change(self, values: str) -> None:
        """Change the row of the task for `quick` that a client knows."""
        self.sql(
            f"UPDATE agent_tasks SET {values} WHERE id = '{self.of('quick').task_id}'"  # noqa: S608 - the test's own
        )

    def of(self, agent_id: str) -> Seen:
        return next(one for one in self.seen if one.agent_id == agent_id)

    async def broken(self) -> set[str]:
        found = await checker.check_all(OutsideSqlite(self.path), self.seen, self.marks)
        assert found.holds == all(check.holds for check in found.checks)
        return {check.promise for check in found.checks if not check.holds}


@pytest.fixture
async def world(tmp_path: Path) -> World:
    """Two tasks that have ended, with what their clients saw and what their effects left."""
    seen: list[Seen] = []
    marks: list[Mark] = []
    async with a_core(tmp_path, playbooks=PLAYBOOKS) as core:
        for agent_id in ("quick", "tree"):
            task = await a_task(core, agent_id, idempotency_key=f"key-{agent_id}")
            await ended(core, task)
            events = await core.watch.events(given.ME, task.id)
            seen.append(
                Seen(
                    key=f"key-{agent_id}",
                    agent_id=agent_id,
                    depth=0,
                    number=0,
                    task_id=task.id,
                    sequences=[event.sequence for event in events],
                    ends=["task.completed"],
                )
            )
        path = core.settings.database_path
        for task_id, name, attempt in given.query(path, ledger.STATEMENT):
            marks.append(Mark(task_id, name, attempt, 0.0))
    return World(path, seen, marks)


async def test_a_sound_run_breaks_nothing(world: World) -> None:
    assert await world.broken() == set()


LOST = "an accepted task is stored, under its key"
KEYS = "one key leads to one task, whichever process is asked"
STUCK = "no task is stuck"
UNLIKE = "a task ends as its work says"
TREES = "a completed tree has every child once"
STREAMS = "a client sees each event once, in order, to the end"
ENDS = "a client is told of one end, and it stays so"
EFFECTS = "a finished step's effect never happens again"
GAPS = "a task's events are numbered from 1 without a gap, and its row knows the last number"
TERMINAL = "a task ends once, and once more each time that it was reopened"


def lose_a_task(world: World) -> None:
    world.of("quick").task_id = "00000000-0000-7000-8000-000000000000"


def answer_a_key_twice(world: World) -> None:
    world.of("quick").conflicting_ids.append("another")


def leave_a_task_open(world: World) -> None:
    world.change("status = 'pending', finished_at = NULL")


def fail_a_task_for_nothing(world: World) -> None:
    world.change("status = 'failed', reason = 'agent_error'")


def give_up_after_one_worker(world: World) -> None:
    world.change("status = 'failed', reason = 'worker_lost'")


def take_a_child_away(world: World) -> None:
    world.sql("DELETE FROM agent_tasks WHERE agent_id = 'timer'")


def repeat_an_event(world: World) -> None:
    world.of("quick").sequences.insert(1, 1)


def skip_an_event(world: World) -> None:
    del world.of("quick").sequences[1]


def miss_the_last_event(world: World) -> None:
    del world.of("quick").sequences[-1]


def end_twice_for_a_client(world: World) -> None:
    world.of("quick").ends.append("task.failed")


def do_an_effect_again(world: World) -> None:
    world.marks.append(replace(world.marks[0], attempt=world.marks[0].attempt + 1))


def do_an_effect_twice_in_one_attempt(world: World) -> None:
    world.marks.append(world.marks[0])


def record_what_was_never_done(world: World) -> None:
    del world.marks[0]


def drop_an_event_from_the_database(world: World) -> None:
    world.sql("DELETE FROM task_events WHERE sequence = 2")


def end_twice_in_the_database(world: World) -> None:
    world.sql("UPDATE task_events SET kind = 'task.completed' WHERE sequence = 2")


PLANTED: list[tuple[Callable[[World], None], str]] = [
    (lose_a_task, LOST),
    (answer_a_key_twice, KEYS),
    (leave_a_task_open, STUCK),
    (fail_a_task_for_nothing, UNLIKE),
    (give_up_after_one_worker, UNLIKE),
    (take_a_child_away, TREES),
    (repeat_an_event, STREAMS),
    (skip_an_event, STREAMS),
    (miss_the_last_event, STREAMS),
    (end_twice_for_a_client, ENDS),
    (fail_a_task_for_nothing, ENDS),
    (do_an_effect_again, EFFECTS),
    (do_an_effect_twice_in_one_attempt, EFFECTS),
    (record_what_was_never_done, EFFECTS),
    (drop_an_event_from_the_database, GAPS),
    (end_twice_in_the_database, TERMINAL),
]


@pytest.mark.parametrize(("plant", "promise"), PLANTED, ids=lambda one: getattr(one, "__name__", ""))
async def test_a_planted_breach_is_found(world: World, plant: Callable[[World], None], promise: str) -> None:
    plant(world)

    assert promise in await world.broken()


async def test_an_effect_that_a_dead_worker_had_not_recorded_may_be_done_again(world: World) -> None:
    world.marks.append(replace(world.marks[0], attempt=world.marks[0].attempt - 1))

    found = await checker.check_all(OutsideSqlite(world.path), world.seen, world.marks)

    assert found.holds
    assert found.compared.again_before_record == 1


def test_a_line_that_was_cut_short_is_no_mark(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_text("task-1 effect-0 1 12.5\ntask-1 effect", encoding="utf-8")

    assert ledger.read(path) == [Mark("task-1", "effect-0", 1, 12.5)]


def test_a_takeover_is_from_the_kill_of_who_held_it_to_the_next_start() -> None:
    rows = [
        ("held", "task.started", "1000000", "host:7"),
        ("held", "task.rescued", "5000000", "host:7"),
        ("held", "task.started", "5500000", "host:8"),
        ("held", "task.completed", "6000000", ""),
        ("ended before", "task.started", "1000000", "host:7"),
        ("ended before", "task.completed", "1900000", ""),
        ("of another", "task.started", "1000000", "host:77"),
        ("of another", "task.rescued", "5000000", "host:77"),
        ("of another", "task.started", "5500000", "host:8"),
    ]

    found = found_in(rows, [Kill(at=2.0, node="worker-1", pid=7)])

    assert [(one.task_id, one.rescued_seconds, one.seconds) for one in found] == [("held", 3.0, 3.5)]


def test_percentiles_are_values_that_were_seen() -> None:
    assert percentile([], 99) == 0
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(number) for number in range(100)], 99) == 99.0
