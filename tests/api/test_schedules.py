"""Schedules over HTTP: made, read, changed, removed, run; what is refused, and to whom."""

from typing import Any

import httpx2
import pytest

from chargehand.domain.access import Scope
from chargehand.errors import StorageFull
from tests.api.service import STRANGER, Service

pytestmark = pytest.mark.usefixtures("database")

ORDER: dict[str, Any] = {
    "name": "nightly",
    "cron": "30 2 * * *",
    "time_zone": "Europe/Berlin",
    "agent_id": "echo",
    "task_data": {"number": 7},
}
ABSENT = "0190f7a2-91b4-7c3d-8a55-0242ac120002"


async def made(client: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/schedules", json={**ORDER, **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_schedule_is_made_read_changed_and_removed(client: httpx2.AsyncClient) -> None:
    created = await client.post(
        "/schedules", json={**ORDER, "labels": {"team": "shop"}, "budget": {"usd": "1.50"}, "priority": 3}
    )
    schedule = created.json()
    address = created.headers["Location"]
    read = (await client.get(address)).json()
    changed = (await client.patch(address, json={"cron": "@hourly", "time_zone": "UTC"})).json()
    cleared = (await client.patch(address, json={"budget": None, "labels": {}})).json()
    removed = await client.delete(address)

    assert address == f"/schedules/{schedule['id']}"
    assert read == schedule
    assert len(schedule["next_times"]) == 5
    assert schedule["next_times"][0].endswith(("T00:30:00Z", "T01:30:00Z"))
    assert (schedule["missed"], schedule["is_paused"], schedule["last_error"]) == ("once", False, None)
    assert (schedule["labels"], schedule["budget"]) == ({"team": "shop"}, {"usd": "1.50"})
    assert changed["next_times"][0].endswith(":00:00Z")
    assert changed["task_data"] == {"number": 7}
    assert (cleared["labels"], cleared["budget"], cleared["priority"]) == ({}, {}, 3)
    assert (removed.status_code, removed.content) == (204, b"")
    assert (await client.get(address)).json()["code"] == "schedule.not_found"
    assert (await client.delete(address)).status_code == 404


async def test_it_is_paused_and_resumed(client: httpx2.AsyncClient) -> None:
    address = f"/schedules/{(await made(client))['id']}"

    paused = (await client.patch(address, json={"is_paused": True})).json()
    resumed = (await client.patch(address, json={"is_paused": False})).json()

    assert (paused["is_paused"], paused["next_times"]) == (True, [])
    assert (resumed["is_paused"], len(resumed["next_times"])) == (False, 5)


async def test_it_is_run_at_once_and_a_repeated_key_makes_no_second_task(client: httpx2.AsyncClient) -> None:
    address = f"/schedules/{(await made(client))['id']}/run"

    first = await client.post(address, headers={"Idempotency-Key": "once"})
    again = await client.post(address, headers={"Idempotency-Key": "once"})
    another = await client.post(address)
    wrong = await client.post(address, headers={"Idempotency-Key": "a b"})

    assert first.status_code == 202
    assert first.headers["Location"] == f"/tasks/{first.json()['id']}"
    assert first.json()["labels"] == {"schedule": "nightly"}
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert another.json()["id"] != first.json()["id"]
    assert wrong.status_code == 422
    listed = (await client.get("/tasks?label=schedule:nightly")).json()["items"]
    assert len(listed) == 2


async def test_the_list_is_narrowed_and_comes_in_pages(client: httpx2.AsyncClient) -> None:
    names = [f"s{number}" for number in range(5)]
    for name in names:
        await made(client, name=name)

    first = await client.get("/schedules?limit=3")
    rest = (await client.get(f"/schedules?limit=3&cursor={first.json()['next_cursor']}")).json()
    one = (await client.get("/schedules?name=s2")).json()["items"]
    none = (await client.get("/schedules?agent_id=nobody")).json()

    assert 'rel="next"' in first.headers["Link"]
    assert [item["name"] for item in (*first.json()["items"], *rest["items"])] == names[::-1]
    assert rest["next_cursor"] is None
    assert [item["name"] for item in one] == ["s2"]
    assert none == {"items": [], "next_cursor": None}
    for query in ("limit=0", "cursor=x", "name=a%20b", "agent=echo"):
        assert (await client.get(f"/schedules?{query}")).status_code == 422, query


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cron": "61 * * * *"}, "its minute is wrong"),
        ({"cron": "0 0 30 2 *"}, "its day-of-month is wrong"),
        ({"cron": "* * * * * *"}, "seconds are not supported"),
        ({"cron": ""}, "cron"),
        ({"cron": "* " * 80}, "cron"),
        ({"time_zone": "Mars/Base"}, "IANA name"),
        ({"name": "n" * 129}, "name"),
        ({"name": "two words"}, "name"),
        ({"missed": "sometimes"}, "missed"),
        ({"priority": 101}, "priority"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": 1.5}, "timeout_seconds"),
        ({"budget": {"usd": "-1"}}, "budget"),
        ({"labels": {"schedule": "mine"}}, "is the schedule's name"),
        ({"agent_id": "auto"}, "names its agent"),
        ({"task_data": {"refuse": True}}, "refuse is not wanted"),
        ({"is_paused": "yes"}, "is_paused"),
        ({"corn": "@daily"}, "corn"),
    ],
)
async def test_what_is_wrong_is_told_and_nothing_is_kept(
    client: httpx2.AsyncClient, changes: dict[str, Any], told: str
) -> None:
    schedule = await made(client, name="there")

    refused = await client.post("/schedules", json={**ORDER, **changes})
    unchanged = await client.patch(f"/schedules/{schedule['id']}", json=changes)

    for answer in (refused, unchanged):
        assert answer.status_code == 422, answer.text
        assert told in answer.text
    assert (await client.get("/schedules")).json()["items"] == [schedule]


