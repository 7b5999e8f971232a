"""Tools of MCP servers over HTTP: listed, approved by their hash, and only by the operator's administrators."""

import httpx2

from chargehand.domain.access import Scope
from chargehand.domain.mcp import McpTool
from tests.api.service import Service

TOOL = McpTool(name="echo", description="Says it back.", input_schema={"type": "object"})


async def test_tools_are_listed_and_approved_as_they_were_seen(
    service: Service, client: httpx2.AsyncClient
) -> None:
    await service.services.mcp.see("desk", [TOOL])

    listed = (await client.get("/mcp/tools")).json()
    assert [(one["shown_name"], one["state"]) for one in listed["items"]] == [("mcp__desk__echo", "new")]
    assert listed["servers"] == []

    path, seen = "/mcp/tools/desk/echo/approve", listed["items"][0]["seen_hash"]
    assert (await client.post(path, json={"seen_hash": "0" * 64})).status_code == 409
    assert (await client.post(path, json={"seen_hash": "x"})).status_code == 422
    assert (await client.post(path, json={})).status_code == 422
    assert (await client.post("/mcp/tools/desk/no/approve", json={"seen_hash": seen})).status_code == 404
    approved = await client.post(path, json={"seen_hash": seen})
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")


async def test_a_key_without_the_scope_sees_nothing(service: Service) -> None:
    key = await service.key_with(Scope.TASKS_READ, Scope.AGENTS_WRITE)
    async with service.client(key) as client:
        assert (await client.get("/mcp/tools")).status_code == 403
        answer = await client.post("/mcp/tools/desk/echo/approve", json={"seen_hash": "0" * 64})
        assert answer.status_code == 403


async def test_a_task_for_auto_is_answered_with_the_agent_and_the_reason(
    client: httpx2.AsyncClient,
) -> None:
    key = {"Idempotency-Key": "pick-1"}
    body = {"task_data": {"prompt": "Echo this."}}

    answer = await client.post("/agents/auto/tasks", json=body, headers=key)
    assert (answer.status_code, answer.json()["agent_id"]) == (202, "echo")
    assert answer.json()["selection"]["by"] == "ranking"
    again = await client.post("/agents/auto/tasks", json=body, headers=key)
    assert (again.headers["idempotent-replayed"], again.json()["selection"]) == (
        "true",
        answer.json()["selection"],
    )
    assert "selection" not in (await client.get(f"/tasks/{answer.json()['id']}")).json()

    refused = await client.post("/agents/auto/tasks", json={"task_data": {"prompt": "Bake."}})
    assert (refused.status_code, refused.json()["code"]) == (422, "agent.none_fits")
    assert "Nearest: echo" in refused.json()["detail"]
