"""Upkeep: the dead are taken over, the due is woken, the late is ended, and nothing else is touched."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from chargehand.app.core import Core
from chargehand.domain.history import EventKind, StepKind, StepStatus
from chargehand.domain.task import MAX_WORKER_LOSSES, Reason, Status, Suspended
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service import upkeep
from chargehand.service.journal import Delegation
from chargehand.store import tasks
from tests import given
from tests.given import ME, TestClock
from tests.invariants import violations


async def idle(ctx: PlaybookContext) -> None:
    del ctx


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest_asyncio.fixture
async def core(tmp_path: Path, clock: TestClock) -> AsyncGenerator[Core, None]:
    async with given.a_core(
        tmp_path, playbooks={"one": idle}, clock=clock, with_engine=False, lease_seconds=30
    ) as opened:
        yield opened
        assert violations(opened.settings.database_path) == []


async def test_a_task_is_taken_over_when_its_lease_has_run_out_and_not_before(
    core: Core, clock: TestClock
) -> None:
    task = await given.a_running_task(core, "one")
    clock.advance(29.9)
    await core.upkeep.sweep()
    assert (await core.watch.get(ME, task.id)).status is Status.RUNNING

    clock.advance(0.2)
    await core.upkeep.sweep()

    rescued = await core.watch.get(ME, task.id)
    assert (rescued.status, rescued.losses) == (Status.PENDING, 1)
    assert (await given.kinds(core, task))[-1] == "task.rescued"


async def test_who_has_just_taken_the_data_folder_rescues_all(core: Core) -> None:
    task = await given.a_running_task(core, "one")

    await core.upkeep.sweep(of_any_worker=True)

    assert (await core.watch.get(ME, task.id)).status is Status.PENDING


async def test_attempts_that_the_caller_carries_live_however_its_clock_was_set(
    core: Core, clock: TestClock
) -> None:
    mine, dead = await given.a_running_task(core, "one"), await given.a_running_task(core, "one")
    clock.jump(3600)

    await core.upkeep.sweep(but_not={mine.id: 1, dead.id: 0})

    assert (await core.watch.get(ME, mine.id)).status is Status.RUNNING
    assert (await core.watch.get(ME, dead.id)).status is Status.PENDING


async def test_a_clock_set_back_takes_no_task_over(core: Core, clock: TestClock) -> None:
    task = await given.a_running_task(core, "one")
    clock.jump(-3600)

    await core.upkeep.sweep()

    assert (await core.watch.get(ME, task.id)).status is Status.RUNNING


async def test_a_task_that_loses_its_worker_again_and_again_is_failed_visibly(core: Core) -> None:
    task = await given.a_task(core, "one")
    for _ in range(MAX_WORKER_LOSSES):
        assert list(await given.claimed(core)) == [task.id]
        await core.upkeep.sweep(of_any_worker=True)

    failed = await core.watch.get(ME, task.id)
    assert (failed.status, failed.reason, failed.attempt) == (Status.FAILED, "worker_lost", MAX_WORKER_LOSSES)
    assert failed.error is not None
    assert "3 workers in a row died" in str(failed.error["message"])


async def test_a_task_that_was_to_be_canceled_when_its_worker_died_is_canceled(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    await core.tasks.cancel(ME, task.id)

    await core.upkeep.sweep(of_any_worker=True)

    assert (await core.watch.get(ME, task.id)).status is Status.CANCELED


async def test_what_runs_below_a_task_that_fails_in_the_same_sweep_is_canceled_not_run_again(
    core: Core,
) -> None:
    root = await given.a_task(core, "one")
    for _ in range(MAX_WORKER_LOSSES - 1):
        await given.claimed(core)
        await core.upkeep.sweep(of_any_worker=True)
    [parent] = (await given.claimed(core)).values()
    step = core.journal.new_step(parent, "0/0", StepKind.DELEGATION, "one", {}, StepStatus.OPEN)
    await core.journal.delegate(parent, step, [Delegation(agent_id="one", task_data={}, labels={})])
    [child] = (await given.claimed(core)).values()

    await core.upkeep.sweep(of_any_worker=True)

    assert (await core.watch.get(ME, root.id)).reason == "worker_lost"
    ended = await core.watch.get(ME, child.id)
    assert (ended.status, ended.reason) == (Status.CANCELED, "parent_ended")


async def test_a_timer_wakes_its_task_when_it_is_due(core: Core, clock: TestClock) -> None:
    task = await given.a_running_task(core, "one")
    until = clock.now() + timedelta(seconds=10)
    await core.attempts.finish(task, Suspended(reason=Reason.TIMER, until=until))
    assert await core.upkeep.sweep() == until

    clock.advance(9)
    await core.upkeep.sweep()
    assert (await core.watch.get(ME, task.id)).status is Status.WAITING
    clock.advance(1)
    await core.upkeep.sweep()

    assert (await core.watch.get(ME, task.id)).status is Status.PENDING


@pytest.mark.parametrize("waits", [True, False])
async def test_a_task_that_nobody_carries_is_ended_at_its_deadline(
    core: Core, clock: TestClock, waits: bool
) -> None:
    task = await given.a_running_task(core, "one", timeout_seconds=60)
    step = core.journal.new_step(task, "0/0", StepKind.DELEGATION, "one", {}, StepStatus.OPEN)
    await core.journal.delegate(task, step, [Delegation(agent_id="one", task_data={}, labels={})])
    if waits:
        await core.attempts.finish(task, Suspended(reason=Reason.CHILDREN))
    clock.advance(61)
    await core.upkeep.sweep()

    assert (await core.watch.get(ME, task.id)).reason == "timeout"
    [child] = await core.watch.children(ME, task.id)
    assert child.status.is_final


async def test_the_next_look_is_at_the_first_time_that_is_still_to_come(core: Core, clock: TestClock) -> None:
    start = clock.now()
    assert await core.upkeep.sweep() is None
    await given.a_task(core, "one", timeout_seconds=100)
    assert await core.upkeep.sweep() == start + timedelta(seconds=100)

    await given.a_task(core, "one", run_after=start + timedelta(seconds=7), timeout_seconds=50)
    assert await core.upkeep.sweep() == start + timedelta(seconds=7)
    clock.advance(7)

    assert await core.upkeep.sweep() == start + timedelta(seconds=57)


async def test_a_sweep_with_nothing_to_do_writes_nothing(core: Core) -> None:
    await given.a_running_task(core, "one")
    await given.a_task(core, "one")
    before = given.rows(core, "SELECT * FROM agent_tasks"), given.rows(core, "PRAGMA data_version")

    await core.upkeep.sweep()

    assert (given.rows(core, "SELECT * FROM agent_tasks"), given.rows(core, "PRAGMA data_version")) == before


async def test_however_much_is_due_a_sweep_takes_so_many_and_is_to_go_on_at_once(
    core: Core, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SWEPT_AT_ONCE", 2)
    until = clock.now() + timedelta(seconds=10)
    for _ in range(5):
        sleeper = await given.a_running_task(core, "one")
        await core.attempts.finish(sleeper, Suspended(reason=Reason.TIMER, until=until))
    for _ in range(5):
        await given.a_task(core, "one", timeout_seconds=5)
    clock.advance(11)
    counted = "SELECT status, count(*) FROM agent_tasks WHERE status <> 'pending' GROUP BY 1 ORDER BY 1"

    assert await core.upkeep.sweep() == clock.now()
    assert given.rows(core, counted) == [("failed", 2), ("waiting", 3)]
    assert await core.upkeep.sweep() == clock.now()
    assert given.rows(core, counted) == [("failed", 4), ("waiting", 1)]
    due = await core.upkeep.sweep()
    assert given.rows(core, counted) == [("failed", 5)]
    assert due is not None
    assert due > clock.now()


async def test_an_engine_sweeps_on_until_all_that_is_due_was_seen_to(
    tmp_path: Path, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock stands still afterwards: a look that waited for its next time would never come."""
    monkeypatch.setattr(upkeep, "SWEPT_AT_ONCE", 1)

    async def sleeper(ctx: PlaybookContext) -> None:
        await ctx.sleep(10)

    async with given.a_core(tmp_path, playbooks={"sleeper": sleeper}, clock=clock) as core:
        sleepers = [await given.a_task(core, "sleeper") for _ in range(3)]
        for one in sleepers:
            await given.event(core, one, EventKind.WAITING)
        await given.pass_time(core, clock, 11)

        for one in sleepers:
            assert (await given.ended(core, one)).status is Status.COMPLETED


