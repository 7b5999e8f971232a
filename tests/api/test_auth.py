"""Who may do what: every route of the table, without a key, with a small one, with another tenant's."""

import re
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute

from chargehand.domain.access import Scope
from chargehand.serve.auth import PUBLIC_PATHS
from tests.api.service import OWNER, STRANGER, Service

pytestmark = pytest.mark.usefixtures("database")

NOWHERE = {
    "name": "report",
    "path": "a.txt",
    "version": "0" * 64,
    "server": "tracker",
    "tenant_id": "another",
    "tool": "search",
    "secret": "token",
    "agent_id": "echo",
    "approval_id": "0190f7a2-91b4-7c3d-8a55-0242ac120002",
    "schedule_id": "0190f7a2-91b4-7c3d-8a55-0242ac120002",
    "webhook_id": "0190f7a2-91b4-7c3d-8a55-0242ac120002",
    "delivery_id": "0190f7a2-91b4-7c3d-8a55-0242ac120002",
}
FOR_EVERYBODY = {"/whoami", "/session"}
"""Whatever the key may do: who it is of, and a session that may do as much."""
BODIES: dict[str, dict[str, object]] = {
    "/agents/{agent_id}/tasks": {"task_data": {}},
    "/tasks/{task_id}/answers": {"question": "0/0", "answer": "yes"},
    "/tasks/{task_id}/messages": {"text": "hello"},
    "/approvals/{approval_id}": {"decision": "approve"},
    "/mcp/tools/{server}/{tool}/approve": {"seen_hash": "0" * 64},
    "/agents/{agent_id}": {"source": "---\nname: x\n---\n"},
    "/schedules": {"name": "x", "cron": "@daily", "agent_id": "echo", "task_data": {}},
    "/schedules/{schedule_id}": {"is_paused": True},
    "/secrets/{secret}": {"value": "a long random text"},
    "/webhooks": {"url": "https://example.com/hook"},
    "/webhooks/{webhook_id}": {"is_enabled": False},
    "/webhooks/{webhook_id}/rotate-secret": {"overlap_seconds": 0},
    "/tenants/{tenant_id}/limits": {"concurrency": 2},
}


def method_of(route: APIRoute) -> str:
    (method,) = route.methods or set[str]()
    return method


def routes(service: Service) -> Iterator[APIRoute]:
    for route in service.http.router.routes:
        assert isinstance(route, APIRoute), f"{route} is no route of the table"
        yield route


async def called(client: httpx2.AsyncClient, route: APIRoute, task_id: str) -> httpx2.Response:
    path = route.path.replace("{task_id}", task_id)
    path = re.sub(r"\{(\w+)(?::path)?\}", lambda match: NOWHERE[match[1]], path)
    method = method_of(route)
    body = BODIES.get(route.path) if method in ("POST", "PUT", "PATCH") else None
    return await client.request(method, path, json=body)


async def a_task(service: Service) -> str:
    async with service.client(service.key) as owner:
        answer = await owner.post("/agents/echo/tasks", json={"task_data": {}})
    return answer.json()["id"]


async def test_only_the_listed_paths_answer_without_a_key(
    service: Service, stranger: httpx2.AsyncClient
) -> None:
    task_id = await a_task(service)

    answered = {route.path: await called(stranger, route, task_id) for route in routes(service)}

    assert {path for path, answer in answered.items() if answer.status_code < 400} == PUBLIC_PATHS
    closed = [answer for path, answer in answered.items() if path not in PUBLIC_PATHS]
    assert {answer.status_code for answer in closed} == {401}
    assert {answer.headers["www-authenticate"] for answer in closed} == {'Bearer realm="chargehand"'}
    assert len(PUBLIC_PATHS) <= 6


async def test_a_key_without_scopes_is_forbidden_everywhere_but_to_ask_who_it_is(service: Service) -> None:
    task_id = await a_task(service)

    async with service.client(await service.key_with()) as powerless:
        answered = {
            (route.path, method_of(route)): await called(powerless, route, task_id)
            for route in routes(service)
        }

    allowed = {key[0] for key, answer in answered.items() if answer.status_code != 403}
    assert allowed == PUBLIC_PATHS | FOR_EVERYBODY


async def test_a_key_opens_only_what_its_scope_names(service: Service) -> None:
    task_id = await a_task(service)
    opened: dict[Scope, set[str]] = {}

    for scope in set(Scope) - {Scope.ADMIN}:
        async with service.client(await service.key_with(scope)) as client:
            opened[scope] = {
                f"{method_of(route)} {route.path}"
                for route in routes(service)
                if route.path not in PUBLIC_PATHS | FOR_EVERYBODY
                and (await called(client, route, task_id)).status_code != 403
            }

    assert all(not one & other for one, other in _pairs(opened))
    assert opened[Scope.TASKS_CANCEL] == {"POST /tasks/{task_id}/cancel"}
    assert opened[Scope.APPROVALS_DECIDE] == {"POST /approvals/{approval_id}"}
    assert opened[Scope.AGENTS_WRITE] == {"PUT /agents/{agent_id}"}
    assert "POST /agents/{agent_id}/tasks" in opened[Scope.TASKS_WRITE]


