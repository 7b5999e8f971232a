"""Attempts: what a worker may do with a task, and what becomes of it when several end at once."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from chargehand.app.core import Core
from chargehand.domain.agent_block import Block
from chargehand.domain.history import EventKind, StepKind, StepStatus
from chargehand.domain.task import (
    Canceled,
    Completed,
    Failed,
    Outcome,
    Reason,
    Released,
    Status,
    Suspended,
    Task,
    TaskError,
)
from chargehand.errors import LeaseLost
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from tests import given
from tests.given import ME, TestClock
from tests.invariants import violations

BROKEN = TaskError(reason=Reason.AGENT_ERROR, message="it broke")


async def idle(ctx: PlaybookContext) -> None:
    del ctx


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest_asyncio.fixture
async def core(tmp_path: Path, clock: TestClock) -> AsyncGenerator[Core, None]:
    """A core whose tasks are claimed and ended by hand."""
    async with given.a_core(tmp_path, playbooks={"one": idle}, clock=clock, with_engine=False) as opened:
        yield opened
        assert violations(opened.settings.database_path) == []


async def children_of(core: Core, parent: Task, count: int) -> list[Task]:
    """Delegate `count` times in one step, and claim what came of it."""
    step = core.journal.new_step(parent, "0/0", StepKind.DELEGATION, "one", {}, StepStatus.OPEN)
    await core.journal.delegate(parent, step, [Delegation(agent_id="one", task_data={}, labels={})] * count)
    return sorted((await given.claimed(core)).values(), key=lambda task: task.id)


async def status(core: Core, task: Task) -> tuple[Status, str | None]:
    now = await core.watch.get(ME, task.id)
    return now.status, now.reason


async def test_a_claim_counts_the_attempt_and_starts_the_lease(core: Core, clock: TestClock) -> None:
    submitted = await given.a_task(core, "one")

    task = (await given.claimed(core))[submitted.id]

    assert (task.status, task.attempt, task.worker_id) == (Status.RUNNING, 1, "worker-1")
    assert task.lease_until == clock.now() + core.attempts.lease
    assert await given.kinds(core, task) == ["task.submitted", "task.started"]


async def test_a_task_is_claimed_by_one_worker_only(core: Core) -> None:
    for _ in range(20):
        await given.a_task(core, "one")

    both = await asyncio.gather(*(core.attempts.claim(f"worker-{n}", limit=15) for n in range(2)))

    assert sorted(map(len, both)) == [5, 15]
    assert len({task.id for claimed in both for task in claimed}) == 20


async def test_the_more_urgent_goes_first_then_the_one_due_longest(core: Core, clock: TestClock) -> None:
    late = await given.a_task(core, "one")
    clock.advance(1)
    later = await given.a_task(core, "one")
    urgent = await given.a_task(core, "one", priority=5)
    unhurried = await given.a_task(core, "one", priority=-5)

    order = [(await core.attempts.claim("w", limit=1))[0].id for _ in range(4)]

    assert order == [urgent.id, late.id, later.id, unhurried.id]


async def test_a_delayed_task_is_not_claimed_before_its_time(core: Core, clock: TestClock) -> None:
    delayed = await given.a_task(core, "one", run_after=clock.now().replace(minute=1))

    assert await given.claimed(core) == {}
    clock.advance(60)
    assert list(await given.claimed(core)) == [delayed.id]


@pytest.mark.parametrize(
    ("outcome", "stands", "told"),
    [
        (Completed(result={"n": 1}), (Status.COMPLETED, None), "task.completed"),
        (Failed(error=BROKEN), (Status.FAILED, "agent_error"), "task.failed"),
        (Failed(error=BROKEN, may_retry=True), (Status.FAILED, "agent_error"), "task.failed"),
        (Suspended(reason=Reason.QUESTION), (Status.WAITING, "question"), "task.waiting"),
        (Released(), (Status.PENDING, None), "task.released"),
        (Canceled(), (Status.CANCELED, "canceled_by_caller"), "task.canceled"),
    ],
)
async def test_an_outcome_becomes_a_status_and_an_event(
    core: Core, outcome: Outcome, stands: tuple[Status, str | None], told: str
) -> None:
    task = await given.a_running_task(core, "one")
    if isinstance(outcome, Suspended):
        step = core.journal.new_step(task, "0/0", StepKind.QUESTION, "ask", {}, StepStatus.OPEN)
        await core.journal.ask(task, step)

    ended = await core.attempts.finish(task, outcome)

    assert (ended.status, ended.reason) == stands == await status(core, task)
    assert (await given.kinds(core, task))[-1] == told


async def test_the_result_and_the_error_are_kept(core: Core) -> None:
    good, bad = await given.a_running_task(core, "one"), await given.a_running_task(core, "one")

    await core.attempts.finish(good, Completed(result=[1, {"two": None}]))
    await core.attempts.finish(bad, Failed(error=BROKEN))

    assert (await core.watch.get(ME, good.id)).result == [1, {"two": None}]
    assert (await core.watch.get(ME, bad.id)).error == BROKEN.as_data()


async def test_a_worker_whose_task_was_taken_over_can_write_nothing_more(
    core: Core, clock: TestClock
) -> None:
    slow = await given.a_running_task(core, "one")
    step = core.journal.new_step(slow, "0/0", StepKind.TOOL, "Read", {}, StepStatus.RUNNING)
    await core.journal.begin(slow, step)
    clock.advance(core.attempts.lease.total_seconds() + 1)
    await core.upkeep.sweep()
    [other] = (await given.claimed(core, worker="worker-2")).values()
    before = given.rows(core, "SELECT * FROM task_events"), given.rows(core, "SELECT * FROM task_steps")

    for late in (
        core.attempts.finish(slow, Completed(result="late")),
        core.attempts.next_round(slow, []),
        core.attempts.report(slow, EventKind.PROGRESS, {"message": "late"}),
        core.journal.begin(slow, step),
        core.journal.end(slow, step, "late"),
        core.journal.ask(slow, step),
        core.journal.set_timer(slow, step, clock.now()),
        core.journal.delegate(slow, step, [Delegation(agent_id="one", task_data={}, labels={})]),
        core.deliveries.store(slow, []),
    ):
        with pytest.raises(LeaseLost):
            await late

    assert (
        given.rows(core, "SELECT * FROM task_events"),
        given.rows(core, "SELECT * FROM task_steps"),
    ) == before
    assert (await core.attempts.finish(other, Completed(result="mine"))).result == "mine"


async def test_a_stale_and_a_living_attempt_that_end_in_one_commit_get_their_own_answers(
    core: Core, clock: TestClock
) -> None:
    stale = await given.a_running_task(core, "one")
    clock.advance(core.attempts.lease.total_seconds() + 1)
    await core.upkeep.sweep()
    [alive] = (await given.claimed(core)).values()

    answers = await asyncio.gather(
        core.attempts.finish(stale, Completed(result="stale")),
        core.attempts.finish(alive, Completed(result="alive")),
        core.attempts.finish(stale, Failed(error=BROKEN)),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers] == [LeaseLost, Task, LeaseLost]
    assert (await core.watch.get(ME, alive.id)).result == "alive"


async def test_an_attempt_ends_once(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    await core.attempts.finish(task, Completed())

    with pytest.raises(LeaseLost):
        await core.attempts.finish(task, Failed(error=BROKEN))


async def test_leases_are_prolonged_for_those_who_hold_them(core: Core, clock: TestClock) -> None:
    mine, ended = await given.a_running_task(core, "one"), await given.a_running_task(core, "one")
    await core.attempts.finish(ended, Completed())
    clock.advance(10)

    lost, canceled = await core.attempts.renew("worker-1", {mine.id: 1, ended.id: 1})

    assert (lost, canceled) == ({ended.id}, set())
    assert (await core.watch.get(ME, mine.id)).lease_until == clock.now() + core.attempts.lease
    assert (await core.attempts.renew("worker-2", {mine.id: 1}))[0] == {mine.id}
    assert (await core.attempts.renew("worker-1", {mine.id: 2}))[0] == {mine.id}


async def test_a_child_that_ends_in_the_commit_in_which_its_parent_suspends_wakes_it(core: Core) -> None:
    parent = await given.a_running_task(core, "one")
    [child] = await children_of(core, parent, 1)

    await asyncio.gather(
        core.attempts.finish(parent, Suspended(reason=Reason.CHILDREN)),
        core.attempts.finish(child, Completed(result=1)),
    )

    assert await status(core, parent) == (Status.PENDING, None)


async def test_a_child_that_fails_in_that_commit_wakes_it_too(core: Core) -> None:
    parent = await given.a_running_task(core, "one")
    [child] = await children_of(core, parent, 1)

    await asyncio.gather(
        core.attempts.finish(child, Failed(error=BROKEN)),
        core.attempts.finish(parent, Suspended(reason=Reason.CHILDREN)),
    )

    assert await status(core, parent) == (Status.PENDING, None)


async def test_a_parent_is_woken_by_its_last_child_and_not_before(core: Core) -> None:
    parent = await given.a_running_task(core, "one")
    first, second = await children_of(core, parent, 2)
    await core.attempts.finish(parent, Suspended(reason=Reason.CHILDREN))

    await core.attempts.finish(first, Completed())
    assert await status(core, parent) == (Status.WAITING, "children")
    await core.attempts.finish(second, Failed(error=BROKEN))

    assert await status(core, parent) == (Status.PENDING, None)
    assert (await given.kinds(core, parent)).count("task.child_finished") == 2


async def test_a_child_that_ended_before_its_parent_suspends_sends_it_back_to_look(core: Core) -> None:
    parent = await given.a_running_task(core, "one")
    [child] = await children_of(core, parent, 1)
    await core.attempts.finish(child, Completed())

    ended = await core.attempts.finish(parent, Suspended(reason=Reason.CHILDREN))

    assert ended.status is Status.PENDING


async def test_all_children_that_end_at_once_wake_their_parent_once(core: Core) -> None:
    parent = await given.a_running_task(core, "one")
    children = await children_of(core, parent, 5)
    await core.attempts.finish(parent, Suspended(reason=Reason.CHILDREN))

    await asyncio.gather(*(core.attempts.finish(child, Completed()) for child in children))

    assert await status(core, parent) == (Status.PENDING, None)
    assert (await given.kinds(core, parent)).count("task.woken") == 1


@pytest.mark.parametrize("outcome", [Completed(), Failed(error=BROKEN), Canceled()])
async def test_what_is_open_below_an_ended_task_is_ended_too(core: Core, outcome: Outcome) -> None:
    parent = await given.a_running_task(core, "one")
    running, grandparent = await children_of(core, parent, 2)
    [idle_below] = await children_of(core, grandparent, 1)
    await core.attempts.finish(idle_below, Released())
    await core.attempts.finish(grandparent, Suspended(reason=Reason.CHILDREN))

    await core.attempts.finish(parent, outcome)

    assert await status(core, idle_below) == (Status.CANCELED, "parent_ended")
    assert await status(core, grandparent) == (Status.CANCELED, "parent_ended")
    assert await status(core, running) == (Status.RUNNING, "parent_ended")
    assert (await core.attempts.renew("worker-1", {running.id: 1}))[1] == {running.id}
    assert (await core.attempts.finish(running, Suspended(reason=Reason.QUESTION))).status is Status.CANCELED
    assert await status(core, running) == (Status.CANCELED, "parent_ended")


async def test_a_parent_and_its_child_that_end_in_one_commit_both_end_once(core: Core) -> None:
    parent = await given.a_running_task(core, "one")
    [child] = await children_of(core, parent, 1)

    await asyncio.gather(
        core.attempts.finish(parent, Failed(error=BROKEN)), core.attempts.finish(child, Failed(error=BROKEN))
    )

    assert await status(core, parent) == (Status.FAILED, "agent_error")
    assert (await status(core, child))[0].is_final


@pytest.mark.parametrize(
    ("outcome", "stands"),
    [
        (Failed(error=BROKEN), Status.CANCELED),
        (Failed(error=BROKEN, may_retry=True), Status.CANCELED),
        (Suspended(reason=Reason.CHILDREN), Status.CANCELED),
        (Released(), Status.CANCELED),
        (Completed(), Status.COMPLETED),
    ],
)
async def test_a_cancel_wins_over_everything_but_a_finished_work(
    core: Core, outcome: Outcome, stands: Status
) -> None:
    task = await given.a_running_task(core, "one")
    assert await core.tasks.cancel(ME, task.id) == "requested"

    assert (await core.attempts.finish(task, outcome)).status is stands


async def test_a_failure_is_tried_again_as_the_policy_says_and_then_fails(
    core: Core, clock: TestClock
) -> None:
    await given.an_agent(core, "stubborn", playbook="one", attempts=3, retry_seconds=10)
    submitted = await given.a_task(core, "stubborn")
    waits: list[float] = []

    for _ in range(2):
        [task] = (await given.claimed(core)).values()
        deferred = await core.attempts.finish(task, Failed(error=BROKEN, may_retry=True))
        assert (deferred.status, deferred.reason) == (Status.PENDING, "retry")
        waits.append((deferred.run_after - clock.now()).total_seconds())
        assert await given.claimed(core) == {}
        clock.advance(waits[-1])
    [task] = (await given.claimed(core)).values()
    last = await core.attempts.finish(task, Failed(error=BROKEN, may_retry=True))

    # Half of the pauses, as the test's clock has it: where between nothing and the whole pause is left to chance.
    assert waits == [5, 10]
    assert (last.status, last.attempt) == (Status.FAILED, 3)
    assert (await given.kinds(core, submitted)).count("task.deferred") == 2


async def test_the_pause_before_another_try_grows_up_to_a_limit(core: Core, clock: TestClock) -> None:
    await given.an_agent(core, "one", playbook="one", attempts=5, retry_seconds=10, retry_max_seconds=30)
    await given.a_task(core, "one")
    waits: list[float] = []

    for _ in range(4):
        [task] = (await given.claimed(core)).values()
        deferred = await core.attempts.finish(task, Failed(error=BROKEN, may_retry=True))
        waits.append((deferred.run_after - clock.now()).total_seconds())
        clock.advance(waits[-1])

    assert waits == [5, 10, 15, 15]


@pytest.mark.parametrize(
    ("block", "longest"), [(Block(), 3600), (Block(retry_seconds=7200), 7200)], ids=["default", "long"]
)
async def test_without_a_limit_of_its_own_a_pause_is_an_hour_at_most_or_as_long_as_the_first(
    block: Block, longest: float
) -> None:
    assert block.longest_pause(19) == longest


async def test_a_failure_that_cannot_be_mended_by_trying_again_is_not_tried_again(core: Core) -> None:
    await given.an_agent(core, "stubborn", playbook="one", attempts=3)
    task = await given.a_running_task(core, "stubborn")

    assert (await core.attempts.finish(task, Failed(error=BROKEN, may_retry=False))).status is Status.FAILED


async def test_a_retry_does_the_step_that_failed_anew_and_keeps_what_went_well(core: Core) -> None:
    await given.an_agent(core, "stubborn", playbook="one", attempts=2, retry_seconds=0)
    task = await given.a_running_task(core, "stubborn")
    for path, is_error in (("0/0", True), ("0/1", False), ("0/2", True)):
        step = core.journal.new_step(task, path, StepKind.TOOL, "Read", {}, StepStatus.RUNNING)
        await core.journal.begin(task, step)
        await core.journal.end(task, step, {"is_error": is_error})

    await core.attempts.finish(task, Failed(error=BROKEN, may_retry=True))

    assert [step.path for step in await core.watch.steps(ME, task.id)] == ["0/0", "0/1"]


async def test_a_release_can_ask_for_a_pause(core: Core, clock: TestClock) -> None:
    task = await given.a_running_task(core, "one")

    await core.attempts.finish(task, Released(after_seconds=5))

    assert await given.claimed(core) == {}
    clock.advance(5)
    assert list(await given.claimed(core)) == [task.id]


async def test_outcomes_whose_callers_were_cut_off_are_written_all_the_same(core: Core) -> None:
    tasks = [await given.a_running_task(core, "one") for _ in range(3)]
    finishing = [asyncio.create_task(core.attempts.finish(task, Completed())) for task in tasks]
    await asyncio.sleep(0)
    for one in finishing:
        one.cancel()
    await asyncio.wait(finishing)

    await core.attempts.drain()

    assert [(await status(core, task))[0] for task in tasks] == [Status.COMPLETED] * 3


async def test_an_outcome_that_cannot_be_stored_fails_its_own_caller_only(core: Core) -> None:
    good, bad = await given.a_running_task(core, "one"), await given.a_running_task(core, "one")

    answers = await asyncio.gather(
        core.attempts.finish(good, Completed(result=1)),
        core.attempts.finish(bad, Completed(result=object())),  # pyright: ignore[reportArgumentType] - what is under test
        return_exceptions=True,
    )

    assert isinstance(answers[0], Task)
    assert isinstance(answers[1], Exception)
    assert (await status(core, good), await status(core, bad)) == (
        (Status.COMPLETED, None),
        (Status.RUNNING, None),
    )
