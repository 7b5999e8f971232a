"""The audit over HTTP: each route that changes something leaves an entry, and none changes an entry."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chargehand.domain.access import Scope
from chargehand.domain.audit import Action, Chain, entry_of
from chargehand.domain.mcp import McpTool
from chargehand.settings import Settings
from tests.api.matrix import ENTRIES, listed_routes, request_of
from tests.api.service import OWNER, STRANGER, Service, open_service
from tests.api.test_approvals import a_waiting_call
from tests.api.test_messages import MODELLED
from tests.conftest import MASTER_KEY
from tests.given import TestClock

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
SUBMISSIONS = {
    "POST /agents/{agent_id}/tasks": "the task's row and first event say who, when and what",
    "POST /schedules/{schedule_id}/run": "as above",
    "DELETE /session": "leaves one, but is done with a cookie: tests/service/test_sessions.py",
}
"""What changes something and leaves no entry, and why."""
Client = httpx2.AsyncClient
Sent = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """How a route is brought to change something, and the entry that it leaves."""

    action: Action
    prepare: Callable[[Service, Client], Awaitable[Sent]]


async def a_task(service: Service) -> str:
    async with service.client(service.key) as owner:
        answer = await owner.post("/agents/echo/tasks", json={"task_data": {}})
    return answer.json()["id"]


async def _to_cancel(service: Service, client: Client) -> Sent:
    return f"/tasks/{await a_task(service)}/cancel", None


async def _to_retry(service: Service, client: Client) -> Sent:
    task_id = await a_task(service)
    await client.post(f"/tasks/{task_id}/cancel")
    return f"/tasks/{task_id}/retry", None


async def _to_answer(service: Service, client: Client) -> Sent:
    await a_task(service)
    task = await service.worker.claim()
    step = await service.worker.ask(task, "0/0", {"question": "Which?"})
    return f"/tasks/{task.id}/answers", {"question": step.path, "answer": "this"}


async def _to_tell(service: Service, client: Client) -> Sent:
    await service.services.agents.publish(OWNER, MODELLED)
    task = await client.post("/agents/modelled/tasks", json={"task_data": {"prompt": "Go."}})
    return f"/tasks/{task.json()['id']}/messages", {"text": "Use tabs."}


async def _to_decide(service: Service, client: Client) -> Sent:
    waiting = await a_waiting_call(service, client)
    return f"/approvals/{waiting.id}", {"decision": "approve"}


async def _to_approve(service: Service, client: Client) -> Sent:
    tool = McpTool(name="echo", description="Says it back.", input_schema={"type": "object"})
    await service.services.mcp.see("desk", [tool])
    seen = (await client.get("/mcp/tools")).json()["items"][0]["seen_hash"]
    return "/mcp/tools/desk/echo/approve", {"seen_hash": seen}


def _schedule(name: str) -> dict[str, Any]:
    return {"name": name, "cron": "@daily", "agent_id": "echo", "task_data": {}}


async def _to_schedule(service: Service, client: Client) -> Sent:
    return "/schedules", _schedule("first")


async def _to_change(service: Service, client: Client) -> Sent:
    made = await client.post("/schedules", json=_schedule("changed"))
    return f"/schedules/{made.json()['id']}", {"is_paused": True}


async def _to_remove(service: Service, client: Client) -> Sent:
    made = await client.post("/schedules", json=_schedule("removed"))
    return f"/schedules/{made.json()['id']}", None


async def _to_publish(service: Service, client: Client) -> Sent:
    return "/agents/modelled", {"source": MODELLED + "More of it.\n"}


async def _to_prune(service: Service, client: Client) -> Sent:
    await client.post(f"/tasks/{await a_task(service)}/cancel")
    return "/admin/prune", {"older_than_seconds": 60}


async def _to_sweep(service: Service, client: Client) -> Sent:
    return "/admin/sweep", None


async def _to_put(service: Service, client: Client) -> Sent:
    return "/secrets/token", {"value": "canary-of-the-audit"}


async def _to_delete(service: Service, client: Client) -> Sent:
    await client.put("/secrets/token", json={"value": "canary-of-the-audit"})
    return "/secrets/token", None


async def _to_issue(service: Service, client: Client) -> Sent:
    return "/keys", {"name": "issued", "scopes": ["tasks:read"]}


async def a_key(client: Client, name: str) -> str:
    answer = await client.post("/keys", json={"name": name, "scopes": ["tasks:read"]})
    return answer.json()["key"]["id"]


async def _to_rotate(service: Service, client: Client) -> Sent:
    return f"/keys/{await a_key(client, 'rotated')}/rotate", None


async def _to_revoke(service: Service, client: Client) -> Sent:
    return f"/keys/{await a_key(client, 'revoked')}", None


async def _to_found(service: Service, client: Client) -> Sent:
    return "/tenants", {"id": "founded"}


async def _to_suspend(service: Service, client: Client) -> Sent:
    await client.post("/tenants", json={"id": "suspended"})
    return "/tenants/suspended", {"is_suspended": True}


async def _to_limit(service: Service, client: Client) -> Sent:
    await client.post("/tenants", json={"id": "limited"})
    return "/tenants/limited/limits", {"concurrency": 2}


async def _to_log_in(service: Service, client: Client) -> Sent:
    return "/session", None


async def a_webhook(client: Client) -> str:
    answer = await client.post("/webhooks", json={"url": "https://audit.invalid/hook?token=canary"})
    assert answer.status_code == 201, answer.text
    return f"/webhooks/{answer.json()['id']}"


async def _to_hook(service: Service, client: Client) -> Sent:
    return "/webhooks", {"url": "https://audit.invalid/hook?token=canary"}


async def _to_change_hook(service: Service, client: Client) -> Sent:
    return await a_webhook(client), {"description": "changed"}


async def _to_unhook(service: Service, client: Client) -> Sent:
    return await a_webhook(client), None


async def _to_rotate_hook(service: Service, client: Client) -> Sent:
    return f"{await a_webhook(client)}/rotate-secret", {"overlap_seconds": 0}


async def _to_test_hook(service: Service, client: Client) -> Sent:
    return f"{await a_webhook(client)}/test", None


async def _to_redeliver(service: Service, client: Client) -> Sent:
    address = await a_webhook(client)
    delivery = (await client.post(f"{address}/test")).json()["id"]
    return f"{address}/deliveries/{delivery}/redeliver", None


async def _to_rewrap(service: Service, client: Client) -> Sent:
    return "/admin/rewrap", None


CASES = {
    "POST /tasks/{task_id}/cancel": Case(Action.TASK_CANCELED, _to_cancel),
    "POST /tasks/{task_id}/retry": Case(Action.TASK_RETRIED, _to_retry),
    "POST /tasks/{task_id}/answers": Case(Action.TASK_ANSWERED, _to_answer),
    "POST /tasks/{task_id}/messages": Case(Action.TASK_MESSAGED, _to_tell),
    "POST /approvals/{approval_id}": Case(Action.APPROVAL_DECIDED, _to_decide),
    "POST /mcp/tools/{server}/{tool}/approve": Case(Action.MCP_TOOL_APPROVED, _to_approve),
    "POST /schedules": Case(Action.SCHEDULE_CREATED, _to_schedule),
    "PATCH /schedules/{schedule_id}": Case(Action.SCHEDULE_CHANGED, _to_change),
    "DELETE /schedules/{schedule_id}": Case(Action.SCHEDULE_REMOVED, _to_remove),
    "PUT /agents/{agent_id}": Case(Action.AGENT_PUBLISHED, _to_publish),
    "POST /admin/prune": Case(Action.TASKS_PRUNED, _to_prune),
    "POST /admin/sweep": Case(Action.STORAGE_SWEPT, _to_sweep),
    "POST /admin/rewrap": Case(Action.MASTER_KEY_REWRAPPED, _to_rewrap),
    "POST /keys": Case(Action.KEY_ISSUED, _to_issue),
    "POST /keys/{key_id}/rotate": Case(Action.KEY_ROTATED, _to_rotate),
    "DELETE /keys/{key_id}": Case(Action.KEY_REVOKED, _to_revoke),
    "POST /tenants": Case(Action.TENANT_CREATED, _to_found),
    "PATCH /tenants/{tenant_id}": Case(Action.TENANT_CHANGED, _to_suspend),
    "PUT /tenants/{tenant_id}/limits": Case(Action.TENANT_LIMITED, _to_limit),
    "POST /session": Case(Action.SESSION_OPENED, _to_log_in),
    "POST /webhooks": Case(Action.WEBHOOK_CREATED, _to_hook),
    "PATCH /webhooks/{webhook_id}": Case(Action.WEBHOOK_CHANGED, _to_change_hook),
    "DELETE /webhooks/{webhook_id}": Case(Action.WEBHOOK_REMOVED, _to_unhook),
    "POST /webhooks/{webhook_id}/rotate-secret": Case(Action.WEBHOOK_ROTATED, _to_rotate_hook),
    "POST /webhooks/{webhook_id}/test": Case(Action.WEBHOOK_TESTED, _to_test_hook),
    "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": Case(
        Action.WEBHOOK_REDELIVERED, _to_redeliver
    ),
    "PUT /secrets/{secret}": Case(Action.SECRET_PUT, _to_put),
    "DELETE /secrets/{secret}": Case(Action.SECRET_DELETED, _to_delete),
}


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncGenerator[tuple[Service, TestClock], None]:
    """A service that holds a secret under another master key than its first one."""
    clock = TestClock()
    async with open_service(tmp_path) as before:
        await before.services.secrets.put(OWNER, "kept", "canary-of-another-key")
    settings = Settings(data_dir=tmp_path, master_key=MASTER_KEY)  # pyright: ignore[reportArgumentType] - as the environment gives it
    async with open_service(tmp_path, settings=settings, clock=clock) as service:
        yield service, clock


async def test_every_route_that_changes_something_leaves_an_entry(kept: tuple[Service, TestClock]) -> None:
    service, clock = kept
    unsafe = {one for one in listed_routes(service.http) if one.partition(" ")[0] in UNSAFE}
    assert unsafe == CASES.keys() | SUBMISSIONS.keys()

    async with service.client(service.key) as client:
        holder = (await client.get("/whoami")).json()["id"]
        for route, case in CASES.items():
            path, body = await case.prepare(service, client)
            clock.advance(120)
            answer = await client.request(route.partition(" ")[0], path, json=body)

            assert answer.status_code < 300, (route, answer.text)
            [entry] = (await client.get("/audit", params={"limit": 1})).json()["items"]
            assert entry["action"] == case.action, route
            assert entry["actor"] == {"id": holder, "kind": "key"}
            assert entry["request_id"] == answer.headers["x-request-id"]
            assert (entry["address"], entry["result"]) == ("127.0.0.1", "done")
            assert "canary" not in json.dumps(entry)


async def test_every_route_that_a_key_may_not_call_leaves_an_entry(service: Service) -> None:
    key = await service.key_with()

    tried: set[str] = set()
    async with service.client(key) as powerless:
        holder = (await powerless.get("/whoami")).json()["id"]
        for route in ENTRIES:
            method, path, body = request_of(route)
            if (await powerless.request(method, path, json=body)).status_code == 403:
                tried.add(route)

    async with service.client(service.key) as client:
        found = (await client.get("/audit", params={"result": "denied", "limit": 200})).json()["items"]
    assert {entry["object"]["id"] for entry in found} == tried
    assert {entry["actor"]["id"] for entry in found} == {holder}
    assert {entry["action"] for entry in found} == {"request.denied"}


async def test_requests_without_a_key_are_told_to_the_operator_alone(
    service: Service, client: Client, stranger: Client
) -> None:
    for _ in range(20):
        assert (await stranger.get("/tasks")).status_code == 401

    [first, others] = (await client.get("/audit?action=request.unauthenticated")).json()["items"][::-1]
    async with service.client(await service.key_with(Scope.AUDIT_READ, who=STRANGER)) as other:
        elsewhere = await other.get("/audit")

    assert (first["details"]["count"], others["details"]["count"]) == (1, 19)
    assert (first["actor"], first["address"]) == ({"id": "", "kind": "anonymous"}, "127.0.0.1")
    assert [one["action"] for one in elsewhere.json()["items"]] == ["key.issued"]


async def test_the_export_is_a_whole_chain_that_ends_at_the_head(service: Service, client: Client) -> None:
    for number in range(7):
        await client.put(f"/secrets/s{number}", json={"value": "a long random text"})

    exported = await client.get("/audit/export")
    rest = await client.get("/audit/export?after=6")
    head = (await client.get("/audit?limit=1")).json()["head"]

    assert exported.headers["content-type"] == "application/x-ndjson"
    entries = [entry_of(json.loads(line)) for line in exported.text.splitlines()]
    chain = Chain()
    assert [chain.add(entry) for entry in entries] == [None] * 9
    assert (chain.head.number, chain.head.hash) == (head["number"], head["hash"])
    assert rest.text == "".join(exported.text.splitlines(keepends=True)[6:])


async def test_a_page_leads_to_the_next(client: Client) -> None:
    for number in range(3):
        await client.put(f"/secrets/s{number}", json={"value": "a long random text"})

    first = await client.get("/audit?object_kind=secret&limit=2")
    second = await client.get(first.links["next"]["url"])

    numbers = [entry["object"]["id"] for page in (first, second) for entry in page.json()["items"]]
    assert numbers == ["s2", "s1", "s0"]
    assert second.json()["next_cursor"] is None


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "until=2030-01-31",
        "action=task.exploded",
        "object_kind=planet",
        "result=maybe",
        "cursor=x",
        "limit=0",
        "limit=201",
        "actor=%00",
        "tenant=another",
        "object=" + "x" * 256,
    ],
)
async def test_a_query_that_is_none_is_refused(client: Client, query: str) -> None:
    assert (await client.get(f"/audit?{query}")).status_code == 422


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize("path", ["/audit", "/audit/export", "/audit/1"])
async def test_nothing_changes_the_audit_over_http(client: Client, method: str, path: str) -> None:
    assert (await client.request(method, path, json={})).status_code in (404, 405)


async def test_an_export_behind_the_last_entry_is_empty(client: Client) -> None:
    answer = await client.get("/audit/export?after=1000000")

    assert (answer.status_code, answer.text) == (200, "")