def _pairs(opened: dict[Scope, set[str]]) -> Iterator[tuple[set[str], set[str]]]:
    for scope, paths in opened.items():
        yield from ((paths, other) for name, other in opened.items() if name is not scope)


async def test_another_tenants_task_is_not_found_by_any_route(service: Service) -> None:
    task_id = await a_task(service)
    key = await service.key_with(Scope.ADMIN, who=STRANGER)

    async with service.client(key) as other:
        for route in routes(service):
            if "{task_id}" in route.path:
                answer = await called(other, route, task_id)
                assert (route.path, answer.status_code) == (route.path, 404)
        listed = await other.get(f"/tasks?parent_id={task_id}")
        everything = await other.get("/tasks")
        agent = await other.get("/agents/echo")

    assert listed.json()["items"] == everything.json()["items"] == []
    assert agent.status_code == 404
    async with service.client(service.key) as owner:
        assert (await owner.get(f"/tasks/{task_id}")).json()["status"] == "pending"


async def test_a_foreign_and_an_absent_task_are_told_alike(service: Service) -> None:
    foreign, absent = await a_task(service), "0190f7a2-91b4-7c3d-8a55-0242ac120002"

    async with service.client(await service.key_with(Scope.ADMIN, who=STRANGER)) as other:
        answers = [(await other.get(f"/tasks/{task_id}")).json() for task_id in (foreign, absent)]

    told = [{**one, "request_id": "", "detail": one["detail"].replace(foreign, absent)} for one in answers]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Basic YWRtaW46YWRtaW4=",
        "bearer chg_live_" + "A" * 46,
        "Bearer " + "A" * 100_000,
        "Bearer chg_live_\u00e9",
    ],
)
async def test_what_is_no_key_is_refused_and_not_repeated(stranger: httpx2.AsyncClient, header: str) -> None:
    answer = await stranger.get("/tasks", headers={b"Authorization": header.encode("latin-1")})

    assert answer.status_code == 401
    assert "AAAA" not in answer.text


async def test_two_keys_in_one_request_are_refused(service: Service, stranger: httpx2.AsyncClient) -> None:
    twice = [("Authorization", f"Bearer {service.key}")] * 2

    answer = await stranger.get("/tasks", headers=twice)

    assert answer.status_code == 401


async def test_a_key_in_the_query_string_is_no_key(service: Service, stranger: httpx2.AsyncClient) -> None:
    answer = await stranger.get(f"/tasks?access_token={service.key}&key={service.key}")

    assert answer.status_code == 401


async def test_a_public_path_answers_whatever_key_is_sent(stranger: httpx2.AsyncClient) -> None:
    for header in ("Basic eDp5", "Bearer nonsense"):
        answer = await stranger.get("/health", headers={"Authorization": header})

        assert answer.json() == {"status": "healthy", "service": "ai-agent-api"}


async def test_an_unknown_path_is_unauthorized_before_it_is_not_found(
    client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    assert (await stranger.get("/nothing")).status_code == 401
    assert (await client.get("/nothing")).status_code == 404


async def test_a_revoked_key_is_refused_at_once(service: Service) -> None:
    key, record = await service.services.keys.issue(OWNER, "short-lived", frozenset({Scope.TASKS_READ}))

    async with service.client(key) as client:
        before = await client.get("/tasks")
        await service.services.keys.revoke(OWNER, record.id)
        after = await client.get("/tasks")

    assert (before.status_code, after.status_code) == (200, 401)
    assert "revoked" in after.json()["detail"]


async def test_whoami_tells_the_holder_and_the_scopes(service: Service) -> None:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    scopes = frozenset({Scope.TASKS_READ, Scope.AGENTS_READ})
    key, record = await service.services.keys.issue(OWNER, "reader", scopes, expires_at)

    async with service.client(key) as client:
        answer = await client.get("/whoami")

    assert answer.json() == {
        "id": record.id,
        "tenant": "default",
        "scopes": ["agents:read", "tasks:read"],
    }


async def test_authentication_comes_before_the_body_is_read(service: Service) -> None:
    read: list[bytes] = []

    async def receive() -> MutableMapping[str, Any]:
        read.append(b"x")
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/agents/echo/tasks",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    await service.http(scope, receive, send)

    assert sent[0]["status"] == 401
    assert read == []
