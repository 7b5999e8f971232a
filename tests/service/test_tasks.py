"""What callers do with tasks: submit durably and once, cancel a tree, retry what failed, answer what is asked."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from chargehand.app.core import Core
from chargehand.domain.access import Principal, Scope
from chargehand.domain.history import EventKind, StepKind, StepStatus
from chargehand.domain.task import (
    Canceled,
    Completed,
    Failed,
    Reason,
    Status,
    Suspended,
    Task,
    TaskError,
    TaskOrder,
)
from chargehand.domain.values import JsonObject
from chargehand.errors import (
    AgentNotFound,
    Forbidden,
    IdempotencyMismatch,
    IllegalMove,
    InvalidInput,
    PayloadTooLarge,
    RuntimeMissing,
    StorageFull,
    TaskNotFound,
)
from chargehand.runtimes.playbook import Playbook, PlaybookContext
from chargehand.service.journal import Delegation
from tests import given
from tests.given import ME, TestClock
from tests.invariants import violations

BROKEN = Failed(error=TaskError(reason=Reason.AGENT_ERROR, message="it broke"))
STRANGER = Principal(id="stranger", tenant="elsewhere", scopes=frozenset({Scope.ADMIN}))


async def idle(ctx: PlaybookContext) -> None:
    del ctx


def needs_a_name(data: JsonObject) -> None:
    if "name" not in data:
        raise InvalidInput("`name` is missing")


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest_asyncio.fixture
async def core(tmp_path: Path, clock: TestClock) -> AsyncGenerator[Core, None]:
    playbooks = {"one": idle, "picky": Playbook(name="picky", run=idle, check_input=needs_a_name)}
    async with given.a_core(tmp_path, playbooks=playbooks, clock=clock, with_engine=False) as opened:
        yield opened
        assert violations(opened.settings.database_path) == []


async def submit(core: Core, agent_id: str = "one", data: JsonObject | None = None, **order: Any) -> Task:
    return (await core.tasks.submit(ME, TaskOrder(agent_id=agent_id, task_data=data or {}, **order))).task


async def a_waiting_tree(core: Core) -> tuple[Task, Task, Task]:
    """A waiting root, a running child and an idle one."""
    root = await given.a_running_task(core, "one")
    step = core.journal.new_step(root, "0/0", StepKind.DELEGATION, "one", {}, StepStatus.OPEN)
    await core.journal.delegate(root, step, [Delegation(agent_id="one", task_data={}, labels={})] * 2)
    running, waiting = sorted((await given.claimed(core)).values(), key=lambda task: task.id)
    await core.journal.ask(
        waiting,
        core.journal.new_step(waiting, "0/0", StepKind.QUESTION, "ask", {"question": "?"}, StepStatus.OPEN),
    )
    await core.attempts.finish(waiting, Suspended(reason=Reason.QUESTION))
    await core.attempts.finish(root, Suspended(reason=Reason.CHILDREN))
    return root, running, waiting


async def stands(core: Core, task: Task) -> tuple[Status, str | None]:
    now = await core.watch.get(ME, task.id)
    return now.status, now.reason


async def test_an_accepted_task_is_on_disk_as_it_was_ordered(core: Core, clock: TestClock) -> None:
    accepted = await core.tasks.submit(
        ME,
        TaskOrder(
            agent_id="one",
            task_data={"text": "Grüße 🎉", "deep": [{"n": 1.5}]},
            labels={"team": "blue"},
            priority=3,
            context_id="talk-1",
            timeout_seconds=60,
        ),
    )

    task = await core.watch.get(ME, accepted.task.id)
    assert task == accepted.task
    assert (task.status, task.attempt, task.root_id, task.created_at) == (
        Status.PENDING,
        0,
        task.id,
        clock.now(),
    )
    assert task.deadline_at == clock.now() + timedelta(seconds=60)
    assert not accepted.replayed


async def test_ids_of_later_tasks_sort_later(core: Core) -> None:
    ids = [(await submit(core)).id for _ in range(50)]

    assert ids == sorted(ids)


async def test_a_task_keeps_the_version_that_its_agent_had(core: Core) -> None:
    before = await submit(core)
    changed = await given.an_agent(core, "one", playbook="one", attempts=2)
    after = await submit(core)

    assert before.agent_version != after.agent_version == changed.version


@pytest.mark.parametrize(
    ("order", "fault", "said"),
    [
        ({"agent_id": "noone"}, AgentNotFound, "no agent 'noone'; registered: one"),
        ({"agent_id": "picky"}, InvalidInput, "`name` is missing"),
        ({"agent_id": "modelled"}, RuntimeMissing, "no model is configured"),
        ({"task_data": {"x": "\x00"}}, InvalidInput, "NUL"),
        ({"task_data": {"x": [0] * 10_001}}, PayloadTooLarge, "more than 10000 values"),
        ({"priority": 101}, InvalidInput, "priority is a whole number from -100 to 100"),
        ({"priority": 1.5}, InvalidInput, "priority is a whole number"),
        ({"idempotency_key": ""}, InvalidInput, "Idempotency-Key is 1 to 255"),
        ({"idempotency_key": "a b"}, InvalidInput, "visible ASCII"),
        ({"context_id": "a/b"}, InvalidInput, "context_id is 1 to 64"),
        ({"labels": {f"l{n}": "" for n in range(33)}}, InvalidInput, "at most 32 labels"),
        ({"labels": {"a b": "x"}}, InvalidInput, "label 'a b'"),
        ({"labels": {"a": "x" * 256}}, InvalidInput, "label 'a'"),
        ({"labels": {"a": "\ud800"}}, InvalidInput, "lone surrogate"),
        ({"timeout_seconds": 0}, InvalidInput, "timeout_seconds is greater than 0"),
        ({"timeout_seconds": float("nan")}, InvalidInput, "timeout_seconds"),
        ({"timeout_seconds": 10**9}, InvalidInput, "at most a year"),
        ({"run_after": datetime(2026, 1, 1)}, InvalidInput, "run_after has no offset from UTC"),  # noqa: DTZ001 - the fault
        (
            {"run_after": datetime.fromisoformat("9999-01-01T00:00Z")},
            InvalidInput,
            "at most 366 days from now",
        ),
    ],
)
async def test_an_order_that_cannot_be_carried_out_is_refused_with_the_reason(
    core: Core, order: dict[str, Any], fault: type[Exception], said: str
) -> None:
    await given.an_agent(core, "modelled")

    fields: dict[str, Any] = {"agent_id": "one", "task_data": {}, **order}

    with pytest.raises(fault, match=said):
        await core.tasks.submit(ME, TaskOrder(**fields))

    assert given.rows(core, "SELECT * FROM agent_tasks") == []


async def test_a_time_in_the_past_is_now(core: Core, clock: TestClock) -> None:
    task = await submit(core, run_after=clock.now() - timedelta(days=1))

    assert task.run_after == clock.now()


async def test_a_key_leads_to_one_task_however_often_it_is_sent(core: Core) -> None:
    order = TaskOrder(agent_id="one", task_data={"a": 1, "b": 2}, idempotency_key="k-1")
    same = TaskOrder(agent_id="one", task_data={"b": 2, "a": 1}, idempotency_key="k-1")

    first = await core.tasks.submit(ME, order)
    again = await core.tasks.submit(ME, same)

    assert (first.replayed, again.replayed) == (False, True)
    assert first.task.id == again.task.id


async def test_a_key_sent_many_times_at_once_makes_one_task(core: Core) -> None:
    order = TaskOrder(agent_id="one", task_data={}, idempotency_key="k-1")

    answers = await asyncio.gather(*(core.tasks.submit(ME, order) for _ in range(40)))

    assert len({answer.task.id for answer in answers}) == 1
    assert [answer.replayed for answer in answers].count(False) == 1
    assert given.rows(core, "SELECT count(*) FROM agent_tasks") == [(1,)]


async def test_a_key_with_another_payload_is_refused_also_in_the_same_moment(core: Core) -> None:
    orders = [TaskOrder(agent_id="one", task_data={"n": n % 2}, idempotency_key="k-1") for n in range(10)]

    answers = await asyncio.gather(
        *(core.tasks.submit(ME, order) for order in orders), return_exceptions=True
    )

    assert sum(isinstance(answer, IdempotencyMismatch) for answer in answers) == 5
    assert given.rows(core, "SELECT count(*) FROM agent_tasks") == [(1,)]


async def test_keys_of_tenants_do_not_meet(core: Core) -> None:
    await core.agents.publish(STRANGER, given.a_definition("one", playbook="one"))
    order = TaskOrder(agent_id="one", task_data={}, idempotency_key="k-1")

    mine, theirs = await asyncio.gather(core.tasks.submit(ME, order), core.tasks.submit(STRANGER, order))

    assert mine.task.id != theirs.task.id
    assert not theirs.replayed


async def test_a_repeated_key_is_answered_when_the_same_order_could_not_be_taken_any_more(
    core: Core,
) -> None:
    order = TaskOrder(agent_id="one", task_data={}, idempotency_key="k-1")
    first = await core.tasks.submit(ME, order)
    await core.agents.publish(ME, given.a_definition("one"))  # a model's now, which cannot be run here

    again = await core.tasks.submit(ME, order)

    assert (again.task.id, again.replayed) == (first.task.id, True)
    with pytest.raises(RuntimeMissing):
        await core.tasks.submit(ME, TaskOrder(agent_id="one", task_data={}, idempotency_key="k-2"))


async def test_a_full_disk_refuses_new_tasks_and_leaves_all_else_possible(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"one": idle}, with_engine=False) as core:
        task = await given.a_running_task(core, "one", idempotency_key="k-1")
        waiting = await given.a_task(core, "one")
    async with given.a_core(
        tmp_path, playbooks={"one": idle}, with_engine=False, disk_reserve_bytes=2**60
    ) as core:
        with pytest.raises(StorageFull, match="CHARGEHAND_DISK_RESERVE_BYTES"):
            await submit(core)

        assert (await core.watch.get(ME, task.id)).status is Status.RUNNING
        assert (await core.attempts.finish(task, Completed())).status is Status.COMPLETED
        assert await core.tasks.cancel(ME, waiting.id) == "confirmed"
        replayed = await core.tasks.submit(ME, TaskOrder(agent_id="one", task_data={}, idempotency_key="k-1"))
        assert replayed.task.id == task.id


async def test_scopes_are_demanded(core: Core) -> None:
    nobody = Principal(id="reader", tenant="default", scopes=frozenset({Scope.TASKS_READ}))
    task = await submit(core)

    for refused in (
        core.tasks.submit(nobody, TaskOrder(agent_id="one", task_data={})),
        core.tasks.cancel(nobody, task.id),
        core.tasks.retry(nobody, task.id),
        core.tasks.answer(nobody, task.id, "0/0", "yes"),
    ):
        with pytest.raises(Forbidden):
            await refused


async def test_another_tenants_task_does_not_exist(core: Core) -> None:
    task = await submit(core)

    for refused in (
        core.tasks.cancel(STRANGER, task.id),
        core.tasks.retry(STRANGER, task.id),
        core.tasks.answer(STRANGER, task.id, "0/0", "yes"),
        core.watch.get(STRANGER, task.id),
    ):
        with pytest.raises(TaskNotFound):
            await refused
    assert await stands(core, task) == (Status.PENDING, None)


async def test_a_claim_and_a_cancel_at_once_leave_no_running_task_unasked(core: Core) -> None:
    tasks = [await submit(core) for _ in range(20)]

    await asyncio.gather(
        given.claimed(core, limit=10),
        *(core.tasks.cancel(ME, task.id) for task in tasks),
        given.claimed(core, limit=10),
    )

    running = given.rows(core, "SELECT cancel_requested_at FROM agent_tasks WHERE status = 'running'")
    pending = given.rows(core, "SELECT id FROM agent_tasks WHERE status = 'pending'")
    assert all(asked for (asked,) in running)
    assert pending == []


async def take_step(core: Core, task: Task, path: str, *, is_error: bool = False) -> None:
    step = core.journal.new_step(task, path, StepKind.TOOL, "Read", {}, StepStatus.RUNNING)
    await core.journal.begin(task, step)
    await core.journal.end(task, step, {"content": "", "details": {}, "is_error": is_error})


async def test_a_retry_keeps_what_went_well_before_the_first_failure(core: Core, clock: TestClock) -> None:
    task = await given.a_running_task(core, "one")
    for path, is_error in (("0/0", False), ("0/1", True), ("0/2", False)):
        clock.advance(1)
        await take_step(core, task, path, is_error=is_error)
    await core.attempts.finish(task, BROKEN)

    reopened = await core.tasks.retry(ME, task.id)

    assert (reopened.status, reopened.error, reopened.tries, reopened.losses) == (Status.PENDING, None, 0, 0)
    assert [step.path for step in await core.watch.steps(ME, task.id)] == ["0/0"]
    [again] = (await given.claimed(core)).values()
    assert again.attempt == 2
    await core.attempts.finish(again, Completed())


async def test_a_retry_has_the_time_again_that_the_task_had(core: Core, clock: TestClock) -> None:
    task = await given.a_running_task(core, "one", timeout_seconds=60)
    clock.advance(61)
    await core.attempts.finish(task, BROKEN)

    assert (await core.tasks.retry(ME, task.id)).deadline_at == clock.now() + timedelta(seconds=60)


async def test_a_canceled_tree_can_be_retried_and_delegates_anew(core: Core) -> None:
    root, running, _ = await a_waiting_tree(core)
    await core.tasks.cancel(ME, root.id)
    with pytest.raises(IllegalMove, match=r"1 task\(s\) below .* are still being stopped"):
        await core.tasks.retry(ME, root.id)
    await core.attempts.finish(running, Canceled())

    await core.tasks.retry(ME, root.id)

    assert await core.watch.steps(ME, root.id) == []
    assert list(await given.claimed(core)) == [root.id]


async def test_a_delegation_whose_children_all_completed_is_kept_by_a_retry(core: Core) -> None:
    root = await given.a_running_task(core, "one")
    step = core.journal.new_step(root, "0/0", StepKind.DELEGATION, "one", {}, StepStatus.OPEN)
    await core.journal.delegate(root, step, [Delegation(agent_id="one", task_data={}, labels={})])
    [child] = (await given.claimed(core)).values()
    await core.attempts.finish(child, Completed())
    await core.attempts.finish(root, BROKEN)

    await core.tasks.retry(ME, root.id)

    assert [step.path for step in await core.watch.steps(ME, root.id)] == ["0/0"]


async def test_only_roots_that_ended_badly_are_retried(core: Core) -> None:
    root, running, waiting = await a_waiting_tree(core)
    await core.attempts.finish(running, BROKEN)
    done = await submit(core)
    [task] = (await given.claimed(core)).values()
    await core.attempts.finish(task, Completed())

    with pytest.raises(IllegalMove, match="only a failed or canceled one is retried"):
        await core.tasks.retry(ME, root.id)
    with pytest.raises(IllegalMove, match="only a failed or canceled one is retried"):
        await core.tasks.retry(ME, done.id)
    with pytest.raises(IllegalMove, match=f"was delegated by {root.id}"):
        await core.tasks.retry(ME, running.id)
    assert (await stands(core, waiting))[0] is Status.WAITING


async def a_question(core: Core, *choices: str) -> Task:
    task = await given.a_running_task(core, "one")
    arguments: JsonObject = {"question": "Which?", "choices": list(choices)}
    step = core.journal.new_step(task, "0/0", StepKind.QUESTION, "ask", arguments, StepStatus.OPEN)
    await core.journal.ask(task, step)
    return task


async def test_an_answer_wakes_who_waits_for_it(core: Core) -> None:
    task = await a_question(core, "red", "blue")
    await core.attempts.finish(task, Suspended(reason=Reason.QUESTION))

    await core.tasks.answer(ME, task.id, "0/0", "blue")

    assert await stands(core, task) == (Status.PENDING, None)
    assert (await core.watch.steps(ME, task.id))[0].result == "blue"
    assert (await given.event(core, task, EventKind.ANSWERED)).data == {"question": "0/0", "by": "local"}


async def test_an_answer_that_comes_before_the_task_waits_is_not_lost(core: Core) -> None:
    task = await a_question(core)
    await core.tasks.answer(ME, task.id, "0/0", {"free": ["form", None]})

    assert (await core.attempts.finish(task, Suspended(reason=Reason.QUESTION))).status is Status.PENDING


async def test_two_answers_at_once_are_one(core: Core) -> None:
    task = await a_question(core)
    await core.attempts.finish(task, Suspended(reason=Reason.QUESTION))

    answers = await asyncio.gather(
        *(core.tasks.answer(ME, task.id, "0/0", n) for n in range(5)), return_exceptions=True
    )

    assert sum(isinstance(answer, IllegalMove) for answer in answers) == 4


@pytest.mark.parametrize(
    ("question", "answer", "fault", "said"),
    [
        ("0/1", "red", TaskNotFound, "has no question '0/1'"),
        ("0/0", "green", InvalidInput, r"one of \['red', 'blue'\]$"),
        ("0/0", None, InvalidInput, "one of"),
        ("0/0", "\x00", InvalidInput, "NUL"),
    ],
)
async def test_an_answer_that_was_not_asked_for_is_refused(
    core: Core, question: str, answer: str | None, fault: type[Exception], said: str
) -> None:
    task = await a_question(core, "red", "blue")

    with pytest.raises(fault, match=said):
        await core.tasks.answer(ME, task.id, question, answer)

    assert (await core.watch.steps(ME, task.id))[0].status is StepStatus.OPEN


async def test_a_step_that_is_no_question_cannot_be_answered(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    await take_step(core, task, "0/0")

    with pytest.raises(TaskNotFound, match="no question"):
        await core.tasks.answer(ME, task.id, "0/0", "x")


async def test_a_question_of_an_ended_task_cannot_be_answered(core: Core) -> None:
    task = await a_question(core)
    await core.attempts.finish(task, BROKEN)

    with pytest.raises(IllegalMove, match="not open any more"):
        await core.tasks.answer(ME, task.id, "0/0", "x")
