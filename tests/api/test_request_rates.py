"""Requests per key, tenant and address: counted together, told with every answer, refused with the time to wait."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chargehand.domain.access import Principal, Scope
from chargehand.domain.tenant_limits import TenantLimits
from chargehand.settings import Settings
from tests.api.service import STRANGER, Service, open_service
from tests.given import TestClock

OPERATOR = Principal(id="operator", tenant="operators", scopes=frozenset({Scope.ADMIN_SERVICE}))


@asynccontextmanager
async def a_service(folder: Path, clock: TestClock, **options: Any) -> AsyncGenerator[Service, None]:
    settings = Settings(data_dir=folder / "data", **options)
    async with open_service(folder / "data", settings=settings, clock=clock) as service:
        yield service


async def codes(client: httpx2.AsyncClient, count: int, path: str = "/whoami") -> list[int]:
    return [(await client.get(path)).status_code for _ in range(count)]


async def test_every_answer_tells_the_allowance_and_what_is_left_of_it(tmp_path: Path) -> None:
    async with (
        a_service(tmp_path, TestClock(), key_requests_per_second=5) as service,
        service.client(service.key) as client,
    ):
        paths = ("/whoami", "/tasks", "/nowhere", "/tasks?bad=1", "/tasks/zzz", "/tenants")
        answers = [await client.get(path) for path in paths]

    assert [answer.status_code for answer in answers] == [200, 200, 404, 422, 404, 200]
    assert [answer.headers["ratelimit-policy"] for answer in answers] == ['"key";q=10;w=2'] * 6
    left = [answer.headers["ratelimit"].split(";")[1] for answer in answers]
    assert left == [f"r={left}" for left in (9, 8, 7, 6, 5, 4)]


async def test_one_too_many_is_refused_with_the_time_to_wait_and_then_allowed(tmp_path: Path) -> None:
    clock = TestClock()
    options = {"key_requests_per_second": 0.25, "request_burst_seconds": 8}
    async with a_service(tmp_path, clock, **options) as service, service.client(service.key) as client:
        before = await codes(client, 2)
        refused = await client.get("/whoami")
        clock.advance(float(refused.headers["retry-after"]))
        after = await codes(client, 2)

    assert (before, after) == ([200, 200], [200, 429])
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert "CHARGEHAND_KEY_REQUESTS_PER_SECOND" in refused.json()["detail"]
    assert refused.headers["retry-after"] == "4"
    assert refused.headers["ratelimit"] == '"key";r=0;t=8'
    assert refused.headers["x-content-type-options"] == "nosniff"


async def test_without_settings_nothing_is_counted(tmp_path: Path) -> None:
    async with a_service(tmp_path, TestClock()) as service, service.client(service.key) as client:
        answer = await client.get("/whoami")

    assert "ratelimit" not in answer.headers


async def test_keys_have_allowances_of_their_own_and_share_their_tenants(tmp_path: Path) -> None:
    options = {"key_requests_per_second": 3, "tenant_requests_per_second": 4, "request_burst_seconds": 1}
    async with a_service(tmp_path, TestClock(), **options) as service:
        one, two = service.key, await service.key_with(Scope.TASKS_READ)
        strange = await service.key_with(Scope.TASKS_READ, who=STRANGER)
        async with (
            service.client(one) as first,
            service.client(two) as second,
            service.client(strange) as other,
        ):
            of_first, of_second = await codes(first, 4), await codes(second, 2)
            refused = await second.get("/whoami")
            of_other = await codes(other, 3)

    assert of_first == [200, 200, 200, 429]
    assert of_second == [200, 429]
    assert "tenant" in refused.json()["detail"]
    assert refused.headers["ratelimit-policy"] == '"key";q=3;w=1, "tenant";q=4;w=1'
    assert of_other == [200, 200, 200]


async def test_an_address_is_counted_with_all_its_keys_and_without_one(tmp_path: Path) -> None:
    options = {"address_requests_per_second": 3, "request_burst_seconds": 1}
    async with (
        a_service(tmp_path, TestClock(), **options) as service,
        service.client(service.key) as client,
        service.client(None) as stranger,
    ):
        answered = await codes(client, 2) + await codes(stranger, 2, "/openapi.json")
        healthy = await codes(stranger, 5, "/health")

    assert answered == [200, 200, 200, 429]
    assert healthy == [200] * 5


async def test_behind_a_trusted_proxy_each_client_has_an_allowance_of_its_own(tmp_path: Path) -> None:
    options: dict[str, Any] = {"address_requests_per_second": 1, "request_burst_seconds": 1}
    async with (
        a_service(tmp_path, TestClock(), trusted_proxies=("127.0.0.1",), **options) as service,
        service.client(service.key) as client,
    ):
        found = [
            (await client.get("/whoami", headers={"X-Forwarded-For": f"1.2.3.4, {address}"})).status_code
            for address in ("203.0.113.1", "203.0.113.2", "203.0.113.1", "2001:db8::1", "2001:db8::2")
        ]

    assert found == [200, 200, 429, 200, 429]


async def test_a_forged_forwarded_address_changes_nothing(tmp_path: Path) -> None:
    options = {"address_requests_per_second": 1, "request_burst_seconds": 1}
    async with a_service(tmp_path, TestClock(), **options) as service, service.client(service.key) as client:
        found = [
            (await client.get("/whoami", headers={"X-Forwarded-For": f"203.0.113.{number}"})).status_code
            for number in range(2)
        ]

    assert found == [200, 429]


async def test_a_tenants_own_limit_counts_instead_of_the_settings(tmp_path: Path) -> None:
    options = {"tenant_requests_per_second": 1, "request_burst_seconds": 1}
    async with a_service(tmp_path, TestClock(), **options) as service, service.client(service.key) as client:
        await service.services.limits.replace(OPERATOR, "default", TenantLimits(requests_per_second=3))
        raised = await codes(client, 4)
        await service.services.limits.replace(OPERATOR, "default", TenantLimits())
        answer = await client.get("/whoami")

    assert raised == [200, 200, 200, 429]
    assert answer.headers["ratelimit-policy"] == '"tenant";q=1;w=1'


@pytest.mark.parametrize("proxies", ["0.0.0.0/0", "proxy.example"])
async def test_a_service_that_would_believe_anyone_does_not_start(tmp_path: Path, proxies: str) -> None:
    with pytest.raises(Exception, match="CHARGEHAND_TRUSTED_PROXIES"):
        async with a_service(tmp_path, TestClock(), trusted_proxies=(proxies,)):
            """It is refused before."""
