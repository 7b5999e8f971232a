"""Two tenants that call everything the same: agents, keys of requests, schedules, labels. Neither meets the other.

Each statement that forgets to ask for the tenant mixes the two up somewhere here.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from chargehand.app.core import Core
from chargehand.domain.access import Principal, Scope
from chargehand.domain.charge import DayLimits, Estimate, UnknownPrice
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.retention import PruneOrder
from chargehand.domain.schedule import ScheduleOrder
from chargehand.domain.task import Completed, Status, Task, TaskOrder
from chargehand.domain.tenant import Tenant
from chargehand.domain.tenant_limits import LIMIT_NAMES, TenantLimits
from chargehand.domain.usage import UsageBy, UsageFilter
from chargehand.errors import AgentNotFound, Forbidden, ScheduleNotFound, TaskNotFound
from chargehand.service import spending
from chargehand.store import (
    agents,
    audit,
    backlog,
    charges,
    data_keys,
    lanes,
    schedules,
    tasks,
    tenant_limits,
    tenants,
    usage,
)
from chargehand.store.data_keys import WrappedKey
from chargehand.store.database import Tx
from chargehand.store.tables import TaskLabel
from tests import given
from tests.given import TestClock

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

MINE = Principal(id="me", tenant="default", scopes=frozenset({Scope.ADMIN}))
THEIRS = Principal(id="they", tenant="theirs", scopes=frozenset({Scope.ADMIN}))
NEXT = Principal(id="next", tenant="zzz", scopes=frozenset({Scope.ADMIN}))
BOTH = (MINE, THEIRS)
SCHEDULE = ScheduleOrder(name="nightly", cron="@daily", time_zone="UTC", agent_id="one", task_data={})


def definition(who: Principal, **block: Any) -> str:
    text = given.a_definition("one", function="one", **block)
    return text.replace("Does one.", f"Does one for {who.tenant}.")


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def core(tmp_path: Path, clock: TestClock) -> AsyncGenerator[Core]:
    """An agent of the same name in both, each with a text of its own."""
    functions = {"one": asyncio.sleep}
    async with given.a_core(tmp_path, functions=functions, clock=clock, with_engine=False) as opened:
        for who in BOTH:
            await opened.agents.publish(who, definition(who))
        yield opened


async def submitted(core: Core, who: Principal, **order: object) -> Task:
    made = replace(TaskOrder(agent_id="one", task_data={}), **order)  # pyright: ignore[reportArgumentType] - a test's
    return (await core.tasks.submit(who, made)).task


async def test_agents_of_one_name_have_texts_and_versions_of_their_own(core: Core) -> None:
    shared = definition(MINE, attempts=2)
    await core.agents.publish(MINE, shared)
    _, is_new = await core.agents.publish(THEIRS, shared)
    await core.agents.publish(THEIRS, definition(THEIRS, concurrency=1))

    assert is_new
    assert [len(await core.agents.versions(who, "one")) for who in BOTH] == [3, 3]
    assert "for default" in (await core.agents.get(MINE, "one")).description
    assert "for theirs" in (await core.agents.get(THEIRS, "one")).description
    for who in BOTH:
        assert [one.description for one in await core.agents.all(who)] == [f"Does one for {who.tenant}."]
    async with core.db.read() as tx:
        sources = [await agents.sources(tx, who.tenant) for who in BOTH]
        current = [await agents.current_versions(tx, who.tenant) for who in BOTH]
        assert await agents.sources(tx, NEXT.tenant) == []
        assert await agents.source(tx, NEXT.tenant, "one") is None
        texts = [await agents.source(tx, who.tenant, "one") or "" for who in BOTH]
        assert await agents.source(tx, MINE.tenant, "one", current[1]["one"]) is None
    assert [[text.count("one for") for _, text in each] for each in sources] == [[1], [1]]
    assert current[0] != current[1]
    assert ["for default" in texts[0], "for theirs" in texts[1]] == [True, True]
    limits = given.rows(core, "SELECT tenant, most_running FROM agents WHERE id = 'one' ORDER BY tenant")
    assert limits == [("default", None), ("theirs", 1)]
    with pytest.raises(AgentNotFound):
        await core.agents.current(NEXT, "one")


async def test_a_version_is_known_only_where_it_was_published(core: Core) -> None:
    text = definition(MINE, attempts=3)
    await core.agents.publish_all(MINE, {"one.md": text})
    await core.agents.publish_all(THEIRS, {"one.md": text})

    assert [len(await core.agents.versions(who, "one")) for who in BOTH] == [3, 2]


async def test_who_has_never_had_a_version_is_found_tenant_by_tenant(core: Core) -> None:
    text = definition(MINE, attempts=4)
    version = (await core.agents.publish(MINE, text))[0].version
    async with core.db.write() as tx:
        for who in (THEIRS, NEXT):
            tenant = Tenant(
                id=who.tenant, display_name="", created_by="", created_at=tx.now, suspended_at=None
            )
            await tenants.add(tx, tenant)
        assert set(await agents.tenants_without(tx, "one", version)) == {THEIRS.tenant, NEXT.tenant}


async def test_a_request_key_is_each_tenants_own(core: Core) -> None:
    first = [
        await core.tasks.submit(who, TaskOrder(agent_id="one", task_data={}, idempotency_key="k"))
        for who in BOTH
    ]
    again = [
        await core.tasks.submit(who, TaskOrder(agent_id="one", task_data={}, idempotency_key="k"))
        for who in BOTH
    ]

    assert [one.replayed for one in (*first, *again)] == [False, False, True, True]
    assert [one.task.id for one in again] == [one.task.id for one in first]
    assert first[0].task.id != first[1].task.id


async def test_keys_that_meet_in_one_commit_stay_apart(core: Core) -> None:
    order = TaskOrder(agent_id="one", task_data={}, idempotency_key="together")
    answers = await asyncio.gather(*(core.tasks.submit(who, order) for who in (*BOTH, *BOTH)))

    assert len({one.task.id for one in answers}) == 2
    assert {one.task.tenant for one in answers} == {"default", "theirs"}


async def test_lists_of_tasks_hold_ones_own_whatever_they_are_narrowed_by(core: Core) -> None:
    labels = {"team": "a"}
    own = {who: await submitted(core, who, labels=labels, context_id="c") for who in BOTH}

    for who in BOTH:
        for narrowed in ({}, {"agent_id": "one"}, {"context_id": "c"}, {"labels": labels}):
            found = await core.watch.page(who, **narrowed)  # pyright: ignore[reportArgumentType] - a test's
            assert [one.id for one in found.items] == [own[who].id]
    assert (await core.watch.page(NEXT, labels=labels)).items == []


async def test_labels_of_a_foreign_task_open_no_way_to_it(core: Core) -> None:
    mine = await submitted(core, MINE)
    async with core.db.write() as tx:
        # As if another tenant had labelled it: the label alone must not count.
        await tasks_labelled(tx, "theirs", mine.id)

    assert (await core.watch.page(MINE, labels={"team": "x"})).items == []


async def tasks_labelled(tx: Tx, tenant: str, task_id: str) -> None:
    row = {"tenant": tenant, "task_id": task_id, "key": "team", "value": "x"}
    await tx.connection.execute(insert(TaskLabel), [row])


async def test_nothing_can_be_done_to_a_foreign_task(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    step = core.journal.new_step(task, "0/0", StepKind.QUESTION, "ask", {}, StepStatus.OPEN)
    await core.journal.ask(task, step)
    ended = await submitted(core, MINE)
    await core.tasks.cancel(MINE, ended.id)

    for attempt in (
        core.watch.get(THEIRS, task.id),
        core.tasks.cancel(THEIRS, task.id),
        core.tasks.answer(THEIRS, task.id, "0/0", "yes"),
        core.tasks.retry(THEIRS, ended.id),
        core.tasks.retry(THEIRS, ended.id, {"steps": 5}),
        core.messages.send(THEIRS, task.id, "hello"),
    ):
        with pytest.raises(TaskNotFound):
            await attempt
    now = await core.watch.get(MINE, task.id)
    assert (now.status, now.cancel_requested_at) == (Status.RUNNING, None)
    assert (await core.watch.get(MINE, ended.id)).status is Status.CANCELED
    [question] = [one for one in await core.watch.steps(MINE, task.id) if one.path == "0/0"]
    assert question.status is StepStatus.OPEN


async def test_of_a_foreign_task_not_even_its_agent_is_told(core: Core) -> None:
    await core.agents.publish(MINE, given.a_definition("only-mine", function="one"))
    task = await submitted(core, MINE, agent_id="only-mine")
    await core.tasks.cancel(MINE, task.id)

    with pytest.raises(TaskNotFound):
        await core.tasks.retry(THEIRS, task.id, {"steps": 5})


async def test_a_task_goes_on_from_no_foreign_one(core: Core) -> None:
    theirs = await submitted(core, THEIRS)
    task = await given.a_running_task(core, "one")

    assert await core.journal.followed(replace(task, follows_id=theirs.id)) == []


async def test_schedules_of_one_name_are_two(core: Core) -> None:
    own = {who: await core.schedules.create(who, SCHEDULE) for who in BOTH}

    for who, other in zip(BOTH, reversed(BOTH), strict=True):
        assert [one.id for one in (await core.schedules.page(who)).items] == [own[who].id]
        for attempt in (
            core.schedules.get(who, own[other].id),
            core.schedules.change(who, own[other].id, {"is_paused": True}),
            core.schedules.remove(who, own[other].id),
            core.schedules.run(who, own[other].id),
        ):
            with pytest.raises(ScheduleNotFound):
                await attempt
    async with core.db.read() as tx:
        assert await schedules.count(tx, "default") == 1
        assert await schedules.named(tx, "zzz", "nightly") is None
        assert await schedules.named(tx, "theirs", "nightly") == own[THEIRS].id


async def test_renaming_a_schedule_meets_only_ones_own_names(core: Core) -> None:
    await core.schedules.create(THEIRS, SCHEDULE)
    mine = await core.schedules.create(MINE, replace(SCHEDULE, name="other"))

    assert (await core.schedules.change(MINE, mine.id, {"name": "nightly"})).name == "nightly"


async def test_a_lane_gives_each_tenants_tasks_to_that_lane(core: Core, clock: TestClock) -> None:
    mine = [await submitted(core, MINE) for _ in range(3)]
    clock.advance(5)
    theirs = [await submitted(core, THEIRS) for _ in range(3)]

    first = await core.attempts.claim("w", limit=2)
    rest = await core.attempts.claim("w", limit=10)

    assert {task.tenant for task in first} == {"default", "theirs"}
    assert {task.id for task in (*first, *rest)} == {task.id for task in (*mine, *theirs)}


async def test_an_agents_limit_counts_its_own_tenants_tasks(core: Core) -> None:
    await core.agents.publish(THEIRS, definition(THEIRS, concurrency=1))
    for who in (*BOTH, *BOTH):
        await submitted(core, who)

    claimed = await core.attempts.claim("w", limit=10)

    assert sorted(task.tenant for task in claimed) == ["default", "default", "theirs"]


async def test_a_new_lane_is_opened_though_another_tenant_has_its_like(core: Core) -> None:
    first, second = await submitted(core, MINE), await submitted(core, THEIRS)
    other = await submitted(core, THEIRS, priority=7)
    async with core.db.write() as tx:
        # A process that has opened none of them yet.
        await lanes.Lanes().open(tx, [first, second, other])

    found = given.rows(core, "SELECT tenant, priority FROM lanes WHERE agent_id = 'one' ORDER BY 1, 2")
    assert found == [("default", 0), ("theirs", 0), ("theirs", 7)]


async def test_a_day_and_its_sums_are_each_tenants_own(core: Core) -> None:
    estimate = Estimate(
        model="m", input_tokens=10, max_output_tokens=90, input_usd_nanos=10, output_nanos_per_million=1_000_000,
        unknown_price=UnknownPrice.AUTO,
    )  # fmt: skip
    limits = DayLimits(tokens=150)
    for who in BOTH:
        await submitted(core, who)
    for task in await core.attempts.claim("w", limit=10):
        async with core.db.write() as tx:
            held = await tasks.hold(tx, [task.id])
            step = core.journal.new_step(task, "0/0", StepKind.MODEL, "m", {}, StepStatus.RUNNING)
            await spending.reserve(tx, held, task, step, estimate, limits)

    days = given.rows(core, "SELECT tenant, tokens, usd_nanos FROM tenant_days ORDER BY 1")
    assert days == [("default", 100, 100), ("theirs", 100, 100)]
    async with core.db.read() as tx:
        today = tx.now.date().isoformat()
        seen = [await charges.seen_day(tx, who.tenant, today) for who in (*BOTH, NEXT)]
        assert await charges.seen_day(tx, MINE.tenant, "2020-01-01") == (0, 0)
    assert seen == [(100, 100), (100, 100), (0, 0)]
    for who in BOTH:
        report = await core.usage.report(who, UsageBy.AGENT)
        assert report.total.reserved_tokens == 100
    async with core.db.read() as tx:
        assert (await usage.total(tx, NEXT.tenant, UsageFilter())).reserved_tokens == 0


async def test_what_is_pruned_is_ones_own(core: Core, clock: TestClock) -> None:
    own = {who: await submitted(core, who, labels={"team": "a"}) for who in BOTH}
    for task in await core.attempts.claim("w", limit=10):
        await core.attempts.finish(task, Completed())
    clock.advance(3_600)

    await core.retention.prune(MINE, PruneOrder(older_than=timedelta(minutes=5)))

    with pytest.raises(TaskNotFound):
        await core.watch.get(MINE, own[MINE].id)
    assert [one.id for one in (await core.watch.page(THEIRS, labels={"team": "a"})).items] == [own[THEIRS].id]


async def test_chains_of_the_audit_end_each_where_its_tenants_does(core: Core) -> None:
    async with core.db.write() as tx:
        for who in BOTH:
            assert await audit.head(tx, who.tenant) == await audit.hold_head(tx, who.tenant)
        assert await audit.head(tx, NEXT.tenant) == audit.EMPTY


async def test_what_waits_and_runs_is_counted_for_one_tenant(core: Core) -> None:
    for who in (MINE, THEIRS, THEIRS):
        await submitted(core, who)

    async with core.db.read() as tx:
        assert [await backlog.open_of(tx, who.tenant) for who in (*BOTH, NEXT)] == [(1, 0), (2, 0), (0, 0)]


async def test_a_data_key_is_its_own_tenants(core: Core) -> None:
    key = WrappedKey(id="k", tenant=THEIRS.tenant, master_key_id="m", wrapped=b"x")
    async with core.db.write() as tx:
        await data_keys.add(tx, key)
        assert await data_keys.get(tx, THEIRS.tenant, "k") == key
        assert await data_keys.get(tx, MINE.tenant, "k") is None


async def test_limits_are_kept_changed_and_dropped_for_one_tenant(core: Core) -> None:
    def limited(most: int) -> TenantLimits:
        return TenantLimits(**{LIMIT_NAMES[0]: most})

    async with core.db.write() as tx:
        for who, most in ((MINE, 1), (THEIRS, 2), (MINE, 3)):
            await tenant_limits.store(tx, who.tenant, limited(most), "me")
        assert await tenant_limits.every(tx) == {"default": limited(3), "theirs": limited(2)}
        await tenant_limits.store(tx, MINE.tenant, TenantLimits(), "me")
        assert await tenant_limits.every(tx) == {"theirs": limited(2)}


async def test_the_operators_tools_are_the_operators(core: Core) -> None:
    for attempt in (core.mcp_pins.all(THEIRS), core.mcp_pins.approve(THEIRS, "s", "t", "0" * 64)):
        with pytest.raises(Forbidden):
            await attempt