async def test_what_dead_workers_held_is_given_back_whatever_becomes_of_the_rest(
    core: Core, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SWEPT_AT_ONCE", 2)
    mine, *dead = [await given.a_running_task(core, "one") for _ in range(6)]
    for _ in range(5):
        await given.a_task(core, "one", timeout_seconds=20)
    clock.advance(31)

    async def fails(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(upkeep.Upkeep, "_end_late", fails)
    with pytest.raises(RuntimeError, match="a fault"):
        await core.upkeep.sweep(but_not={mine.id: 1})

    assert {(await core.watch.get(ME, task.id)).status for task in dead} == {Status.PENDING}
    assert (await core.watch.get(ME, mine.id)).status is Status.RUNNING


async def test_a_sweep_waits_for_no_task_that_another_transaction_holds(
    core: Core, clock: TestClock, database: str
) -> None:
    if database == "sqlite":
        pytest.skip("it has one writer, for whom everybody waits")
    held, other = [await given.a_task(core, "one", timeout_seconds=20) for _ in range(2)]
    clock.advance(21)

    async with core.db.write() as tx:
        await tasks.hold(tx, [held.id])
        async with asyncio.timeout(given.LIMIT_SECONDS):
            await core.upkeep.sweep()

    assert (await core.watch.get(ME, other.id)).reason == "timeout"
    assert (await core.watch.get(ME, held.id)).status is Status.PENDING
    await core.upkeep.sweep()
    assert (await core.watch.get(ME, held.id)).reason == "timeout"
