"""A key that is narrowed to some agents: what it reaches, what it does not, and what goes with its tasks."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from chargehand.app.core import Core
from chargehand.domain.access import DEFAULT_TENANT, OF_AGENTS, Principal, Scope
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.rights import holder_of, rights_of
from chargehand.domain.schedule import ScheduleOrder
from chargehand.domain.task import Task, TaskOrder
from chargehand.domain.usage import UsageBy
from chargehand.domain.values import JsonObject
from chargehand.errors import (
    AgentNotFound,
    Forbidden,
    IdempotencyMismatch,
    NoAgentFits,
    ScheduleNotFound,
    TaskNotFound,
)
from chargehand.service.journal import Delegation
from tests import given
from tests.given import ME, TestClock

NARROWED = Principal(id="n", tenant=DEFAULT_TENANT, scopes=OF_AGENTS, agents=frozenset({"lead"}))
BRIEF: JsonObject = {"prompt": "A translator is wanted for this book."}


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def core(tmp_path: Path, clock: TestClock) -> AsyncGenerator[Core, None]:
    functions = {"lead": dict, "help": dict}
    async with given.a_core(tmp_path, functions=functions, clock=clock, with_engine=False) as core:
        await given.an_agent(core, "lead", function="lead", delegates=["help"])
        await given.an_agent(core, "translator", function="help")
        yield core


async def a_child(core: Core, who: Principal, agent_id: str, of: str) -> tuple[Task, Task]:
    """A tree: a task of this agent, and what it has delegated."""
    root = (await core.tasks.submit(who, TaskOrder(agent_id=agent_id, task_data={}))).task
    root = (await given.claimed(core))[root.id]
    step = core.journal.new_step(root, "0/0", StepKind.DELEGATION, "d", {}, StepStatus.OPEN)
    await core.journal.delegate(root, step, [Delegation(agent_id=of, task_data={}, labels={})])
    (child,) = await core.watch.children(ME, root.id)
    return root, child


async def test_a_narrowed_key_submits_to_its_agents_and_finds_no_others(core: Core) -> None:
    await core.tasks.submit(NARROWED, TaskOrder(agent_id="lead", task_data={}))

    with pytest.raises(
        AgentNotFound, match="for this key, which is narrowed to some agents; registered: lead"
    ):
        await core.tasks.submit(NARROWED, TaskOrder(agent_id="help", task_data={}))
    with pytest.raises(AgentNotFound):
        await core.agents.get(NARROWED, "help")
    assert [one.id for one in await core.agents.all(NARROWED)] == ["lead"]


async def test_what_auto_picks_is_one_of_the_keys_agents(core: Core) -> None:
    with pytest.raises(NoAgentFits):
        await core.tasks.submit(NARROWED, TaskOrder(agent_id="auto", task_data=BRIEF))

    picked = await core.tasks.submit(ME, TaskOrder(agent_id="auto", task_data=BRIEF))

    assert picked.task.agent_id == "translator"


async def test_another_keys_pick_is_not_replayed_to_a_narrowed_key(core: Core) -> None:
    order = TaskOrder(agent_id="auto", task_data=BRIEF, idempotency_key="once")
    wide = Principal(
        id="w", tenant=DEFAULT_TENANT, scopes=OF_AGENTS, agents=frozenset({"lead", "translator"})
    )
    await core.tasks.submit(wide, order)

    with pytest.raises((NoAgentFits, IdempotencyMismatch)):
        await core.tasks.submit(NARROWED, order)


async def test_a_narrowed_key_sees_the_whole_tree_below_its_agents_and_nothing_of_others(core: Core) -> None:
    root, child = await a_child(core, ME, "lead", "help")
    await given.an_agent(core, "other", function="help", delegates=["lead"])
    other, under_other = await a_child(core, ME, "other", "lead")

    listed = (await core.watch.page(NARROWED)).items

    assert {one.id for one in listed} == {root.id, child.id}
    assert (await core.watch.get(NARROWED, child.id)).id == child.id
    assert [one.id for one in await core.watch.children(NARROWED, root.id)] == [child.id]
    for hidden in (other.id, under_other.id):
        with pytest.raises(TaskNotFound):
            await core.watch.get(NARROWED, hidden)
        with pytest.raises(TaskNotFound):
            await core.tasks.cancel(NARROWED, hidden)
        with pytest.raises(TaskNotFound):
            await core.messages.send(NARROWED, hidden, "hello")
    assert await core.tasks.cancel(NARROWED, root.id) == "requested"


async def test_schedules_and_usage_of_other_agents_are_not_seen(core: Core) -> None:
    order = ScheduleOrder(name="theirs", cron="@daily", agent_id="help", task_data={})
    hidden = await core.schedules.create(ME, order)
    own = ScheduleOrder(name="mine", cron="@daily", agent_id="lead", task_data={})
    await core.schedules.create(NARROWED, own)

    assert [one.name for one in (await core.schedules.page(NARROWED)).items] == ["mine"]
    with pytest.raises(ScheduleNotFound):
        await core.schedules.remove(NARROWED, hidden.id)
    with pytest.raises(AgentNotFound):
        await core.schedules.change(NARROWED, (await named(core, "mine")), {"agent_id": "help"})
    assert (await core.usage.report(NARROWED, UsageBy.DAY)).total.calls == 0


async def named(core: Core, name: str) -> str:
    return (await core.schedules.page(ME, name=name)).items[0].id


async def test_a_narrowed_key_publishes_nothing_that_would_reach_for_other_agents(core: Core) -> None:
    reaching = given.a_definition("lead", function="lead", delegates=["help", "secret-keeper"])

    with pytest.raises(Forbidden, match="narrowed to lead"):
        await core.agents.publish(NARROWED, given.a_definition("help", function="help"))
    with pytest.raises(Forbidden, match="none that delegates to 'help'"):
        await core.agents.publish(NARROWED, reaching)

    alone = given.a_definition("lead", function="lead", delegates=["lead"])
    assert (await core.agents.publish(NARROWED, alone))[0].block.delegates == ("lead",)


async def test_a_task_and_all_that_it_delegates_carry_what_their_submitter_could_do(core: Core) -> None:
    root, child = await a_child(core, NARROWED, "lead", "help")
    _, administrators = await a_child(core, ME, "lead", "help")

    assert root.rights == rights_of(NARROWED)
    assert child.rights == root.rights
    assert holder_of(child.rights, id="n", tenant=DEFAULT_TENANT) == NARROWED
    assert administrators.rights is None
    assert holder_of(None, id="x", tenant="t").scopes == {Scope.ADMIN}


async def test_a_schedules_tasks_carry_what_its_maker_could_do(core: Core, clock: TestClock) -> None:
    order = ScheduleOrder(name="mine", cron="@hourly", agent_id="lead", task_data={})
    await core.schedules.create(NARROWED, order)

    clock.advance(3_600)
    await core.schedule_runs.run_due()

    (task,) = (await core.watch.page(NARROWED)).items
    assert task.rights == rights_of(NARROWED)
