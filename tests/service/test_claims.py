"""What a worker gets when it claims: in which order, and how much of it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.access import LOCAL_OPERATOR, Principal
from chargehand.domain.queues import EVERY_AGENT, AgentScope
from chargehand.domain.task import Completed, Task, TaskOrder
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import InvalidDefinition
from chargehand.runtimes.playbook import PlaybookContext
from tests import given
from tests.given import ME, TestClock


def tenant(name: str) -> Principal:
    return Principal(id=name, tenant=name, scopes=LOCAL_OPERATOR.scopes)


async def one(ctx: PlaybookContext) -> JsonValue:
    return ctx.task.agent_id


async def submitted(core: Core, who: Principal, count: int, agent: str = "one", **order: Any) -> list[Task]:
    asked = (
        core.tasks.submit(who, TaskOrder(agent_id=agent, task_data={"n": number}, **order))
        for number in range(count)
    )
    return [accepted.task for accepted in await asyncio.gather(*asked)]


async def claim(core: Core, limit: int, scope: AgentScope = EVERY_AGENT) -> list[Task]:
    return await core.attempts.claim("w", limit=limit, scope=scope)


def only(*agents: str) -> AgentScope:
    return AgentScope(agents=frozenset(agents), is_all_but=False)


async def finish(core: Core, tasks: Sequence[Task]) -> None:
    await asyncio.gather(*(core.attempts.finish(task, Completed()) for task in tasks))


async def test_a_tenant_with_ten_thousand_tasks_does_not_delay_the_first_of_another(tmp_path: Path) -> None:
    flood, other = tenant("flood"), tenant("other")
    async with given.a_core(tmp_path, playbooks={"one": one}, with_engine=False) as core:
        for who in (flood, other):
            await core.agents.publish(who, given.a_definition("one", playbook="one"))
        await submitted(core, flood, 10_000)
        [late] = await submitted(core, other, 1)

        first = await claim(core, 4)

        assert [task.tenant for task in first].count("flood") == 3
        assert late.id in {task.id for task in first}


async def test_a_slot_that_comes_free_goes_to_the_tenant_that_has_none(tmp_path: Path) -> None:
    flood, other = tenant("flood"), tenant("other")
    async with given.a_core(tmp_path, playbooks={"one": one}, with_engine=False) as core:
        for who in (flood, other):
            await core.agents.publish(who, given.a_definition("one", playbook="one"))
        await submitted(core, flood, 20, priority=100)
        carried = await claim(core, 8)
        [late] = await submitted(core, other, 1, priority=-100)

        await finish(core, carried[:1])
        [next_one] = await claim(core, 1)

        assert next_one.id == late.id


async def test_of_one_tenant_the_higher_priority_goes_first_until_the_lower_has_waited_long(
    tmp_path: Path,
) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"one": one}, with_engine=False, clock=clock) as core:
        [low] = await submitted(core, ME, 1)
        clock.advance(119)
        [soon] = await submitted(core, ME, 1, priority=2)
        clock.advance(2)
        [late] = await submitted(core, ME, 1, priority=2)

        order = [(await claim(core, 1))[0].id for _ in range(3)]

        assert order == [soon.id, low.id, late.id]


async def test_one_claim_for_many_slots_takes_what_as_many_claims_for_one_would(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(
        tmp_path, playbooks={"one": one, "two": one}, with_engine=False, clock=clock
    ) as core:
        for number in range(12):
            await submitted(core, ME, 1, "one" if number % 3 else "two", priority=number % 2)
            clock.advance(25)

        many = await claim(core, 6)
        single = [(await claim(core, 1))[0] for _ in range(6)]

        def rank(task: Task) -> Any:
            return task.run_after - task.priority * timedelta(seconds=60)

        assert max(map(rank, many)) <= min(map(rank, single))
        assert list(map(rank, single)) == sorted(map(rank, single))


async def test_a_delayed_task_of_high_priority_keeps_nobody_waiting(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"one": one}, with_engine=False, clock=clock) as core:
        [later] = await submitted(core, ME, 1, priority=100, run_after=clock.now() + timedelta(minutes=1))
        [now] = await submitted(core, ME, 1)

        assert [task.id for task in await claim(core, 4)] == [now.id]
        clock.advance(60)
        assert [task.id for task in await claim(core, 4)] == [later.id]


async def test_an_agent_runs_no_more_tasks_at_once_than_its_definition_says(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"one": one, "two": one}, with_engine=False) as core:
        await given.an_agent(core, "one", playbook="one", concurrency=2)
        await submitted(core, ME, 3)
        await submitted(core, ME, 2, priority=5)
        await submitted(core, ME, 1, "two")

        first = await claim(core, 8)
        await finish(core, [task for task in first if task.agent_id == "one"][:1])
        second = await claim(core, 8)
        await given.an_agent(core, "one", playbook="one")
        third = await claim(core, 8)

        assert sorted(task.agent_id for task in first) == ["one", "one", "two"]
        assert [task.agent_id for task in second] == ["one"]
        assert len(third) == 2, "without a limit in its definition the rest begins"


async def test_a_tenant_and_all_together_run_no_more_than_the_settings_say(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"tenant_concurrency": 2, "global_concurrency": 3}
    async with given.a_core(tmp_path, playbooks={"one": one}, with_engine=False, **limits) as core:
        await core.agents.publish(tenant("other"), given.a_definition("one", playbook="one"))
        await submitted(core, ME, 5)
        alone = await claim(core, 8)
        await submitted(core, tenant("other"), 5)
        both = await claim(core, 8)

        assert [len(alone), len(both)] == [2, 1]
        assert both[0].tenant == "other"
        assert await claim(core, 8) == []


async def test_a_worker_for_some_agents_gets_only_their_tasks(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"one": one, "two": one}, with_engine=False) as core:
        await submitted(core, ME, 2, "one")
        [mine] = await submitted(core, ME, 1, "two")

        assert [task.id for task in await claim(core, 8, scope=only("two", "absent"))] == [mine.id]
        assert await claim(core, 8, scope=only()) == []
        assert await claim(core, 8, scope=AgentScope(agents=frozenset({"one"}))) == []


@pytest.mark.parametrize(
    "block", [{"concurrency": 0}, {"concurrency": 1.5}, {"concurrency": "all"}, {"retry_max_seconds": -1}]
)
async def test_a_limit_that_is_none_is_refused_with_its_place(tmp_path: Path, block: JsonObject) -> None:
    async with given.a_core(tmp_path, with_engine=False) as core:
        with pytest.raises(InvalidDefinition) as refused:
            await given.an_agent(core, "one", command=["true"], **block)

        assert [one.where for one in refused.value.findings] == [f"chargehand.{next(iter(block))}"]


async def test_limits_hold_though_many_workers_claim_at_once(tmp_path: Path) -> None:
    async with given.a_core(
        tmp_path, playbooks={"one": one, "two": one}, with_engine=False, global_concurrency=5
    ) as core:
        await given.an_agent(core, "one", playbook="one", concurrency=2)
        for agent in ("one", "two"):
            await submitted(core, ME, 6, agent)

        claims = await asyncio.gather(*(core.attempts.claim(f"w{n}", limit=2) for n in range(8)))

        taken = [task for claim in claims for task in claim]
        assert len({task.id for task in taken}) == len(taken) == 5
        assert [task.agent_id for task in taken].count("one") <= 2


async def test_workers_that_claim_at_once_get_different_tasks_and_leave_none(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"one": one, "two": one}, with_engine=False) as core:
        for agent in ("one", "two"):
            await submitted(core, ME, 8, agent)

        claims = await asyncio.gather(*(core.attempts.claim(f"w{n}", limit=4) for n in range(4)))
        rest = await core.attempts.claim("w", limit=16)

        taken = [task.id for claim in [*claims, rest] for task in claim]
        assert len(taken) == len(set(taken)) == 16


async def test_a_running_engine_carries_the_first_task_of_a_tenant_before_the_flood_of_another(
    tmp_path: Path,
) -> None:
    flood, other = tenant("flood"), tenant("other")
    async with given.a_core(tmp_path, playbooks={"one": one}, slots=1) as core:
        for who in (flood, other):
            await core.agents.publish(who, given.a_definition("one", playbook="one"))
        many = await submitted(core, flood, 200)
        [late] = await submitted(core, other, 1)

        found = await core.watch.wait(other, late.id, given.LIMIT_SECONDS)
        later = "SELECT count(*) FROM agent_tasks WHERE started_at IS NULL OR started_at > ?"
        [(begun,)] = given.rows(core, "SELECT started_at FROM agent_tasks WHERE id = ?", late.id)
        left = given.rows(core, later, begun)[0][0]

        assert found.status.is_final
        assert 0 < left < len(many)
