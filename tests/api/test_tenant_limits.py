"""Limits of single tenants over REST, and how a tenant stands to its own."""

from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path

import httpx2
import pytest

from chargehand.domain.access import Principal, Scope
from chargehand.domain.tenant_limits import TenantLimits
from chargehand.settings import Settings
from tests.api.service import OWNER, STRANGER, Service, open_service
from tests.api.test_events import STREAM
from tests.api.test_tasks import submitted
from tests.given import TestClock

OPERATOR = Principal(id="operator", tenant="operators", scopes=frozenset({Scope.ADMIN, Scope.ADMIN_SERVICE}))
NONE = dict.fromkeys(
    (
        "requests_per_second",
        "submits_per_second",
        "concurrency",
        "backlog",
        "streams",
        "usd_per_day",
        "tokens_per_day",
        "storage_bytes",
    )
)


@pytest.fixture
async def operator(service: Service) -> AsyncGenerator[httpx2.AsyncClient, None]:
    await service.services.tenants.create(OPERATOR, "acme", with_key=False)
    async with service.client(await service.key_with(Scope.ADMIN_SERVICE, who=OPERATOR)) as opened:
        yield opened


async def test_a_tenants_limits_are_set_as_a_whole_and_read(operator: httpx2.AsyncClient) -> None:
    before = await operator.get("/tenants/acme/limits")
    set_ = await operator.put(
        "/tenants/acme/limits",
        json={"concurrency": 4.0, "submits_per_second": 0.5, "usd_per_day": "25.5", "storage_bytes": 0},
    )
    again = await operator.put("/tenants/acme/limits", json={"backlog": 7, "streams": None})
    after = await operator.get("/tenants/acme/limits")

    assert before.json() == {"tenant": "acme", "own": NONE, "effective": {**NONE, "streams": 500}}
    assert set_.json()["own"] == {
        **NONE,
        "concurrency": 4,
        "submits_per_second": 0.5,
        "usd_per_day": "25.50",
        "storage_bytes": 0,
    }
    assert again.json() == after.json()
    assert after.json()["own"] == {**NONE, "backlog": 7}


