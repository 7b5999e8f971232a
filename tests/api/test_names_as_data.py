"""What has become code, SQL or an object elsewhere is data here: kept as it came, and found by itself alone."""

import itertools
from typing import Any

import httpx2
import pytest

from chargehand.domain.task import Completed
from review.fuzz.hostile import SQL
from review.fuzz.operations import operations_of
from tests.api.service import Service

OBJECTS: list[dict[str, Any]] = [
    {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "true"}},
    {"lc": 1, "type": "secret", "id": ["CHARGEHAND_MASTER_KEY"]},
    {"__proto__": {"is_admin": True}, "constructor": {"prototype": {"is_admin": True}}},
    {"__class__": "os.system", "__reduce__": ["os.system", ["true"]]},
    {"py/object": "os.system", "py/reduce": [{"py/function": "os.system"}, ["true"]]},
    {"$ref": "#/components/schemas/TaskBody", "@type": "java.lang.Runtime", "!!python": "os.system"},
    {"__pydantic_serializer__": "x", "tenant": "another", "scopes": ["admin:service"]},
]
"""Each has made another framework build something, or take on a right, when it was read back."""


@pytest.mark.parametrize("sent", OBJECTS, ids=lambda sent: next(iter(sent)))
async def test_an_object_that_others_would_build_comes_back_as_it_was(
    client: httpx2.AsyncClient, service: Service, sent: dict[str, Any]
) -> None:
    task_id = (await client.post("/agents/echo/tasks", json={"task_data": sent})).json()["id"]

    claimed = await service.worker.claim()
    await service.worker.finish(claimed, Completed(result=sent))
    told = (await client.get(f"/tasks/{task_id}")).json()

    assert claimed.task_data == sent
    assert (told["task_data"], told["result"], told["status"]) == (sent, sent, "completed")


@pytest.mark.parametrize("text", SQL)
async def test_a_label_with_sql_in_it_is_found_by_itself_and_finds_nothing_else(
    client: httpx2.AsyncClient, text: str
) -> None:
    labels = [{"note": text}, {"note": "other"}]
    ids = [
        (await client.post("/agents/echo/tasks", json={"task_data": {}, "labels": one})).json()["id"]
        for one in labels
    ]

    found = (await client.get("/tasks", params={"label": f"note:{text}"})).json()["items"]
    as_name = await client.get("/tasks", params={"label": f"{text}:other"})

    assert [one["id"] for one in found] == ids[:1]
    assert as_name.status_code == 422 or as_name.json()["items"] == []


async def test_sql_in_any_query_of_any_list_is_refused_or_finds_nothing(client: httpx2.AsyncClient) -> None:
    await client.post("/agents/echo/tasks", json={"task_data": {}})
    document = (await client.get("/openapi.json")).json()
    asked = [
        (one.template, name)
        for one in operations_of(document)
        if one.method == "GET" and "{" not in one.template
        for name, _ in one.queries
    ]

    wrong: list[str] = []
    for (path, name), text in itertools.product(asked, SQL[:6]):
        answer = await client.get(path, params={name: text})
        harmless = answer.status_code in {400, 404, 422} or (
            answer.status_code == 200 and found_by(path, name, text, answer.json()["items"])
        )
        if not harmless:
            wrong.append(f"{answer.status_code} {path}?{name}={text}: {answer.text[:100]}")

    assert len(asked) > 20
    assert wrong == []
    assert len((await client.get("/tasks")).json()["items"]) == 1


def found_by(path: str, name: str, text: str, items: list[dict[str, Any]]) -> bool:
    """Whether no more was found than such a text asks for: nothing, or the keys whose names come behind it."""
    return all((path, name) == ("/keys", "cursor") and one["name"] > text for one in items)
