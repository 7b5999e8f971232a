"""What names an attempt fences it: each part of the name counts, row by row and however many rows there are."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.fairness import Lane
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.task import (
    Canceled,
    Completed,
    Failed,
    Move,
    Reason,
    Released,
    Status,
    Suspended,
    Task,
    TaskError,
)
from chargehand.errors import IllegalMove, LeaseLost
from chargehand.service import attempts
from chargehand.store import claims, history, messages, tasks
from tests import given
from tests.given import ME, TestClock

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def core(tmp_path: Path, clock: TestClock) -> AsyncGenerator[Core]:
    functions = {"one": asyncio.sleep}
    async with given.a_core(tmp_path, functions=functions, clock=clock, with_engine=False) as opened:
        yield opened


OTHERS: dict[str, dict[str, Any]] = {
    "another attempt": {"attempt": 2},
    "an earlier attempt": {"attempt": 0},
    "another worker": {"worker_id": "worker-2"},
    "no worker": {"worker_id": None},
}


@pytest.mark.parametrize("other", OTHERS)
async def test_who_differs_in_any_part_of_the_name_holds_nothing(core: Core, other: str) -> None:
    task = await given.a_running_task(core, "one")
    stale = replace(task, **OTHERS[other])

    assert attempts.is_held(task, task)
    assert not attempts.is_held(task, stale)
    with pytest.raises(LeaseLost):
        await core.attempts.finish(stale, Completed())
    async with core.db.write() as tx:
        with pytest.raises(LeaseLost):
            await attempts.held_or_lost(tx, stale)
        assert await attempts.held_or_lost(tx, task) == task


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.RUNNING])
async def test_a_task_that_does_not_run_is_held_by_nobody(core: Core, status: Status) -> None:
    task = await given.a_running_task(core, "one")

    assert not attempts.is_held(replace(task, status=status), task)


async def test_a_task_that_is_gone_is_lost(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    gone = replace(task, id="0190f7a2-91b4-7c3d-8a55-0242ac120002")

    async with core.db.write() as tx:
        with pytest.raises(LeaseLost):
            await attempts.held_or_lost(tx, gone)


async def test_what_came_meanwhile_changes_how_an_attempt_ends(core: Core) -> None:
    finished: list[tuple[str, Any, Status]] = [
        ("cancel", Completed(result=1), Status.COMPLETED),
        ("cancel", Suspended(reason=Reason.CHILDREN), Status.CANCELED),
        ("cancel", Released(), Status.CANCELED),
        ("cancel", Failed(error=TaskError(reason=Reason.AGENT_ERROR, message="x")), Status.CANCELED),
        ("wake", Suspended(reason=Reason.CHILDREN), Status.PENDING),
        ("wake", Failed(error=TaskError(reason=Reason.AGENT_ERROR, message="x")), Status.FAILED),
        ("wake", Canceled(), Status.CANCELED),
        # The work was done, and somebody said something more: the next attempt hears it, and then of the cancel.
        ("cancel, message", Completed(result=1), Status.PENDING),
        ("nothing", Suspended(reason=Reason.CHILDREN), Status.WAITING),
    ]
    for came, outcome, status in finished:
        task = await given.a_running_task(core, "one")
        async with core.db.write() as tx:
            if came.startswith("cancel"):
                await tasks.request_cancel(tx, [task.id], reason="canceled_by_caller")
            if came.endswith("message"):
                await messages.add(tx, task.id, "one more thing", by="me")
            if came in ("wake", "cancel, message"):
                await tasks.note_wake(tx, task.id)
        assert (await core.attempts.finish(task, outcome)).status is status, f"{came}, {outcome}"


async def moved(core: Core, *seen: Task, what: Move = Move.RELEASE) -> list[Task]:
    async with core.db.write() as tx:
        return await tasks.move(tx, what, [(one, {"reason": None, "run_after": tx.now}) for one in seen])


@pytest.mark.parametrize(
    "other", [{"attempt": 2}, {"attempt": 0}, {"id": "0190f7a2-91b4-7c3d-8a55-0242ac120002"}]
)
async def test_a_move_of_a_row_that_is_not_as_it_was_seen_is_given_up(
    core: Core, other: dict[str, Any]
) -> None:
    one, two = await given.a_running_task(core, "one"), await given.a_running_task(core, "one")

    with pytest.raises(IllegalMove):
        await moved(core, replace(one, **other))
    with pytest.raises(IllegalMove):
        await moved(core, two, replace(one, **other))

    for task in (one, two):
        assert (await core.watch.get(ME, task.id)).status is Status.RUNNING
    assert {task.id for task in await moved(core, one, two)} == {one.id, two.id}


async def test_a_move_names_the_status_that_was_seen(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    await moved(core, task)

    with pytest.raises(IllegalMove):
        await moved(core, task)
    assert await moved(core, replace(task, status=Status.COMPLETED)) == []
    assert await moved(core) == []


async def test_a_move_changes_only_the_rows_it_names(core: Core) -> None:
    one, other = await given.a_running_task(core, "one"), await given.a_running_task(core, "one")

    [now] = await moved(core, one)

    assert now == await core.watch.get(ME, one.id)
    assert (now.worker_id, now.lease_until, now.finished_at) == (None, None, None)
    assert await core.watch.get(ME, other.id) == other
    [ended] = await moved(core, other, what=Move.COMPLETE)
    assert ended.finished_at is not None


async def test_a_lease_is_renewed_for_its_holder_alone(core: Core, clock: TestClock) -> None:
    mine, theirs = await given.a_running_task(core, "one"), await given.a_task(core, "one")
    [theirs] = (await given.claimed(core, worker="worker-2")).values()
    released = await given.a_running_task(core, "one")
    await moved(core, released)
    clock.advance(5)

    async def renewed(worker: str, named: dict[str, int]) -> set[str]:
        async with core.db.write() as tx:
            return set(await tasks.renew(tx, worker=worker, attempts=named, lease=timedelta(seconds=30)))

    everything = {mine.id: 1, theirs.id: 1, released.id: 1}
    assert await renewed("worker-1", everything) == {mine.id}
    assert await renewed("worker-1", {mine.id: 2}) == set()
    assert await renewed("worker-3", everything) == set()
    assert (await core.watch.get(ME, mine.id)).lease_until == clock.now() + timedelta(seconds=30)
    assert (await core.watch.get(ME, theirs.id)).lease_until == theirs.lease_until


async def test_a_step_ends_once_and_only_when_it_has_begun(core: Core) -> None:
    task, other = await given.a_running_task(core, "one"), await given.a_running_task(core, "one")
    for holder, path in ((task, "0/0"), (task, "0/1"), (other, "0/0")):
        await core.journal.begin(
            holder, core.journal.new_step(holder, path, StepKind.TOOL, "x", {}, StepStatus.RUNNING)
        )

    async def finish(*ends: tuple[str, str, str]) -> None:
        async with core.db.write() as tx:
            await history.finish_steps(tx, ends)

    await finish((task.id, "0/0", "first"))
    for wrong in ((task.id, "0/0", "second"), (task.id, "0/9", "never"), (other.id, "0/1", "theirs")):
        with pytest.raises(IllegalMove):
            await finish(wrong)
        with pytest.raises(IllegalMove):
            await finish(wrong, (other.id, "0/0", "x"))
    await finish()

    found = given.rows(core, "SELECT path, status FROM task_steps WHERE task_id = ? ORDER BY path", task.id)
    assert found == [("0/0", "done"), ("0/1", "running")]
    assert given.rows(core, "SELECT status FROM task_steps WHERE task_id = ?", other.id) == [("running",)]


async def test_a_step_that_begins_again_touches_no_finished_one_and_no_other(core: Core) -> None:
    task, other = await given.a_running_task(core, "one"), await given.a_running_task(core, "one")
    steps = {
        (holder.id, path): core.journal.new_step(holder, path, StepKind.TOOL, "x", {}, StepStatus.RUNNING)
        for holder in (task, other)
        for path in ("0/0", "0/1", "0/2")
    }
    async with core.db.write() as tx:
        await history.begin_steps(tx, list(steps.values()))
        await history.finish_steps(tx, [(task.id, "0/1", "done")])
        again = [replace(steps[task.id, path], attempt=2) for path in ("0/0", "0/1")]
        await history.begin_steps(tx, [], again)

    found = given.rows(core, "SELECT task_id, path, attempt, status FROM task_steps ORDER BY 1, 2")
    assert {(one[0], one[1]): one[2:] for one in found} == {
        (task.id, "0/0"): (2, "running"),
        (task.id, "0/1"): (1, "done"),
        (task.id, "0/2"): (1, "running"),
        **{(other.id, path): (1, "running") for path in ("0/0", "0/1", "0/2")},
    }


async def test_what_another_worker_has_claimed_is_not_claimed_again(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await given.a_task(core, "one")
    lane = Lane(task.tenant, task.agent_id, task.priority)

    async def take(worker: str, most: int = 5) -> list[Task]:
        async with core.db.write() as tx:
            return await claims.take(tx, lane, most=most, worker=worker, lease=timedelta(seconds=30))

    [claimed] = await take("w1")
    assert await take("w2") == []
    assert claimed == await core.watch.get(ME, task.id)
    # As on a database whose rows are not held between the look and the change.
    seen = replace(task, status=Status.PENDING)

    def as_seen(row: object) -> Task:
        del row
        return seen

    monkeypatch.setattr(claims, "as_task", as_seen)
    monkeypatch.setattr(
        claims, "_FIRST", claims.select(*claims.TASK_COLUMNS).where(claims.AgentTask.id == task.id)
    )
    with pytest.raises(IllegalMove, match="only 0 of 1 tasks stand as seen"):
        await take("w2")
    assert (await core.watch.get(ME, task.id)).worker_id == "w1"


async def test_a_claim_takes_no_more_than_it_was_asked_to(core: Core) -> None:
    made = [await given.a_task(core, "one") for _ in range(3)]
    lane = Lane(made[0].tenant, "one", 0)
    async with core.db.write() as tx:
        first = await claims.take(tx, lane, most=2, worker="w", lease=timedelta(seconds=30))

    assert [task.id for task in first] == [task.id for task in made[:2]]
    assert (await core.watch.get(ME, made[2].id)).status is Status.PENDING
