"""Reads: lists with cursors, and events that a watcher sees once each, whenever it joins."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from chargehand.app.core import Core
from chargehand.domain.access import Principal, Scope
from chargehand.domain.history import Event, EventKind
from chargehand.domain.task import Completed, Failed, Reason, Status, TaskError
from chargehand.errors import DeliverableNotFound, Forbidden, InvalidCursor, InvalidInput, TaskNotFound
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.store.signals import Signals
from tests import given
from tests.given import ME

BROKEN = Failed(error=TaskError(reason=Reason.AGENT_ERROR, message="it broke"))


async def idle(ctx: PlaybookContext) -> None:
    del ctx


@pytest_asyncio.fixture
async def core(tmp_path: Path) -> AsyncGenerator[Core, None]:
    async with given.a_core(tmp_path, playbooks={"one": idle, "two": idle}, with_engine=False) as opened:
        yield opened


async def seen(core: Core, task_id: str, *, after: int = 0) -> list[Event]:
    """All that a watcher sees until the task ends."""
    async with asyncio.timeout(given.LIMIT_SECONDS):
        return [event async for event in core.watch.follow(ME, task_id, after=after) if event is not None]


async def test_a_list_is_paged_without_gap_or_repeat_while_tasks_come_in(core: Core) -> None:
    first = [(await given.a_task(core, "one")).id for _ in range(7)]
    listed: list[str] = []
    cursor: str | None = None
    while True:
        page = await core.watch.page(ME, cursor=cursor, limit=3)
        listed += [task.id for task in page.items]
        await given.a_task(core, "one")
        cursor = page.next_cursor
        if cursor is None:
            break

    assert listed == first[::-1]


async def test_a_list_is_narrowed_by_agent_status_context_and_labels(core: Core) -> None:
    plain = await given.a_task(core, "one")
    other = await given.a_task(core, "two", labels={"team": "blue", "env": "test"}, context_id="talk")
    await given.a_task(core, "two", labels={"team": "red", "env": "test"})
    canceled = await given.a_task(core, "one")
    await core.tasks.cancel(ME, canceled.id)

    async def ids(**filters: object) -> list[str]:
        return [task.id for task in (await core.watch.page(ME, **filters)).items]  # pyright: ignore[reportArgumentType] - by name

    assert await ids(agent_id="one") == [canceled.id, plain.id]
    assert await ids(status="canceled") == [canceled.id]
    assert await ids(context_id="talk") == [other.id]
    assert await ids(labels={"team": "blue", "env": "test"}) == [other.id]
    assert await ids(labels={"team": "blue", "env": "live"}) == []


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "🎉",
        "a" * 10_000,
        base64.urlsafe_b64encode(b'{"before": "x"}').decode(),
        base64.urlsafe_b64encode(b'["before"]').decode(),
        base64.urlsafe_b64encode(b'{"before": 7}').decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
async def test_a_cursor_that_this_service_did_not_make_is_refused(core: Core, cursor: str) -> None:
    with pytest.raises(InvalidCursor, match="start again without it"):
        await core.watch.page(ME, cursor=cursor)


async def test_limits_and_statuses_that_are_none_are_refused(core: Core) -> None:
    for limit in (0, -1, 201):
        with pytest.raises(InvalidInput, match="limit is 1 to 200"):
            await core.watch.page(ME, limit=limit)
    with pytest.raises(InvalidInput, match="no status 'done'; it is one of: pending"):
        await core.watch.page(ME, status="done")
    task = await given.a_task(core, "one")
    with pytest.raises(InvalidInput, match="limit is 1 to 500"):
        await core.watch.events(ME, task.id, limit=501)


@pytest.mark.parametrize(
    "task_id", ["", "x", "../..", "01a206af-d43e-7c5f-9201-c55f22d18503", "🎉" * 100, "\x00"]
)
async def test_an_id_that_is_no_tasks_is_not_found(core: Core, task_id: str) -> None:
    for read in (
        core.watch.get,
        core.watch.children,
        core.watch.steps,
        core.watch.events,
        core.watch.deliverables,
    ):
        with pytest.raises(TaskNotFound):
            await read(ME, task_id)


async def test_another_tenant_sees_nothing(core: Core) -> None:
    task = await given.a_task(core, "one")
    stranger = Principal(id="s", tenant="elsewhere", scopes=frozenset({Scope.ADMIN}))

    assert (await core.watch.page(stranger)).items == []
    for read in (
        core.watch.get,
        core.watch.children,
        core.watch.steps,
        core.watch.events,
        core.watch.deliverables,
    ):
        with pytest.raises(TaskNotFound):
            await read(stranger, task.id)


async def test_reading_takes_the_scope(core: Core) -> None:
    task = await given.a_task(core, "one")
    writer = Principal(id="w", tenant="default", scopes=frozenset({Scope.TASKS_WRITE}))

    with pytest.raises(Forbidden, match="tasks:read"):
        await core.watch.get(writer, task.id)
    with pytest.raises(Forbidden, match="tasks:read"):
        await core.watch.page(writer)


async def test_a_watcher_sees_every_event_once_whenever_it_joined(core: Core) -> None:
    submitted = await given.a_task(core, "one")
    watchers = [asyncio.create_task(seen(core, submitted.id))]
    [task] = (await given.claimed(core)).values()
    watchers.append(asyncio.create_task(seen(core, submitted.id)))
    for number in range(20):
        await core.attempts.report(task, EventKind.PROGRESS, {"n": number})
        watchers.append(asyncio.create_task(seen(core, submitted.id)))
    await core.attempts.finish(task, Completed())
    watchers.append(asyncio.create_task(seen(core, submitted.id)))

    for events in await asyncio.gather(*watchers):
        assert [event.sequence for event in events] == list(range(1, 24))
        assert events[-1].kind == "task.completed"


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_watcher_that_comes_back_goes_on_after_what_it_has_seen(core: Core, after: int) -> None:
    task = await given.a_running_task(core, "one")
    await core.attempts.finish(task, Completed())

    events = await seen(core, task.id, after=after)

    assert [event.sequence for event in events] == list(range(after + 1, 4))


async def test_a_watcher_of_a_reopened_task_sees_its_second_end(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    await core.attempts.finish(task, BROKEN)
    await core.tasks.retry(ME, task.id)
    watcher = asyncio.create_task(seen(core, task.id))
    [again] = (await given.claimed(core)).values()
    await core.attempts.finish(again, Completed())

    kinds = [event.kind for event in await watcher]

    assert kinds == [
        "task.submitted", "task.started", "task.failed", "task.reopened", "task.started", "task.completed",
    ]  # fmt: skip


async def test_a_watcher_that_leaves_is_forgotten(core: Core) -> None:
    task = await given.a_task(core, "one")
    watcher = asyncio.create_task(seen(core, task.id))
    await given.event(core, task, EventKind.SUBMITTED)
    watcher.cancel()
    await asyncio.wait([watcher])

    [claimed] = (await given.claimed(core)).values()
    await core.attempts.finish(claimed, Completed())

    assert len(await seen(core, task.id)) == 3


async def test_waiting_ends_with_the_task(core: Core) -> None:
    task = await given.a_running_task(core, "one")
    waiting = asyncio.create_task(core.watch.wait(ME, task.id, given.LIMIT_SECONDS))
    await asyncio.sleep(0)

    await core.attempts.finish(task, Completed(result=7))

    assert (await waiting).result == 7


async def test_waiting_ends_with_the_time_too(core: Core) -> None:
    task = await given.a_task(core, "one")

    assert (await core.watch.wait(ME, task.id, 0.05)).status is Status.PENDING
    assert (await core.watch.wait(ME, task.id, 0)).status is Status.PENDING


def _say_nothing(signals: Signals, topic: str) -> None:
    del signals, topic


async def test_a_hint_that_is_lost_costs_time_but_no_event(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargehand.service.watch.POLL_SECONDS", 0.05)
    monkeypatch.setattr("chargehand.store.signals.Signals.notify", _say_nothing)
    task = await given.a_running_task(core, "one")
    watching = asyncio.create_task(seen(core, task.id))
    waiting = asyncio.create_task(core.watch.wait(ME, task.id, given.LIMIT_SECONDS))
    await asyncio.sleep(0)

    await core.attempts.finish(task, Completed())

    assert [event.sequence for event in await watching] == [1, 2, 3]
    assert (await waiting).status is Status.COMPLETED


async def test_a_deliverable_that_is_not_there_is_named_with_those_that_are(core: Core) -> None:
    task = await given.a_task(core, "one")

    with pytest.raises(DeliverableNotFound, match="no deliverable 'report'; stored: none yet"):
        await core.watch.deliverable(ME, task.id, "report")


async def test_tasks_are_counted_by_status(core: Core) -> None:
    await given.a_running_task(core, "one")
    await given.a_task(core, "one")
    await given.a_task(core, "one")

    assert await core.watch.counts() == {"running": 1, "pending": 2}