@pytest.mark.parametrize(
    "body",
    [
        {"concurrency": 0},
        {"concurrency": -1},
        {"concurrency": "4"},
        {"concurrency": 1.5},
        {"concurrency": True},
        {"requests_per_second": 0},
        {"requests_per_second": 1e9},
        {"backlog": 2**60},
        {"usd_per_day": 25},
        {"usd_per_day": "1e3"},
        {"usd_per_day": "-1"},
        {"storage_bytes": -1},
        {"concurency": 4},
        [],
    ],
)
async def test_what_is_no_limit_is_refused_and_changes_nothing(
    operator: httpx2.AsyncClient, body: object
) -> None:
    answer = await operator.put("/tenants/acme/limits", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert (await operator.get("/tenants/acme/limits")).json()["own"] == NONE


@pytest.mark.parametrize("tenant", ["acne", "ACME", "a" * 64, "-", "%00", "caf%C3%A9"])
async def test_what_is_no_tenant_is_not_found_and_gets_no_limits(
    service: Service, operator: httpx2.AsyncClient, tenant: str
) -> None:
    for answer in (
        await operator.get(f"/tenants/{tenant}/limits"),
        await operator.put(f"/tenants/{tenant}/limits", json={"concurrency": 1}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant.not_found")
    assert await service.services.limits.concurrency() == {}


@pytest.mark.parametrize("tenant", ["a%2Fb", "..%2f"])
async def test_what_leads_out_of_the_address_is_not_found(operator: httpx2.AsyncClient, tenant: str) -> None:
    assert (await operator.get(f"/tenants/{tenant}/limits")).status_code == 404
    assert (await operator.put(f"/tenants/{tenant}/limits", json={})).status_code == 404


async def test_a_tenants_own_administrator_cannot_see_or_raise_its_limits(service: Service) -> None:
    async with service.client(await service.key_with(Scope.ADMIN, who=STRANGER)) as admin:
        answers = [
            await admin.get("/tenants/another/limits"),
            await admin.put("/tenants/another/limits", json={"concurrency": 9}),
        ]

    assert [answer.status_code for answer in answers] == [403, 403]


async def test_usage_tells_each_limit_with_what_is_used_and_when_it_is_whole_again(tmp_path: Path) -> None:
    clock = TestClock()
    settings = Settings(
        data_dir=tmp_path / "data",
        tenant_requests_per_second=5,
        tenant_submits_per_second=10,
        tenant_backlog_limit=100,
        tenant_tokens_per_day=1000,
        tenant_usd_per_day="2.50",
    )
    async with (
        open_service(tmp_path / "data", settings=settings, clock=clock) as service,
        service.client(service.key) as client,
    ):
        for _ in range(3):
            await submitted(client)
        task = await service.worker.claim()
        await service.worker.deliver(task, "report", {"report.txt": b"x" * 42}, is_folder=False)
        limits = (await client.get("/usage")).json()["limits"]

    midnight = "2026-07-02T00:00:00Z"
    assert limits["backlog"] == {"limit": 100, "used": 2, "resets_at": None}
    assert limits["concurrency"] == {"limit": None, "used": 1, "resets_at": None}
    assert limits["storage_bytes"] == {"limit": None, "used": 42, "resets_at": None}
    assert limits["streams"] == {"limit": 500, "used": 0, "resets_at": None}
    assert limits["tokens_per_day"] == {"limit": 1000, "used": 0, "resets_at": midnight}
    assert limits["usd_per_day"] == {"limit": "2.50", "used": "0.00", "resets_at": midnight}
    assert (limits["submits_per_second"]["limit"], limits["submits_per_second"]["used"]) == (10, 3)
    assert (limits["requests_per_second"]["limit"], limits["requests_per_second"]["used"]) == (5, 4)
    assert datetime.fromisoformat(limits["requests_per_second"]["resets_at"]) > clock.now()


async def test_a_tenant_and_a_key_have_so_many_streams_open_and_others_are_not_held_up(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path / "data", key_streams=1, tenant_streams=2)
    async with open_service(tmp_path / "data", settings=settings) as service:
        others = await service.services.keys.issue(OWNER, "other", frozenset({Scope.TASKS_READ}))
        third = await service.services.keys.issue(OWNER, "third", frozenset({Scope.TASKS_READ}))
        foreign = await service.key_with(Scope.ADMIN, who=STRANGER)
        async with service.client(service.key) as client:
            path = f"/tasks/{await submitted(client)}/events"
        async with (
            service.listening() as (url, _),
            service.real_client(service.key, url) as one,
            service.real_client(others[0], url) as two,
            service.real_client(third[0], url) as three,
            service.real_client(foreign, url) as stranger,
            one.stream("GET", path, headers=STREAM),
        ):
            of_key = await one.get(path, headers=STREAM)
            async with two.stream("GET", path, headers=STREAM) as second:
                of_tenant = await three.get(path, headers=STREAM)
                of_stranger = await stranger.get(path, headers=STREAM)

    assert second.status_code == 200
    assert (of_key.status_code, of_tenant.status_code, of_stranger.status_code) == (429, 429, 404)
    assert "CHARGEHAND_KEY_STREAMS" in of_key.json()["detail"]
    assert "CHARGEHAND_TENANT_STREAMS" in of_tenant.json()["detail"]
    assert of_tenant.headers["retry-after"]


async def test_who_has_used_up_its_storage_is_answered_507(
    service: Service, client: httpx2.AsyncClient
) -> None:
    await submitted(client)
    task = await service.worker.claim()
    await service.worker.deliver(task, "report", {"report.txt": b"x" * 42}, is_folder=False)
    await service.services.limits.replace(OPERATOR, "default", TenantLimits(storage_bytes=42))

    answer = await client.post("/agents/echo/tasks", json={"task_data": {}})

    assert (answer.status_code, answer.json()["code"]) == (507, "tenant_storage_full")
    assert answer.headers["retry-after"] == "60"
    assert (await client.get(f"/tasks/{task.id}/deliverables")).status_code == 200