async def test_null_clears_only_what_may_be_absent(client: httpx2.AsyncClient) -> None:
    address = f"/schedules/{(await made(client, timeout_seconds=60))['id']}"

    assert (await client.patch(address, json={"timeout_seconds": None})).json()["timeout_seconds"] is None
    for name in ("name", "cron", "time_zone", "missed", "agent_id", "task_data", "labels", "is_paused"):
        assert (await client.patch(address, json={name: None})).status_code == 422, name


async def test_a_taken_name_and_an_unknown_agent_are_refused(client: httpx2.AsyncClient) -> None:
    schedule = await made(client)

    again = await client.post("/schedules", json=ORDER)
    nobody = await client.post("/schedules", json={**ORDER, "name": "other", "agent_id": "nobody"})

    assert (again.status_code, again.json()["code"]) == (409, "schedule.name_taken")
    assert schedule["id"] in again.json()["detail"]
    assert (nobody.status_code, nobody.json()["code"]) == (404, "agent.not_found")


async def test_another_tenant_finds_nothing(service: Service, client: httpx2.AsyncClient) -> None:
    address = f"/schedules/{(await made(client))['id']}"
    async with service.client(await service.key_with(Scope.ADMIN, who=STRANGER)) as stranger:
        answers = [
            await stranger.get(address),
            await stranger.patch(address, json={"is_paused": True}),
            await stranger.post(f"{address}/run"),
            await stranger.delete(address),
        ]
        listed = (await stranger.get("/schedules")).json()["items"]

    absent = await client.get(f"/schedules/{ABSENT}")
    misshapen = await client.get("/schedules/nightly")
    assert [one.status_code for one in answers] == [404] * 4
    assert listed == []
    assert {one.json()["code"] for one in (*answers, absent, misshapen)} == {"schedule.not_found"}
    assert (await client.get(address)).json()["is_paused"] is False


async def test_a_key_that_only_reads_changes_nothing(service: Service, client: httpx2.AsyncClient) -> None:
    address = f"/schedules/{(await made(client))['id']}"
    async with service.client(await service.key_with(Scope.TASKS_READ)) as reader:
        assert (await reader.get(address)).status_code == 200
        for answer in (
            await reader.post("/schedules", json={**ORDER, "name": "other"}),
            await reader.patch(address, json={"is_paused": True}),
            await reader.post(f"{address}/run"),
            await reader.delete(address),
        ):
            assert answer.status_code == 403


async def test_a_full_disk_takes_no_schedule(service: Service, client: httpx2.AsyncClient) -> None:
    service.space.error = StorageFull("the disk is full")

    assert (await client.post("/schedules", json=ORDER)).status_code == 507
