"""Tasks over HTTP: what is sent, stored, listed, canceled, retried and answered."""

from datetime import UTC, datetime, timedelta, timezone

import httpx2
import pytest

from chargehand.domain.access import Scope
from chargehand.domain.task import Completed
from chargehand.domain.values import JsonObject
from chargehand.errors import StorageFull
from tests.api.service import Service

pytestmark = pytest.mark.usefixtures("database")

NOBODY = "0190f7a2-91b4-7c3d-8a55-0242ac120002"


def in_utc(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


async def submitted(client: httpx2.AsyncClient, **body: object) -> str:
    answer = await client.post("/agents/echo/tasks", json={"task_data": {}, **body})
    assert answer.status_code == 202
    return answer.json()["id"]


async def test_a_submitted_task_is_accepted_with_its_place_and_can_be_read(
    client: httpx2.AsyncClient,
) -> None:
    start = datetime.now(UTC).replace(microsecond=500_000) + timedelta(days=30)
    body = {
        "task_data": {"say": "héllo", "n": [1, 2.5, None, True]},
        "labels": {"team": "a:b"},
        "context_id": "talk-1",
        "priority": -3,
        "run_after": start.astimezone(timezone(timedelta(hours=2))).isoformat(),
        "timeout_seconds": 60,
    }

    accepted = await client.post("/agents/echo/tasks", json=body)

    task = accepted.json()
    assert accepted.status_code == 202
    assert accepted.headers["location"] == f"/tasks/{task['id']}"
    assert "idempotent-replayed" not in accepted.headers
    assert task["status"] == "pending"
    assert {name: task[name] for name in ("task_data", "labels", "context_id", "priority")} == {
        name: body[name] for name in ("task_data", "labels", "context_id", "priority")
    }
    assert task["run_after"] == in_utc(start)
    assert task["deadline_at"] == in_utc(start + timedelta(seconds=60))
    assert (await client.get(f"/tasks/{task['id']}")).json() == task


async def test_a_repeated_key_gives_the_first_task_and_says_so(client: httpx2.AsyncClient) -> None:
    body, key = {"task_data": {"a": 1, "b": 2}}, {"Idempotency-Key": "order-7"}

    first = await client.post("/agents/echo/tasks", json=body, headers=key)
    again = await client.post("/agents/echo/tasks", json={"task_data": {"b": 2, "a": 1}}, headers=key)
    other = await client.post("/agents/echo/tasks", json={"task_data": {}}, headers=key)

    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency.payload_differs")


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
async def test_an_idempotency_key_of_another_form_is_refused(client: httpx2.AsyncClient, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}

    answer = await client.post("/agents/echo/tasks", json={"task_data": {}}, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


async def test_prefer_wait_answers_with_the_ended_task(service: Service, client: httpx2.AsyncClient) -> None:
    task_id = await submitted(client, task_data={"x": 1})
    await service.worker.finish(await service.worker.claim())

    answer = await client.get(f"/tasks/{task_id}", headers={"Prefer": "respond-async, wait=20; foo"})

    assert answer.json()["status"] == "completed"
    assert answer.json()["result"] == {"said": {"x": 1}}
    assert answer.headers["preference-applied"] == "wait=20"


async def test_submit_and_wait_is_200_when_the_task_ended_in_time(
    service: Service, client: httpx2.AsyncClient
) -> None:
    headers = {"Idempotency-Key": "k"}
    await client.post("/agents/echo/tasks", json={"task_data": {}}, headers=headers)
    await service.worker.finish(await service.worker.claim())

    ended = await client.post(
        "/agents/echo/tasks", json={"task_data": {}}, headers={**headers, "Prefer": "wait=30"}
    )

    assert (ended.status_code, ended.json()["status"]) == (200, "completed")
    assert ended.headers["preference-applied"] == "wait=30"
    assert ended.headers["location"] == f"/tasks/{ended.json()['id']}"


@pytest.mark.parametrize("preference", ["wait=0", "wait=-1", "wait=soon", "wait", ""])
async def test_a_preference_that_asks_for_no_time_is_answered_at_once(
    client: httpx2.AsyncClient, preference: str
) -> None:
    answer = await client.post("/agents/echo/tasks", json={"task_data": {}}, headers={"Prefer": preference})

    assert answer.status_code == 202


async def test_a_task_for_an_unknown_agent_is_refused_with_the_known_ones(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/agents/eccho/tasks", json={"task_data": {}})

    assert (answer.status_code, answer.json()["code"]) == (404, "agent.not_found")
    assert "echo" in answer.json()["detail"]


async def test_a_task_for_an_agent_without_a_runtime_is_refused_with_what_is_missing(
    client: httpx2.AsyncClient,
) -> None:
    definition = "---\nname: thinker\ndescription: thinks\n---\nThink.\n"
    put = await client.put(
        "/agents/thinker", content=definition, headers={"Content-Type": "text/markdown; charset=utf-8"}
    )

    answer = await client.post("/agents/thinker/tasks", json={"task_data": {}})

    assert (put.status_code, put.json()["changed"]) == (200, True)
    assert (answer.status_code, answer.json()["code"]) == (409, "agent.runtime_missing")


async def test_a_full_disk_refuses_new_tasks_and_keeps_answering(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    service.space.error = StorageFull("the reserve is used up")

    refused = await client.post("/agents/echo/tasks", json={"task_data": {}})
    ready = await client.get("/health/ready")

    assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
    assert refused.headers["retry-after"]
    assert (await client.get(f"/tasks/{task_id}")).status_code == 200
    assert (ready.status_code, ready.json()["checks"]["disk"]["ok"]) == (503, False)


async def test_lists_are_narrowed_and_paged_without_a_gap(client: httpx2.AsyncClient) -> None:
    ids = [await submitted(client, labels={"n": str(number % 2), "all": "yes"}) for number in range(7)]
    odd = ids[1::2]

    seen: list[str] = []
    url = "/tasks?label=n:1&label=all:yes&limit=2&status=pending&agent_id=echo"
    while url:
        page = await client.get(url)
        seen += [task["id"] for task in page.json()["items"]]
        assert ("next" in page.links) == (page.json()["next_cursor"] is not None)
        url = page.links.get("next", {}).get("url", "")

    assert seen == odd[::-1]
    assert [task["id"] for task in (await client.get("/agents/echo/tasks")).json()["items"]] == ids[::-1]
    assert (await client.get("/tasks?status=failed")).json()["items"] == []
    assert (await client.get("/tasks?label=n:0&label=n:1")).json()["items"] == []


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("limit=0", 422, "1 to 200"),
        ("limit=201", 422, "1 to 200"),
        ("limit=1e3", 422, "limit"),
        ("limit=%D9%A1", 422, "limit"),
        ("limit=" + "9" * 5000, 422, "limit"),
        ("limit=1&limit=2", 422, "more than once"),
        ("status=done", 422, "pending, running"),
        ("staus=failed", 422, "status"),
        ("label=novalue", 422, "key:value"),
        ("label=a b:c", 422, "key:value"),
        ("label=a:%00", 422, "key:value"),
        ("agent_id=%00", 422, "agent_id"),
        ("agent_id=" + "a" * 3000, 422, "agent_id"),
        ("parent_id=1", 422, "parent_id"),
        ("context_id=%ff", 422, "context_id"),
        ("cursor=nonsense", 400, "cursor"),
        ("cursor=eyJiZWZvcmUiOiJ4In0", 400, "cursor"),
        ("cursor=" + "a" * 4000, 422, "cursor"),
        ("cursor=", 422, "cursor"),
        ("cursor=%00%ff", 400, "cursor"),
    ],
)
async def test_a_wrong_query_is_told_and_never_a_server_error(
    client: httpx2.AsyncClient, query: str, status: int, says: str
) -> None:
    answer = await client.get(f"/tasks?{query}")

    assert answer.status_code == status
    assert says in answer.text


@pytest.mark.parametrize(
    "task_id",
    [
        "1",
        NOBODY,
        NOBODY.upper(),
        "%00",
        "%ff%fe",
        "a" * 4000,
        "..",
        "%E2%80%AE",
        "0190f7a2-91b4-7c3d-8a55-0242ac12000%0A",
    ],
)
@pytest.mark.parametrize(
    "path", ["", "/events", "/steps", "/deliverables", "/deliverables.zip", "/questions"]
)
async def test_an_id_that_is_none_is_not_found(client: httpx2.AsyncClient, task_id: str, path: str) -> None:
    answer = await client.get(f"/tasks/{task_id}{path}")

    assert answer.status_code == 404


async def test_a_pending_task_is_canceled_at_once_and_again(client: httpx2.AsyncClient) -> None:
    task_id = await submitted(client)

    first = await client.post(f"/tasks/{task_id}/cancel")
    second = await client.post(f"/tasks/{task_id}/cancel")

    assert first.json()["cancel"] == second.json()["cancel"] == "confirmed"
    assert first.json()["task"]["status"] == "canceled"


async def test_a_running_task_is_asked_to_stop(service: Service, client: httpx2.AsyncClient) -> None:
    task_id = await submitted(client)
    await service.worker.claim()

    answer = await client.post(f"/tasks/{task_id}/cancel")

    assert answer.json()["cancel"] == "requested"
    assert answer.json()["task"]["cancel_requested_at"] is not None


async def test_a_completed_task_is_neither_canceled_nor_retried(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    await service.worker.finish(await service.worker.claim())

    answers = [await client.post(f"/tasks/{task_id}/{what}") for what in ("cancel", "retry")]

    assert [(one.status_code, one.json()["code"]) for one in answers] == [(409, "task.illegal_move")] * 2


async def test_a_failed_task_shows_its_error_and_can_be_retried(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    await service.worker.fail(await service.worker.claim())
    failed = (await client.get(f"/tasks/{task_id}")).json()

    retried = await client.post(f"/tasks/{task_id}/retry")

    assert (failed["status"], failed["error"]["message"]) == ("failed", "it went wrong")
    assert (retried.status_code, retried.json()["status"], retried.json()["error"]) == (202, "pending", None)


async def test_a_question_is_listed_and_answered_once(service: Service, client: httpx2.AsyncClient) -> None:
    task_id = await submitted(client)
    arguments: JsonObject = {"question": "Which one?", "choices": ["a", "b"]}
    await service.worker.ask(await service.worker.claim(), "0/0", arguments)
    asked = (await client.get(f"/tasks/{task_id}/questions")).json()["items"]

    wrong = await client.post(f"/tasks/{task_id}/answers", json={"question": "0/0", "answer": "c"})
    right = await client.post(f"/tasks/{task_id}/answers", json={"question": "0/0", "answer": "b"})
    late = await client.post(f"/tasks/{task_id}/answers", json={"question": "0/0", "answer": "a"})
    other = await client.post(f"/tasks/{task_id}/answers", json={"question": "9/9", "answer": "a"})

    assert [(one["question"], one["text"], one["choices"]) for one in asked] == [
        ("0/0", "Which one?", ["a", "b"])
    ]
    assert [one.status_code for one in (wrong, right, late, other)] == [422, 200, 409, 404]
    assert right.json()["status"] == "pending"
    assert (await client.get(f"/tasks/{task_id}/questions")).json()["items"] == []


async def test_a_waiting_parent_shows_its_children_and_no_time_of_its_own(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    await service.worker.delegate(await service.worker.claim())

    parent = (await client.get(f"/tasks/{task_id}")).json()
    children = (await client.get(f"/tasks/{task_id}/children")).json()["items"]
    listed = (await client.get(f"/tasks?parent_id={task_id}")).json()["items"]

    assert (parent["status"], parent["reason"], parent["run_after"]) == ("waiting", "children", None)
    assert [child["parent_id"] for child in children] == [task_id]
    assert children == listed


async def test_steps_are_shown_in_their_order(service: Service, client: httpx2.AsyncClient) -> None:
    task_id = await submitted(client)
    task = await service.worker.claim()
    for number in range(3):
        await service.worker.take_step(task, f"0/{number}", {"content": number})

    steps = (await client.get(f"/tasks/{task_id}/steps")).json()["items"]

    assert [(step["path"], step["result"]) for step in steps] == [
        (f"0/{number}", {"content": number}) for number in range(3)
    ]


async def test_a_result_that_orjson_cannot_write_is_shown_all_the_same(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)
    await service.worker.finish(await service.worker.claim(), Completed(result=2**70))

    task = (await client.get(f"/tasks/{task_id}")).json()

    assert task["result"] == 2**70
    assert datetime.fromisoformat(task["finished_at"]).tzinfo == UTC


async def test_who_may_cancel_but_not_read_is_told_what_became_of_it(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await submitted(client)

    async with service.client(await service.key_with(Scope.TASKS_CANCEL)) as canceler:
        canceled = await canceler.post(f"/tasks/{task_id}/cancel")
        read = await canceler.get(f"/tasks/{task_id}")

    assert (canceled.status_code, read.status_code) == (200, 403)
