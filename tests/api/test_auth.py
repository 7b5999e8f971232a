"""How keys are shown, and what is no key. Which key opens which route is in test_matrix.py."""

from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from chargehand.domain.access import Scope
from chargehand.serve.auth import PUBLIC_PATHS
from tests.api.service import OWNER, Service


async def test_the_few_public_paths_answer_without_a_key(stranger: httpx2.AsyncClient) -> None:
    answers = [await stranger.get(path) for path in sorted(PUBLIC_PATHS)]

    assert {answer.status_code for answer in answers} == {200}
    assert len(PUBLIC_PATHS) <= 6


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
    assert (await stranger.get("/nowhere")).status_code == 401
    assert (await client.get("/nowhere")).status_code == 404


async def test_a_revoked_key_is_refused_at_once(service: Service) -> None:
    key, record = await service.services.keys.issue(OWNER, "short-lived", frozenset({Scope.TASKS_READ}))

    async with service.client(key) as client:
        before = await client.get("/tasks")
        await service.services.keys.revoke(OWNER, record.id)
        after = await client.get("/tasks")

    assert (before.status_code, after.status_code) == (200, 401)
    assert "revoked" in after.json()["detail"]


async def test_whoami_tells_the_holder_and_what_the_key_may_do(service: Service) -> None:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    scopes = frozenset({Scope.TASKS_READ, Scope.AGENTS_READ})
    key, record = await service.services.keys.issue(
        OWNER, "reader", scopes, expires_at, roles=["viewer"], agents=["echo"]
    )

    async with service.client(key) as client:
        answer = await client.get("/whoami")

    assert answer.json() == {
        "id": record.id,
        "tenant": "default",
        "scopes": ["agents:read", "tasks:read"],
        "roles": ["viewer"],
        "agents": ["echo"],
        "expires_at": expires_at.isoformat().replace("+00:00", "Z"),
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
