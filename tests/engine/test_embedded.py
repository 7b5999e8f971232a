"""The embedded engine: woken by commits, holding no slot for a wait, stopping and starting without a trace."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from chargehand.app.core import Core
from chargehand.clock import SystemClock
from chargehand.domain.access import Scope
from chargehand.domain.history import EventKind, Step, StepKind, StepStatus
from chargehand.domain.task import Status
from chargehand.domain.tenant_limits import TenantLimits
from chargehand.domain.values import JsonValue
from chargehand.runtimes.base import AgentFailure
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from tests import given
from tests.gate import Gate, until_entered
from tests.given import ME, TestClock
from tests.invariants import violations

pytestmark = pytest.mark.usefixtures("database")


def order(agent_id: str, **data: JsonValue) -> Delegation:
    return Delegation(agent_id=agent_id, task_data=data, labels={})


async def noop(ctx: PlaybookContext) -> JsonValue:
    return ctx.data


async def tree(ctx: PlaybookContext) -> JsonValue:
    """Delegates to three of its kind until it is deep enough; how many tasks stand from here on."""
    levels = ctx.data["levels"]
    assert isinstance(levels, int)
    if levels == 0:
        return 1
    below = await ctx.must_delegate(*(order("tree", levels=levels - 1) for _ in range(3)))
    return 1 + sum(count for count in below if isinstance(count, int))


def sound(core: Core) -> bool:
    return violations(core.settings.database_path) == []


async def test_a_tree_five_levels_deep_and_three_wide_completes_with_one_slot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with given.a_core(tmp_path, playbooks={"tree": tree}, slots=1) as core:
        started = time.perf_counter()
        root = await given.a_task(core, "tree", {"levels": 5})
        ended = await core.watch.wait(ME, root.id, 120)
        took = time.perf_counter() - started

        assert (ended.status, ended.result) == (Status.COMPLETED, 364)
        assert given.rows(core, "SELECT count(*), sum(status = 'completed') FROM agent_tasks") == [(364, 364)]
        assert (ended.steps_spent, ended.children_spent) == (121, 363)
        assert sound(core)
    with capsys.disabled():
        print(f"\n364 tasks, five levels, one slot: {took:.1f} s")  # noqa: T201 - the evidence


async def test_a_submitted_task_is_carried_out_without_anyone_looking_for_it(tmp_path: Path) -> None:
    """The clock stands still: nothing that polls could find it."""
    async with given.a_core(tmp_path, playbooks={"noop": noop}, clock=TestClock()) as core:
        tasks = [await given.a_task(core, "noop", {"n": n}) for n in range(20)]

        assert [(await given.ended(core, task)).result for task in tasks] == [{"n": n} for n in range(20)]


async def test_no_more_attempts_run_at_once_than_there_are_slots(tmp_path: Path) -> None:
    gates = [Gate() for _ in range(5)]

    async def gated(ctx: PlaybookContext) -> JsonValue:
        n = ctx.data["n"]
        assert isinstance(n, int)
        return await gates[n].playbook(ctx)

    async with given.a_core(tmp_path, playbooks={"gated": gated}, slots=2) as core:
        tasks = [await given.a_task(core, "gated", {"n": n}) for n in range(5)]
        await until_entered(gates[0])
        await until_entered(gates[1])

        assert core.engine is not None
        assert core.engine.running == 2
        assert await core.watch.counts() == {"running": 2, "pending": 3}
        gates[0].may_go.set()
        await until_entered(gates[2])
        assert not gates[3].entered.is_set()

        for gate in gates:
            gate.may_go.set()
        for task in tasks:
            await given.ended(core, task)


@pytest.mark.parametrize(
    ("own", "options"),
    [({"concurrency": 1}, {}), ({}, {"tenant_concurrency": 1}), ({}, {"global_concurrency": 1})],
)
async def test_what_a_limit_holds_back_begins_when_a_task_ends_and_not_at_the_next_look(
    tmp_path: Path, own: dict[str, int], options: dict[str, Any]
) -> None:
    async with given.a_core(tmp_path, playbooks={"one": noop}, lease_seconds=600, **options) as core:
        await given.an_agent(core, "one", playbook="one", **own)
        tasks = [await given.a_task(core, "one") for _ in range(6)]

        for task in tasks:
            assert (await given.ended(core, task)).status is Status.COMPLETED


async def test_what_a_limit_holds_back_begins_when_the_limit_is_raised(tmp_path: Path, gate: Gate) -> None:
    async with given.a_core(
        tmp_path, playbooks={"one": gate.playbook, "two": noop}, lease_seconds=600, tenant_concurrency=1
    ) as core:
        holding = await given.a_task(core, "one")
        await until_entered(gate)
        held_back = await given.a_task(core, "two")
        operator = replace(ME, scopes=frozenset({Scope.ADMIN_SERVICE}))

        await core.quotas.limits.replace(operator, ME.tenant, TenantLimits(concurrency=2))

        assert (await given.ended(core, held_back)).status is Status.COMPLETED
        gate.may_go.set()
        await given.ended(core, holding)


async def test_waiting_for_a_child_a_person_or_a_time_holds_no_slot(tmp_path: Path) -> None:
    clock = TestClock()

    async def sleeper(ctx: PlaybookContext) -> JsonValue:
        await ctx.sleep(3600)
        return "slept"

    async def asker(ctx: PlaybookContext) -> JsonValue:
        return await ctx.ask("Which?", choices=["red", "blue"])

    async def parent(ctx: PlaybookContext) -> JsonValue:
        return await ctx.must_delegate(order("asker"))

    playbooks = {"sleeper": sleeper, "asker": asker, "parent": parent, "noop": noop}
    async with given.a_core(tmp_path, playbooks=playbooks, slots=1, clock=clock) as core:
        waiting = [await given.a_task(core, name) for name in ("sleeper", "asker", "parent")]
        for task in waiting:
            await given.event(core, task, EventKind.WAITING)

        assert (await given.ended(core, await given.a_task(core, "noop"))).status is Status.COMPLETED

        [child] = await core.watch.children(ME, waiting[2].id)
        await given.event(core, child, EventKind.ASKED)
        await core.tasks.answer(ME, waiting[1].id, "0/0", "red")
        await core.tasks.answer(ME, child.id, "0/0", "blue")
        assert (await given.ended(core, waiting[1])).result == "red"
        assert (await given.ended(core, waiting[2])).result == ["blue"]
        assert (await core.watch.get(ME, waiting[0].id)).status is Status.WAITING
        clock.advance(3600)
        assert (await given.ended(core, waiting[0])).result == "slept"
        assert sound(core)


async def test_a_delayed_task_starts_when_its_time_has_come(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"noop": noop}, clock=clock) as core:
        delayed = await given.a_task(core, "noop", run_after=clock.now().replace(minute=5))
        soon = await given.a_task(core, "noop", run_after=clock.now().replace(minute=1))
        await given.ended(core, await given.a_task(core, "noop"))

        clock.advance(60)
        await given.ended(core, soon)
        assert (await core.watch.get(ME, delayed.id)).attempt == 0
        clock.advance(240)
        await given.ended(core, delayed)


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def test_a_graceful_stop_lets_a_running_step_end_and_spends_no_attempt(
    tmp_path: Path, gate: Gate
) -> None:
    async with given.a_core(tmp_path, playbooks={"gated": gate.playbook}) as core:
        task = await given.a_task(core, "gated")
        await until_entered(gate)
        asyncio.get_running_loop().call_later(0.05, gate.may_go.set)

    assert query_status(core, task.id) == ("pending", None, 0, 0)
    assert {step.path: step.status for step in await journal_of(tmp_path, task.id)} == {
        "0/0": StepStatus.DONE,
        "0/1": StepStatus.DONE,
    }
    async with given.a_core(tmp_path, playbooks={"gated": gate.playbook}) as core:
        assert (await given.ended(core, task)).result == ["before", "through", "after"]
        assert gate.calls == 1
        assert "task.released" in await given.kinds(core, task)
        assert "task.rescued" not in await given.kinds(core, task)
        assert sound(core)


async def test_a_step_that_outlasts_the_grace_is_cut_off_and_done_again_later(
    tmp_path: Path, gate: Gate
) -> None:
    async with given.a_core(tmp_path, playbooks={"gated": gate.playbook}, shutdown_grace_seconds=0) as core:
        task = await given.a_task(core, "gated")
        await until_entered(gate)

    assert query_status(core, task.id) == ("pending", None, 0, 0)
    gate.may_go.set()
    async with given.a_core(tmp_path, playbooks={"gated": gate.playbook}) as core:
        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert gate.calls == 2


def query_status(core: Core, task_id: str) -> tuple[object, ...]:
    [row] = given.rows(core, "SELECT status, reason, losses, tries FROM agent_tasks WHERE id = ?", task_id)
    return row


async def journal_of(folder: Path, task_id: str) -> list[Step]:
    async with given.a_core(folder, with_engine=False) as core:
        return await core.watch.steps(ME, task_id)


async def test_stopping_again_and_again_under_load_fails_no_task(tmp_path: Path) -> None:
    """More stops than a task may lose workers: not one of them counts."""

    async def three_steps(ctx: PlaybookContext) -> JsonValue:
        for number in range(3):
            await ctx.once(f"step-{number}", lambda: None)
        return "done"

    tasks: list[str] = []
    for _ in range(8):
        async with given.a_core(tmp_path, playbooks={"steps": three_steps}, slots=3) as core:
            tasks += [(await given.a_task(core, "steps")).id for _ in range(6)]
    async with given.a_core(tmp_path, playbooks={"steps": three_steps}) as core:
        for task_id in tasks:
            assert (await given.ended(core, task_id)).status is Status.COMPLETED
        assert given.rows(core, "SELECT count(*) FROM task_events WHERE kind = 'task.rescued'") == [(0,)]
        assert sound(core)


async def test_a_task_that_runs_past_its_deadline_fails_with_timeout(tmp_path: Path, gate: Gate) -> None:
    async with given.a_core(tmp_path, playbooks={"gated": gate.playbook}) as core:
        task = await given.a_task(core, "gated", timeout_seconds=0.3)

        ended = await given.ended(core, task)

        assert (ended.status, ended.reason) == (Status.FAILED, "timeout")
        assert sound(core)


async def test_a_task_that_waits_past_its_deadline_fails_with_timeout_and_so_does_what_is_below(
    tmp_path: Path,
) -> None:
    async def asker(ctx: PlaybookContext) -> JsonValue:
        return await ctx.ask("Anyone?")

    async def parent(ctx: PlaybookContext) -> JsonValue:
        return await ctx.must_delegate(order("asker"))

    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"parent": parent, "asker": asker}, clock=clock) as core:
        task = await given.a_task(core, "parent", timeout_seconds=60)
        await given.event(core, task, EventKind.WAITING)
        [below] = await core.watch.children(ME, task.id)
        await given.event(core, below, EventKind.WAITING)

        clock.advance(61)

        ended = await given.ended(core, task)
        assert (ended.status, ended.reason) == (Status.FAILED, "timeout")
        child = await core.watch.get(ME, below.id)
        assert child.status.is_final
        assert sound(core)


async def test_what_a_dead_engine_carried_goes_on_from_its_journal_at_the_next_start(
    tmp_path: Path, database: str
) -> None:
    clock, calls = TestClock(), list[str]()

    async def counted(ctx: PlaybookContext) -> JsonValue:
        await ctx.once("one", lambda: calls.append("one"))
        await ctx.once("two", lambda: calls.append("two"))
        return ctx.task.attempt

    async with given.a_core(tmp_path, playbooks={"counted": counted}, clock=clock, with_engine=False) as core:
        dead = await given.a_running_task(core, "counted")
        await record(core, dead.id)
        lease_seconds = core.settings.lease_seconds

    if database != "sqlite":
        # Whoever shares the database cannot know that the other is dead before its lease is over.
        clock.advance(lease_seconds + 1)
    async with given.a_core(tmp_path, playbooks={"counted": counted}, clock=clock) as core:
        assert (await given.ended(core, dead)).result == 2
        assert "task.rescued" in await given.kinds(core, dead)
        assert calls == ["two"]


async def record(core: Core, task_id: str) -> None:
    """The first step as the dead engine had finished it."""
    task = await core.watch.get(ME, task_id)
    step = core.journal.new_step(task, "0/0", StepKind.VALUE, "one", {}, StepStatus.RUNNING)
    await core.journal.begin(task, step)
    await core.journal.end(task, step, None)


async def test_a_clock_set_forward_or_back_disturbs_no_running_attempt(tmp_path: Path, gate: Gate) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"gated": gate.playbook, "noop": noop}, clock=clock) as core:
        task = await given.a_task(core, "gated")
        await until_entered(gate)

        for seconds in (7200, -10_800, 3600):
            clock.jump(seconds)
            await given.ended(core, await given.a_task(core, "noop"))

        gate.may_go.set()
        ended = await given.ended(core, task)
        assert (ended.attempt, ended.losses, gate.calls) == (1, 0, 1)


async def test_leases_of_running_attempts_are_prolonged_as_time_passes(tmp_path: Path, gate: Gate) -> None:
    clock = TestClock()
    async with given.a_core(
        tmp_path, playbooks={"gated": gate.playbook}, clock=clock, lease_seconds=30
    ) as core:
        task = await given.a_task(core, "gated")
        await until_entered(gate)
        first = (await core.watch.get(ME, task.id)).lease_until
        assert first is not None

        async def it_is_longer() -> bool:
            now = (await core.watch.get(ME, task.id)).lease_until
            return now is not None and now > first

        await given.pass_time(core, clock, 11)
        await given.eventually(it_is_longer)

        gate.may_go.set()
        assert (await given.ended(core, task)).attempt == 1


async def test_an_attempt_whose_lease_was_taken_away_drops_its_work(tmp_path: Path, gate: Gate) -> None:
    """As when another service has taken the task over: here its row is changed past the engine."""
    clock = TestClock()
    async with given.a_core(
        tmp_path, playbooks={"gated": gate.playbook}, clock=clock, lease_seconds=30
    ) as core:
        task = await given.a_task(core, "gated")
        await until_entered(gate)
        async with core.db.write() as tx:
            taken = "UPDATE agent_tasks SET attempt = attempt + 1, worker_id = 'another' WHERE id = :id"
            await tx.connection.execute(text(taken), {"id": task.id})

        async def it_was_dropped() -> bool:
            assert core.engine is not None
            return core.engine.running == 0

        await given.pass_time(core, clock, 11)
        await given.eventually(it_was_dropped)

        now = await core.watch.get(ME, task.id)
        assert (now.status, now.worker_id, now.attempt) == (Status.RUNNING, "another", 2)


class Flighty(SystemClock):
    """Sleeps of the engine after a fault are short here."""

    async def sleep_until(self, when: object, wake: asyncio.Event) -> None:
        del when
        try:
            async with asyncio.timeout(0.02):
                await wake.wait()
        except TimeoutError:
            return


async def test_the_engine_outlives_faults_of_the_database(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"noop": noop}, clock=Flighty()) as core:
        async with core.db.write() as tx:
            await tx.connection.exec_driver_sql("ALTER TABLE agent_tasks RENAME TO hidden")
        assert core.engine is not None
        core.engine.wake()
        await asyncio.sleep(0.1)
        assert core.engine.is_alive
        async with core.db.write() as tx:
            await tx.connection.exec_driver_sql("ALTER TABLE hidden RENAME TO agent_tasks")

        assert (await given.ended(core, await given.a_task(core, "noop"))).status is Status.COMPLETED


async def failing(ctx: PlaybookContext) -> JsonValue:
    raise AgentFailure(f"attempt {ctx.task.attempt} failed", may_retry=True)


async def test_a_failing_agent_is_tried_again_after_growing_pauses(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"failing": failing}, clock=clock) as core:
        await given.an_agent(core, "failing", playbook="failing", attempts=3, retry_seconds=10)
        task = await given.a_task(core, "failing")

        await given.event(core, task, EventKind.DEFERRED)
        clock.advance(10)
        await given.event(core, task, EventKind.DEFERRED, count=2)
        clock.advance(20)
        ended = await given.ended(core, task)

        assert (ended.status, ended.attempt) == (Status.FAILED, 3)
        assert ended.error is not None
        assert ended.error["message"] == "attempt 3 failed"
