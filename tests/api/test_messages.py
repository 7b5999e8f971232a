"""Messages over HTTP: to an open task, to a finished one, and what is refused."""

import re

import httpx2
import pytest

from chargehand.domain.values import JsonObject
from tests.api.service import OWNER, Service

pytestmark = pytest.mark.usefixtures("database")

MODELLED = "---\nname: modelled\ndescription: Thinks.\n---\nYou think.\n"


@pytest.fixture
async def task_id(service: Service, client: httpx2.AsyncClient) -> str:
    """An open task of an agent that a model runs."""
    await service.services.agents.publish(OWNER, MODELLED)
    return (await client.post("/agents/modelled/tasks", json={"task_data": {"prompt": "Go."}})).json()["id"]


async def test_an_open_task_takes_it_and_a_finished_one_is_followed(
    service: Service, client: httpx2.AsyncClient, task_id: str
) -> None:
    sent = await client.post(f"/tasks/{task_id}/messages", json={"text": "Use tabs."})
    await client.post(f"/tasks/{task_id}/cancel")
    followed = await client.post(f"/tasks/{task_id}/messages", json={"text": "And now?"})

    assert (sent.status_code, sent.headers["location"]) == (202, f"/tasks/{task_id}")
    task = followed.json()
    assert (followed.status_code, followed.headers["location"]) == (202, f"/tasks/{task['id']}")
    assert (task["follows_id"], task["task_data"]) == (task_id, {"prompt": "And now?"})
    events = (await client.get(f"/tasks/{task_id}/events")).json()["items"]
    assert [one["data"]["summary"] for one in events if one["kind"] == "message.received"] == ["Use tabs."]


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "  "}, {"text": 1}, {"text": "x", "to": "y"}])
async def test_what_is_no_message_is_refused(
    client: httpx2.AsyncClient, task_id: str, body: JsonObject
) -> None:
    refused = await client.post(f"/tasks/{task_id}/messages", json=body)

    assert refused.status_code == 422


@pytest.mark.parametrize("space", ["\u00a0", "\u3000\t", "\x1c", "\u2028 "])
async def test_spaces_of_any_script_are_no_message_and_the_document_says_so(
    client: httpx2.AsyncClient, task_id: str, space: str
) -> None:
    document = (await client.get("/openapi.json")).json()
    pattern = document["components"]["schemas"]["MessageSubmission"]["properties"]["text"]["pattern"]

    refused = await client.post(f"/tasks/{task_id}/messages", json={"text": space})
    taken = await client.post(f"/tasks/{task_id}/messages", json={"text": f"{space}x\n"})

    assert (refused.status_code, taken.status_code) == (422, 202)
    assert "nothing but spaces" in refused.text
    assert [bool(re.search(pattern, text)) for text in (space, f"{space}x\n")] == [False, True]


async def test_an_agent_that_no_model_runs_takes_none(client: httpx2.AsyncClient) -> None:
    other = (await client.post("/agents/echo/tasks", json={"task_data": {}})).json()["id"]

    refused = await client.post(f"/tasks/{other}/messages", json={"text": "x"})

    assert (refused.status_code, refused.json()["code"]) == (409, "task.illegal_move")
