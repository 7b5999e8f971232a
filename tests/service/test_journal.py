"""The journal's transactions: a step, its charge and its event are one; the budget is hard."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from chargehand.app.core import Core
from chargehand.domain.history import Step, StepKind, StepStatus
from chargehand.domain.task import Completed, Reason, Released, Suspended, Task
from chargehand.errors import (
    AgentNotFound,
    BudgetExhausted,
    Forbidden,
    IllegalMove,
    InvalidInput,
    LeaseLost,
    RuntimeMissing,
)
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation, Ended
from tests import given
from tests.given import ME, TestClock
from tests.invariants import violations


async def idle(ctx: PlaybookContext) -> None:
    del ctx


@pytest_asyncio.fixture
async def core(tmp_path: Path) -> AsyncGenerator[Core, None]:
    async with given.a_core(
        tmp_path, playbooks={"one": idle}, clock=TestClock(), with_engine=False
    ) as opened:
        yield opened
        assert violations(opened.settings.database_path) == []


async def a_running_tree(core: Core, **budget: float) -> Task:
    """A running task whose tree may use this much."""
    await given.an_agent(core, "frugal", playbook="one", delegates=["one", "frugal"], budget=budget)
    return await given.a_running_task(core, "frugal")


async def take_step(core: Core, task: Task, path: str) -> None:
    step = core.journal.new_step(
        task, path, StepKind.TOOL, "Read", {"file_path": "a.txt"}, StepStatus.RUNNING
    )
    await core.journal.begin(task, step)
    await core.journal.end(task, step, {"content": "text", "is_error": False})


async def delegate(core: Core, task: Task, path: str, *agents: str) -> None:
    step = core.journal.new_step(task, path, StepKind.DELEGATION, "x", {}, StepStatus.OPEN)
    orders = [Delegation(agent_id=agent, task_data={}, labels={}) for agent in agents]
    await core.journal.delegate(task, step, orders)


def spent(core: Core, task: Task) -> tuple[int, int]:
    [row] = given.rows(core, "SELECT steps_spent, children_spent FROM agent_tasks WHERE id = ?", task.root_id)
    return row


async def test_a_step_leaves_its_row_its_charge_and_its_events(core: Core) -> None:
    task = await given.a_running_task(core, "one")

    await take_step(core, task, "0/0")

    [step] = await core.watch.steps(ME, task.id)
    assert (step.status, step.result) == (StepStatus.DONE, {"content": "text", "is_error": False})
    assert spent(core, task) == (1, 0)
    started, finished = (await core.watch.events(ME, task.id))[-2:]
    assert (started.kind, started.data["summary"]) == ("step.started", "a.txt")
    assert (finished.kind, finished.data["is_error"]) == ("step.finished", False)


@pytest.mark.parametrize("path", ["0/0", "0/1"])
async def test_a_step_that_is_done_or_was_never_begun_cannot_be_finished(core: Core, path: str) -> None:
    task = await given.a_running_task(core, "one")
    await take_step(core, task, "0/0")
    step = core.journal.new_step(task, path, StepKind.TOOL, "Read", {}, StepStatus.RUNNING)

    with pytest.raises(IllegalMove, match=path):
        await core.journal.end(task, step, "another")

    [kept] = await core.watch.steps(ME, task.id)
    assert kept.result == {"content": "text", "is_error": False}


async def test_a_step_in_flight_that_is_begun_again_is_paid_once(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    step = core.journal.new_step(task, "0/0", StepKind.TOOL, "Read", {}, StepStatus.RUNNING)
    await core.journal.begin(task, step)

    await core.journal.begin(task, step, is_repeat=True)

    assert spent(core, task) == (1, 0)
    assert (await given.kinds(core, task)).count("step.started") == 2


async def test_steps_beyond_the_budget_are_refused_and_nothing_is_overspent(core: Core) -> None:
    task = await a_running_tree(core, steps=3)

    answers = await asyncio.gather(
        *(take_step(core, task, f"0/{number}") for number in range(10)), return_exceptions=True
    )

    assert sum(isinstance(answer, BudgetExhausted) for answer in answers) == 7
    assert spent(core, task) == (3, 0)
    assert len(await core.watch.steps(ME, task.id)) == 3
    with pytest.raises(
        BudgetExhausted,
        match=r"budget of 3 steps .* raise `budget` in the definition of 'frugal'.* --budget steps=AMOUNT",
    ):
        await take_step(core, task, "0/99")


async def test_questions_timers_and_delegations_are_steps_too(core: Core) -> None:
    task = await a_running_tree(core, steps=3)
    question = core.journal.new_step(
        task, "0/0", StepKind.QUESTION, "ask", {"question": "?"}, StepStatus.OPEN
    )
    timer = core.journal.new_step(task, "0/1", StepKind.TIMER, "sleep", {}, StepStatus.OPEN)

    await core.journal.ask(task, question)
    await core.journal.set_timer(task, timer, core.clock.now())
    await delegate(core, task, "0/2", "one")

    assert spent(core, task) == (3, 1)
    with pytest.raises(BudgetExhausted):
        await core.journal.ask(
            task, core.journal.new_step(task, "0/3", StepKind.QUESTION, "ask", {}, StepStatus.OPEN)
        )
    assert len(await core.watch.steps(ME, task.id)) == 3


async def test_children_draw_from_the_pool_of_their_root(core: Core) -> None:
    root = await a_running_tree(core, steps=4)
    await delegate(core, root, "0/0", "frugal")
    [child] = (await given.claimed(core)).values()

    await take_step(core, child, "0/0")
    await take_step(core, child, "0/1")
    await take_step(core, root, "0/1")

    assert spent(core, child) == (4, 1)
    with pytest.raises(BudgetExhausted):
        await take_step(core, child, "0/2")


async def test_more_children_than_the_tree_may_have_are_refused_all_together(core: Core) -> None:
    task = await a_running_tree(core, children=3)
    await delegate(core, task, "0/0", "one", "one")

    with pytest.raises(BudgetExhausted, match="3 children"):
        await delegate(core, task, "0/1", "one", "one")

    assert spent(core, task) == (1, 2)
    assert len(await core.watch.children(ME, task.id)) == 2
    assert len(await core.watch.steps(ME, task.id)) == 1


async def test_a_tree_is_no_deeper_than_it_may_be(core: Core) -> None:
    task = await a_running_tree(core, depth=2)
    for _ in range(2):
        await delegate(core, task, "0/0", "frugal")
        [task] = (await given.claimed(core)).values()

    with pytest.raises(BudgetExhausted, match="stands at depth 2; its tree may be 2 deep"):
        await delegate(core, task, "0/0", "frugal")

    assert spent(core, task) == (2, 2)


@pytest.mark.parametrize(
    ("agent", "fault", "said"),
    [
        ("nobody", AgentNotFound, "no agent 'nobody'"),
        ("stranger", Forbidden, "agent 'one' may delegate to one, not to 'stranger'"),
        ("modelled", RuntimeMissing, "agent 'modelled' is run by a model"),
    ],
)
async def test_a_delegation_that_cannot_be_is_refused_and_leaves_nothing(
    core: Core, agent: str, fault: type[Exception], said: str
) -> None:
    await given.an_agent(core, "stranger", playbook="one")
    await given.an_agent(core, "modelled")
    task = await given.a_running_task(core, "one")

    with pytest.raises(fault, match=said):
        await delegate(core, task, "0/0", "one", agent)

    assert await core.watch.children(ME, task.id) == []
    assert await core.watch.steps(ME, task.id) == []
    assert spent(core, task) == (0, 0)


async def test_a_child_inherits_what_belongs_to_the_tree(core: Core) -> None:
    task = await given.a_running_task(core, "one", priority=7, context_id="talk", timeout_seconds=60)

    await delegate(core, task, "0/0", "one")

    [child] = await core.watch.children(ME, task.id)
    assert (child.parent_id, child.parent_step, child.root_id, child.depth) == (task.id, "0/0", task.id, 1)
    assert (child.priority, child.context_id, child.deadline_at) == (7, "talk", task.deadline_at)


async def test_a_childs_own_time_out_counts_when_it_is_sooner(core: Core) -> None:
    await given.an_agent(core, "one", playbook="one", delegates=["one", "hasty"])
    await given.an_agent(core, "hasty", playbook="one", timeout_seconds=5)
    task = await given.a_running_task(core, "one", timeout_seconds=60)

    await delegate(core, task, "0/0", "hasty", "one")

    hasty, other = await core.watch.children(ME, task.id)
    assert hasty.deadline_at is not None
    assert (hasty.deadline_at - core.clock.now()).total_seconds() == 5
    assert other.deadline_at == task.deadline_at


async def test_children_come_back_in_the_order_of_the_orders(core: Core) -> None:
    parent = await given.a_running_task(core, "one")
    await delegate(core, parent, "0/0", "one", "one", "one")
    step = (await core.watch.steps(ME, parent.id))[0]
    children = sorted((await given.claimed(core)).values(), key=lambda task: task.id)

    assert await core.journal.ended_children(step) is None
    for number, child in reversed(list(enumerate(children))):
        await core.attempts.finish(child, Completed(result=number))

    ended = await core.journal.ended_children(step)
    assert ended is not None
    assert [one["result"] for one in ended if isinstance(one, dict)] == [0, 1, 2]


@pytest.mark.parametrize("value", ["\ud800", "\x00", float("nan"), 2**60, object()])
async def test_arguments_that_no_reader_takes_are_refused_before_anything_is_stored(
    core: Core, value: object
) -> None:
    task = await given.a_running_task(core, "one")

    with pytest.raises(InvalidInput):
        core.journal.new_step(task, "0/0", StepKind.TOOL, "Read", {"it": value}, StepStatus.RUNNING)  # pyright: ignore[reportArgumentType] - what is under test

    assert await core.watch.steps(ME, task.id) == []


async def two_steps(core: Core, task: Task) -> tuple[Step, Step]:
    """One that has begun, and one that follows it."""
    first, second = (
        core.journal.new_step(task, path, StepKind.TOOL, "Read", {}, StepStatus.RUNNING)
        for path in ("0/0", "0/1")
    )
    await core.journal.begin(task, first)
    return first, second


async def test_a_step_ends_in_the_commit_in_which_the_next_begins(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    first, second = await two_steps(core, task)

    await core.journal.begin(task, second, ended=Ended(first, "found"))

    steps = [(one.path, one.status, one.result) for one in await core.watch.steps(ME, task.id)]
    assert steps == [("0/0", StepStatus.DONE, "found"), ("0/1", StepStatus.RUNNING, None)]
    finished, started = (await core.watch.events(ME, task.id))[-2:]
    assert (finished.kind, finished.data["path"]) == ("step.finished", "0/0")
    assert (started.kind, started.data["path"]) == ("step.started", "0/1")


async def test_a_step_ends_although_the_next_is_refused(core: Core) -> None:
    task = await a_running_tree(core, steps=1)
    first, second = await two_steps(core, task)

    with pytest.raises(BudgetExhausted):
        await core.journal.begin(task, second, ended=Ended(first, "found"))

    assert [(one.path, one.status) for one in await core.watch.steps(ME, task.id)] == [
        ("0/0", StepStatus.DONE)
    ]
    assert spent(core, task) == (1, 0)


async def test_a_worker_that_lost_its_lease_neither_ends_a_step_nor_begins_the_next(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    first, second = await two_steps(core, task)
    await core.attempts.finish(task, Released())
    await given.claimed(core)

    with pytest.raises(LeaseLost):
        await core.journal.begin(task, second, ended=Ended(first, "found"))

    assert [(one.path, one.status) for one in await core.watch.steps(ME, task.id)] == [
        ("0/0", StepStatus.RUNNING)
    ]


async def test_the_event_of_a_failed_call_tells_the_first_line_of_why(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    step = core.journal.new_step(task, "0/0", StepKind.TOOL, "Bash", {}, StepStatus.RUNNING)
    await core.journal.begin(task, step)

    await core.journal.end(task, step, {"content": f"\n{'x' * 200}\nmore", "details": {}, "is_error": True})

    finished = (await core.watch.events(ME, task.id))[-1]
    assert finished.data["error"] == "x" * 117 + "..."


async def test_what_a_check_found_is_told_in_the_commit_that_records_it(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    step = core.journal.new_step(task, "0/check.0.0", StepKind.CHECK, "check:r", {}, StepStatus.RUNNING)
    await core.journal.begin(task, step)

    await core.journal.end(task, step, {"check": "exists", "passed": False})

    finished, checked = (await core.watch.events(ME, task.id))[-2:]
    assert (finished.kind, finished.data["is_error"]) == ("step.finished", True)
    assert (checked.kind, checked.data) == ("deliverable.checked", {"check": "exists", "passed": False})


async def test_progress_since_counts_against_no_worker(core: Core) -> None:
    submitted = await given.a_task(core, "one")
    for _ in range(2):
        await given.claimed(core)
        await core.upkeep.sweep(of_any_worker=True)
    [task] = (await given.claimed(core)).values()
    assert task.losses == 2

    await take_step(core, task, "0/0")

    assert (await core.watch.get(ME, submitted.id)).losses == 0


async def test_a_wait_for_nothing_but_a_person_holds_no_worker(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    await core.journal.ask(
        task, core.journal.new_step(task, "0/0", StepKind.QUESTION, "ask", {"question": "?"}, StepStatus.OPEN)
    )

    waiting = await core.attempts.finish(task, Suspended(reason=Reason.QUESTION))

    assert (waiting.worker_id, waiting.lease_until) == (None, None)
    await core.upkeep.sweep(of_any_worker=True)
    assert await given.claimed(core) == {}
