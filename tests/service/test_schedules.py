"""Schedules: made and changed by callers, and run once for each due time, by whichever process looks first."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.access import Principal, Scope
from chargehand.domain.schedule import MAX_MISSED_RUNS, Schedule, ScheduleOrder
from chargehand.domain.task import FOREVER
from chargehand.errors import (
    AgentNotFound,
    Conflict,
    Forbidden,
    InvalidInput,
    ScheduleNameTaken,
    ScheduleNotFound,
    StorageFull,
    Unavailable,
)
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service import schedules
from chargehand.service.schedule_runs import ScheduleRuns
from tests import given
from tests.given import ME, TestClock

STRANGER = Principal(id="stranger", tenant="another", scopes=frozenset({Scope.ADMIN}))
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
"""When TestClock begins."""
HOUR = 3600


async def idle(ctx: PlaybookContext) -> None:
    del ctx


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def core(tmp_path: Path, clock: TestClock) -> AsyncGenerator[Core, None]:
    opened = given.a_core(tmp_path, playbooks={"one": idle, "two": idle}, clock=clock, with_engine=False)
    async with opened as core:
        yield core


def an_order(**changes: Any) -> ScheduleOrder:
    told: dict[str, Any] = {
        "name": "hourly",
        "cron": "0 * * * *",
        "agent_id": "one",
        "task_data": {"number": 7},
    }
    return ScheduleOrder(**{**told, **changes})


async def a_schedule(core: Core, **changes: Any) -> Schedule:
    return await core.schedules.create(ME, an_order(**changes))


def runs(core: Core) -> list[tuple[str, str]]:
    """(schedule, due time) of every task that a schedule brought, as the keys tell."""
    found = given.rows(core, "SELECT key FROM idempotency_keys WHERE key LIKE 'schedule:%' ORDER BY key")
    return [(key.split(":", 2)[1], key.split(":", 2)[2]) for (key,) in found]


async def test_a_due_time_has_one_task_with_all_that_was_ordered(core: Core, clock: TestClock) -> None:
    schedule = await a_schedule(
        core, labels={"team": "shop"}, priority=5, budget={"steps": 3}, timeout_seconds=60
    )

    assert await core.schedule_runs.run_due() == schedule.next_at == NOON + timedelta(hours=1)
    clock.advance(HOUR)
    await core.schedule_runs.run_due()
    again = await core.schedule_runs.run_due()

    now = await core.schedules.get(ME, schedule.id)
    [task] = (await core.watch.page(ME, labels={"schedule": "hourly"})).items
    [submitted] = await core.watch.events(ME, task.id)
    assert again == now.next_at == NOON + timedelta(hours=2)
    assert (now.last_at, now.last_task_id, now.last_error) == (schedule.next_at, task.id, None)
    assert (task.agent_id, task.task_data, task.priority) == ("one", {"number": 7}, 5)
    assert task.labels == {"team": "shop", "schedule": "hourly"}
    assert task.budget["steps"] == 3
    assert task.deadline_at == clock.now() + timedelta(seconds=60)
    assert task.created_by == ME.id
    assert submitted.data["schedule"] == {"id": schedule.id, "due_at": "2026-07-01T13:00:00Z"}
    assert runs(core) == [(schedule.id, "2026-07-01T13:00:00Z")]


async def test_the_engine_runs_it_when_its_time_comes(tmp_path: Path, clock: TestClock) -> None:
    async with given.a_core(tmp_path, playbooks={"one": idle}, clock=clock) as core:
        schedule = await a_schedule(core)

        async def ran() -> bool:
            return (await core.schedules.get(ME, schedule.id)).last_task_id is not None

        assert not await ran()
        clock.advance(HOUR)
        await given.eventually(ran)
        task_id = (await core.schedules.get(ME, schedule.id)).last_task_id
        assert task_id is not None
        await given.ended(core, task_id)


@pytest.mark.parametrize(
    ("missed", "times"),
    [
        ("skip", ["2026-07-01T16:00:00Z"]),
        ("once", ["2026-07-01T13:00:00Z"]),
        ("all", [f"2026-07-01T{hour}:00:00Z" for hour in (13, 14, 15, 16)]),
    ],
)
async def test_what_was_missed_is_run_as_the_policy_says(
    core: Core, clock: TestClock, missed: str, times: list[str]
) -> None:
    schedule = await a_schedule(core, missed=missed)
    clock.advance(4 * HOUR + 5)

    await core.schedule_runs.run_due()

    now = await core.schedules.get(ME, schedule.id)
    assert runs(core) == [(schedule.id, time) for time in times]
    assert now.next_at == NOON + timedelta(hours=5)
    error = now.last_error or {}
    assert error.get("code") == ("schedule.missed" if missed == "skip" else None)


async def test_a_time_that_is_seen_late_is_not_run_by_skip(core: Core, clock: TestClock) -> None:
    schedule = await a_schedule(core, missed="skip")
    clock.advance(HOUR + 90)

    await core.schedule_runs.run_due()

    now = await core.schedules.get(ME, schedule.id)
    assert runs(core) == []
    assert (now.last_task_id, now.next_at) == (None, NOON + timedelta(hours=2))
    assert now.last_error is not None
    assert now.last_error["due_at"] == "2026-07-01T13:00:00Z"


async def test_catching_up_has_an_end_and_says_so(core: Core, clock: TestClock) -> None:
    schedule = await a_schedule(core, missed="all", cron="* * * * *")
    clock.advance(5 * HOUR)

    await core.schedule_runs.run_due()
    await core.schedule_runs.run_due()

    now = await core.schedules.get(ME, schedule.id)
    assert len(runs(core)) == MAX_MISSED_RUNS
    assert now.last_error is not None
    assert now.last_error["code"] == "schedule.missed"
    assert now.last_error["due_at"] == "2026-07-01T13:41:00Z"
    assert now.next_at == clock.now() + timedelta(minutes=1)


async def test_many_who_look_at_once_make_one_task(core: Core, clock: TestClock) -> None:
    telemetry = core.telemetry.metrics
    others = [ScheduleRuns(core.db, core.tasks, core.tasks._hints, telemetry) for _ in range(8)]  # pyright: ignore[reportPrivateUsage] - as app.core hands them over
    schedule = await a_schedule(core)
    clock.advance(HOUR)

    await asyncio.gather(*(one.run_due() for one in others))

    assert runs(core) == [(schedule.id, "2026-07-01T13:00:00Z")]
    assert given.rows(core, "SELECT count(*) FROM agent_tasks") == [(1,)]


async def test_a_refused_task_is_noted_and_keeps_no_other_from_running(
    core: Core, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = await a_schedule(core, name="a", agent_id="two")
    other = await a_schedule(core, name="b")
    current = core.agents.current

    async def gone(self: object, who: Principal, agent_id: str) -> Any:
        if agent_id == "two":
            raise AgentNotFound("there is no agent 'two'")
        return await current(who, agent_id)

    clock.advance(HOUR)

    with monkeypatch.context() as patched:
        patched.setattr(type(core.agents), "current", gone)
        await core.schedule_runs.run_due()

    now = await core.schedules.get(ME, refused.id)
    assert now.last_error == {
        "code": "agent.not_found",
        "message": "there is no agent 'two'",
        "due_at": "2026-07-01T13:00:00Z",
    }
    assert (now.next_at, now.last_task_id) == (NOON + timedelta(hours=2), None)
    assert [one for one, _ in runs(core)] == [other.id]
    clock.advance(HOUR)
    await core.schedule_runs.run_due()
    assert (await core.schedules.get(ME, refused.id)).last_error is None


async def test_a_fault_in_one_keeps_no_other_from_running(
    core: Core, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = await a_schedule(core, name="a", agent_id="two")
    other = await a_schedule(core, name="b")
    prepared = core.tasks.prepared

    async def breaks(who: Principal, order: Any) -> Any:
        if order.agent_id == "two":
            raise RuntimeError("a fault")
        return await prepared(who, order)

    clock.advance(HOUR)

    with monkeypatch.context() as patched:
        patched.setattr(core.tasks, "prepared", breaks)
        again = await core.schedule_runs.run_due()

    assert [one for one, _ in runs(core)] == [other.id]
    assert again == clock.now() + timedelta(seconds=1)
    await core.schedule_runs.run_due()
    assert {one for one, _ in runs(core)} == {broken.id, other.id}


async def test_a_full_disk_is_noted_like_any_refusal(core: Core, clock: TestClock) -> None:
    schedule = await a_schedule(core)
    full = StorageFull("the disk is full")

    def check() -> None:
        raise full

    clock.advance(HOUR)
    core.tasks._check_space = check  # pyright: ignore[reportPrivateUsage] - no disk is filled for this
    await core.schedule_runs.run_due()

    now = await core.schedules.get(ME, schedule.id)
    assert now.last_error is not None
    assert now.last_error["code"] == "storage_full"
    assert now.next_at > clock.now()


async def test_a_database_that_does_not_answer_costs_no_due_time_its_task(
    core: Core, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = await a_schedule(core)

    async def silent(self: object, who: Principal, agent_id: str) -> Any:
        raise Unavailable("the database did not answer")

    clock.advance(HOUR)

    with monkeypatch.context() as patched:
        patched.setattr(type(core.agents), "current", silent)
        with pytest.raises(Unavailable, match="did not answer"):
            await core.schedule_runs.run_due()

    assert await core.schedules.get(ME, schedule.id) == schedule
    await core.schedule_runs.run_due()
    assert runs(core) == [(schedule.id, "2026-07-01T13:00:00Z")]
    now = await core.schedules.get(ME, schedule.id)
    assert (now.next_at, now.last_error) == (NOON + timedelta(hours=2), None)


async def test_a_full_backlog_is_noted_like_any_refusal(tmp_path: Path, clock: TestClock) -> None:
    opened = given.a_core(tmp_path, playbooks={"one": idle}, clock=clock, with_engine=False, backlog_limit=1)
    async with opened as core:
        schedule = await a_schedule(core)
        await given.a_task(core, "one")
        clock.advance(HOUR)

        await core.schedule_runs.run_due()

        now = await core.schedules.get(ME, schedule.id)
        assert now.last_error is not None
        assert now.last_error["code"] == "unavailable"
        assert (now.next_at, runs(core)) == (NOON + timedelta(hours=2), [])


async def test_a_zone_that_is_known_no_more_stops_only_its_schedule(core: Core, clock: TestClock) -> None:
    schedule = await a_schedule(core)
    other = await a_schedule(core, name="other")
    async with core.db.write() as tx:
        await schedules.schedules.change(tx, schedule.id, {"time_zone": "Nowhere/Gone"})
    clock.advance(HOUR)

    await core.schedule_runs.run_due()

    now = await core.schedules.get(ME, schedule.id)
    assert now.next_at == FOREVER
    assert now.next_times() == []
    assert now.last_error is not None
    assert "Nowhere/Gone" in str(now.last_error["message"])
    assert [one for one, _ in runs(core)] == [other.id]
    changed = await core.schedules.change(ME, schedule.id, {"time_zone": "UTC"})
    assert changed.next_at == NOON + timedelta(hours=2)


async def test_a_paused_schedule_does_not_run_and_goes_on_from_when_it_is_resumed(
    core: Core, clock: TestClock
) -> None:
    schedule = await a_schedule(core, missed="all")

    paused = await core.schedules.change(ME, schedule.id, {"is_paused": True})
    clock.advance(3 * HOUR)
    assert await core.schedule_runs.run_due() is None
    resumed = await core.schedules.change(ME, schedule.id, {"is_paused": False})
    await core.schedule_runs.run_due()

    assert (paused.next_at, paused.next_times()) == (FOREVER, [])
    assert resumed.next_at == clock.now() + timedelta(hours=1)
    assert runs(core) == []


async def test_a_change_of_the_task_moves_no_time_and_one_of_the_times_does(core: Core) -> None:
    schedule = await a_schedule(core)

    renamed = await core.schedules.change(ME, schedule.id, {"name": "new", "task_data": {}, "missed": "skip"})
    moved = await core.schedules.change(ME, schedule.id, {"cron": "30 14 * * *", "time_zone": "Asia/Kolkata"})
    same = await core.schedules.change(ME, schedule.id, {})

    assert renamed.next_at == schedule.next_at
    assert (renamed.name, renamed.task_data, renamed.missed) == ("new", {}, "skip")
    assert moved.next_at == datetime(2026, 7, 2, 9, 0, tzinfo=UTC)
    assert same == moved


async def test_it_runs_at_once_when_asked_also_while_it_is_paused(core: Core) -> None:
    schedule = await a_schedule(core, is_paused=True)

    first = await core.schedules.run(ME, schedule.id, "key-1")
    again = await core.schedules.run(ME, schedule.id, "key-1")

    now = await core.schedules.get(ME, schedule.id)
    assert first.task.labels == {"schedule": "hourly"}
    assert (again.replayed, again.task.id) == (True, first.task.id)
    assert (now.next_at, now.last_task_id) == (FOREVER, None)


async def test_a_removed_schedule_is_gone_and_its_tasks_stay(core: Core, clock: TestClock) -> None:
    schedule = await a_schedule(core)
    task = (await core.schedules.run(ME, schedule.id)).task

    await core.schedules.remove(ME, schedule.id)
    clock.advance(2 * HOUR)

    assert await core.schedule_runs.run_due() is None
    assert (await core.watch.get(ME, task.id)).id == task.id
    with pytest.raises(ScheduleNotFound):
        await core.schedules.get(ME, schedule.id)


async def test_a_key_that_a_caller_used_before_is_not_used_twice(core: Core, clock: TestClock) -> None:
    schedule = await a_schedule(core)
    key = f"schedule:{schedule.id}:2026-07-01T13:00:00Z"
    task = await given.a_task(core, "one", idempotency_key=key)
    clock.advance(HOUR)

    await core.schedule_runs.run_due()

    assert (await core.schedules.get(ME, schedule.id)).last_task_id == task.id
    assert given.rows(core, "SELECT count(*) FROM agent_tasks") == [(1,)]


async def test_another_tenant_sees_nothing_of_it(core: Core) -> None:
    schedule = await a_schedule(core)

    assert (await core.schedules.page(STRANGER)).items == []
    for act in (
        core.schedules.get(STRANGER, schedule.id),
        core.schedules.change(STRANGER, schedule.id, {"is_paused": True}),
        core.schedules.remove(STRANGER, schedule.id),
        core.schedules.run(STRANGER, schedule.id),
    ):
        with pytest.raises(ScheduleNotFound):
            await act
    reader = Principal(id="r", tenant=ME.tenant, scopes=frozenset({Scope.TASKS_READ}))
    with pytest.raises(Forbidden):
        await core.schedules.create(reader, an_order())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "a" * 129}, "1 to 128"),
        ({"name": ""}, "1 to 128"),
        ({"name": "two words"}, "1 to 128"),
        ({"cron": "61 * * * *"}, "its minute is wrong"),
        ({"cron": "* * * * * *"}, "seconds are not supported"),
        ({"cron": "@reboot"}, "is none of @yearly"),
        ({"time_zone": "Mars/Base"}, "IANA name"),
        ({"missed": "sometimes"}, "skip, once, all"),
        ({"priority": 101}, "priority is a whole number"),
        ({"labels": {"schedule": "x"}}, "is the schedule's name"),
        ({"labels": {f"k{number}": "" for number in range(32)}}, "at most 32 labels"),
        ({"budget": {"stepps": 3}}, "did you mean 'steps'"),
        ({"timeout_seconds": 0}, "timeout_seconds is greater than 0"),
        ({"agent_id": "auto"}, "names its agent"),
        ({"task_data": {"a": "\x00"}}, "NUL"),
    ],
)
async def test_what_could_not_run_is_refused_when_it_is_made_or_changed(
    core: Core, changes: dict[str, Any], told: str
) -> None:
    schedule = await a_schedule(core, name="there")

    with pytest.raises(InvalidInput, match=told):
        await core.schedules.create(ME, an_order(**changes))
    with pytest.raises(InvalidInput, match=told):
        await core.schedules.change(ME, schedule.id, changes)

    assert (await core.schedules.page(ME)).items == [schedule]


async def test_an_unknown_agent_and_a_taken_name_are_refused(core: Core) -> None:
    first = await a_schedule(core)
    second = await a_schedule(core, name="second")

    with pytest.raises(AgentNotFound):
        await a_schedule(core, name="third", agent_id="nobody")
    with pytest.raises(ScheduleNameTaken, match=first.id):
        await a_schedule(core)
    with pytest.raises(ScheduleNameTaken, match=first.id):
        await core.schedules.change(ME, second.id, {"name": "hourly"})
    assert (await core.schedules.change(ME, second.id, {"name": "second"})).name == "second"


async def test_a_tenant_has_no_more_than_it_may(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "MAX_SCHEDULES", 1)
    await a_schedule(core)

    with pytest.raises(Conflict, match="remove one"):
        await a_schedule(core, name="second")


async def test_the_list_comes_in_parts_newest_first(core: Core) -> None:
    made = [(await a_schedule(core, name=f"s{number}")).id for number in range(5)]

    first = await core.schedules.page(ME, limit=3)
    rest = await core.schedules.page(ME, limit=3, before=first.next_cursor)

    assert [one.id for one in (*first.items, *rest.items)] == made[::-1]
    assert rest.next_cursor is None
    assert [one.id for one in (await core.schedules.page(ME, name="s2")).items] == [made[2]]
    with pytest.raises(InvalidInput):
        await core.schedules.page(ME, limit=201)
