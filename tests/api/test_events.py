"""Events as pages and as streams that are cut, resumed, stopped and ended."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest

from chargehand.client import AsyncClient
from chargehand.domain.access import Principal, Scope
from chargehand.domain.history import EventKind
from chargehand.domain.task import Task
from chargehand.domain.tenant_limits import TenantLimits
from chargehand.serve import events
from chargehand.wire.rest import DeltaBody
from tests.api.service import OWNER, Service
from tests.api.test_tasks import submitted

pytestmark = pytest.mark.usefixtures("database")

STREAM = {"Accept": "text/event-stream"}
STEPS = 60


@dataclass(frozen=True)
class Seen:
    """An event as a client of the stream reads it."""

    id: int
    kind: str
    data: str


async def read(response: httpx2.Response) -> AsyncGenerator[Seen | str, None]:
    """Events, and comments as text."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line.startswith(":"):
            yield line
        elif line:
            fields[name] = value
        elif "id" in fields:
            yield Seen(int(fields["id"]), fields["event"], fields["data"])
            fields = {}


async def work(service: Service, task: Task) -> None:
    for number in range(STEPS):
        await service.worker.take_step(task, f"0/{number}")
    await service.worker.finish(task)


async def test_a_stream_cut_at_random_and_resumed_shows_each_event_once(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    chance = random.Random(7)  # noqa: S311 - where to cut, not a secret
    seen: list[Seen] = []
    connections = 0

    async with service.listening() as (url, _), service.real_client(service.key, url) as remote:
        working = asyncio.ensure_future(work(service, await service.worker.claim()))
        while not seen or seen[-1].kind != EventKind.COMPLETED:
            connections += 1
            headers = STREAM | ({"Last-Event-ID": str(seen[-1].id)} if seen else {})
            cut_after = chance.randrange(1, 12)
            async with remote.stream("GET", f"/tasks/{task_id}/events", headers=headers) as response:
                async for event in read(response):
                    assert isinstance(event, Seen)
                    seen.append(event)
                    cut_after -= 1
                    if cut_after == 0:
                        break
        await working

    stored = (await client.get(f"/tasks/{task_id}/events")).json()["items"]
    assert [event.id for event in seen] == list(range(1, len(stored) + 1))
    assert [event.kind for event in seen] == [event["kind"] for event in stored]
    assert len(seen) == 3 + 2 * STEPS
    assert connections > 5


async def test_a_stream_ends_with_the_event_that_ends_the_task(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    await service.worker.finish(await service.worker.claim())

    whole = await client.get(f"/tasks/{task_id}/events?after=1", headers=STREAM)
    nothing = await client.get(f"/tasks/{task_id}/events?after=3", headers=STREAM)
    header_wins = await client.get(
        f"/tasks/{task_id}/events?after=3", headers={**STREAM, "Last-Event-ID": "2"}
    )

    assert whole.text.startswith("retry: 2000\n\n")
    assert whole.headers["x-accel-buffering"] == "no"
    assert whole.headers["content-type"].startswith("text/event-stream")
    assert [line for line in whole.text.splitlines() if line.startswith("id:")] == ["id: 2", "id: 3"]
    assert (nothing.status_code, nothing.content) == (204, b"")
    assert "id: 3\nevent: task.completed\n" in header_wins.text


async def test_a_retried_task_is_followed_beyond_its_earlier_end(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    await service.worker.fail(await service.worker.claim())
    await client.post(f"/tasks/{task_id}/retry")
    await service.worker.finish(await service.worker.claim())

    stream = await client.get(f"/tasks/{task_id}/events", headers=STREAM)

    kinds = [line[7:] for line in stream.text.splitlines() if line.startswith("event: ")]
    assert kinds == [
        "task.submitted",
        "task.started",
        "task.failed",
        "task.reopened",
        "task.started",
        "task.completed",
    ]


async def test_pages_of_events_go_on_where_the_last_one_ended(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    await service.worker.finish(await service.worker.claim())

    first = (await client.get(f"/tasks/{task_id}/events?limit=2")).json()
    second = (await client.get(f"/tasks/{task_id}/events?limit=2&after={first['next_after']}")).json()
    third = (await client.get(f"/tasks/{task_id}/events?after={second['next_after']}")).json()

    assert [event["sequence"] for event in first["items"] + second["items"]] == [1, 2, 3]
    assert third == {"items": [], "next_after": 3}


@pytest.mark.parametrize("last", ["", "-1", "x", "1.0", "\u0661", "9" * 40, "99999999999999999"])
async def test_a_last_event_id_that_is_no_number_is_told(client: httpx2.AsyncClient, last: str) -> None:
    task_id = await submitted(client)

    headers = {b"Accept": b"text/event-stream", b"Last-Event-ID": last.encode()}

    answer = await client.get(f"/tasks/{task_id}/events", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["findings"][0]["where"] == "Last-Event-ID"


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=99999999999999999", "limit=501", "from=1"])
async def test_a_wrong_query_is_told(client: httpx2.AsyncClient, query: str) -> None:
    task_id = await submitted(client)

    assert (await client.get(f"/tasks/{task_id}/events?{query}")).status_code == 422


async def test_a_quiet_stream_shows_that_it_is_alive(
    service: Service, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargehand.service.watch.POLL_SECONDS", 0.05)
    monkeypatch.setattr(events, "PING_SECONDS", 0.05)
    task_id = await submitted(client)

    async with (
        service.listening() as (url, _),
        service.real_client(service.key, url) as remote,
        remote.stream("GET", f"/tasks/{task_id}/events?after=1", headers=STREAM) as response,
    ):
        first = await anext(read(response))

    assert first == ": ping"


async def test_a_stream_and_a_wait_end_with_the_key_that_opened_them(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    key, record = await service.services.keys.issue(OWNER, "watcher", frozenset({Scope.TASKS_READ}))
    working = await service.worker.claim()

    async with service.listening() as (url, _), service.real_client(key, url) as remote:
        waiting = asyncio.ensure_future(remote.get(f"/tasks/{task_id}", headers={"Prefer": "wait=60"}))
        async with remote.stream("GET", f"/tasks/{task_id}/events", headers=STREAM) as response:
            stream = read(response)
            seen = [await anext(stream), await anext(stream)]
            await service.services.keys.revoke(OWNER, record.id)
            await service.worker.take_step(working, "0/0")
            await service.worker.finish(working)
            rest = [event async for event in stream]
        answer = await asyncio.wait_for(waiting, 5)

    assert [one.kind for one in seen if isinstance(one, Seen)] == ["task.submitted", "task.started"]
    assert (rest, answer.status_code) == ([], 401)


async def test_a_server_that_stops_ends_its_streams_and_waits(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)

    async with (
        service.listening(grace_seconds=30) as (url, stopping),
        service.real_client(service.key, url) as remote,
    ):
        waiting = asyncio.ensure_future(remote.get(f"/tasks/{task_id}", headers={"Prefer": "wait=60"}))
        async with remote.stream("GET", f"/tasks/{task_id}/events", headers=STREAM) as response:
            stream = read(response)
            first = await anext(stream)
            stopping.set()
            rest = [event async for event in stream]
        answer = await asyncio.wait_for(waiting, 5)

    assert isinstance(first, Seen)
    assert rest == []
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")


async def test_a_client_that_goes_away_makes_room_for_the_next(
    service: Service, client: httpx2.AsyncClient
) -> None:
    await with_streams(service, 1)
    task_id = await submitted(client)

    async with service.listening() as (url, _), service.real_client(service.key, url) as remote:
        for _ in range(5):
            async with asyncio.timeout(5):
                while not await _streamed(remote, task_id):
                    """The server has yet to hear that the one before went away."""

    assert (await client.get(f"/tasks/{task_id}")).json()["status"] == "pending"


async def with_streams(service: Service, most: int) -> None:
    """So many streams at once for the tenant of the service's own key."""
    operator = Principal(id="operator", tenant="operators", scopes=frozenset({Scope.ADMIN_SERVICE}))
    await service.services.limits.replace(operator, "default", TenantLimits(streams=most))


async def _streamed(client: httpx2.AsyncClient, task_id: str) -> bool:
    """Whether a stream could be opened; it is left after its first event."""
    async with client.stream("GET", f"/tasks/{task_id}/events", headers=STREAM) as response:
        if response.status_code == 429:
            return False
        return isinstance(await anext(read(response)), Seen)


async def test_what_a_model_says_comes_between_the_events_without_an_id_and_is_kept_nowhere(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    attempts = service.worker.attempts
    async with service.listening() as (url, _), service.real_client(service.key, url) as remote:
        task = await service.worker.claim()
        assert not attempts.is_watched(task)
        attempts.say(task, {"path": "0/0", "text": "heard by nobody"})
        async with remote.stream("GET", f"/tasks/{task_id}/events", headers=STREAM) as response:
            lines = response.aiter_lines()
            await _after(lines, "event: task.started")
            assert attempts.is_watched(task)
            attempts.say(task, {"path": "0/0", "text": "Well, "})
            said = await _after(lines, "event: model.delta")
            await service.worker.finish(task)
            rest = [line async for line in lines]
        assert not attempts.is_watched(task)

    assert not any(line.startswith("id:") for line in said)
    assert rest[0] == f'data: {{"task_id":"{task_id}","path":"0/0","text":"Well, "}}'
    assert [line for line in rest if line.startswith("id:")] == ["id: 3"]
    stored = (await client.get(f"/tasks/{task_id}/events")).json()["items"]
    assert [one["kind"] for one in stored] == ["task.submitted", "task.started", "task.completed"]


async def _after(lines: AsyncIterator[str], wanted: str) -> list[str]:
    """The lines from the last event's end to the wanted one."""
    block: list[str] = []
    async for line in lines:
        block = [*block, line] if line else []
        if line == wanted:
            return block
    raise AssertionError(f"the stream ended without {wanted}")


async def test_the_client_tells_what_a_model_says_beside_the_events(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    heard: list[DeltaBody] = []
    kinds: list[str] = []
    async with service.listening() as (url, _), AsyncClient(url, service.key) as following:
        task = await service.worker.claim()
        async for event in following.follow(task_id, on_delta=heard.append):
            kinds.append(event.kind)
            if event.kind == EventKind.STARTED:
                service.worker.attempts.say(task, {"path": "0/0", "restart": True})
                await service.worker.finish(task)

    assert [(one.path, one.restart) for one in heard] == [("0/0", True)]
    assert kinds == ["task.submitted", "task.started", "task.completed"]
