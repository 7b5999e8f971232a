"""GET /metrics: behind a key with the scope, open, or not there."""

from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chargehand.domain.access import Scope
from chargehand.settings import Settings
from tests.api.service import OWNER, STRANGER, Service, open_service


async def test_the_numbers_need_a_key_with_the_scope(
    service: Service, client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    assert (await stranger.get("/metrics")).status_code == 401
    assert (await client.get("/metrics")).status_code == 200
    for scope, status in ((Scope.TASKS_READ, 403), (Scope.METRICS_READ, 200)):
        token = await service.key_with(scope)
        async with service.client(token) as other:
            assert (await other.get("/metrics")).status_code == status


async def test_a_tenants_key_does_not_read_the_sums_over_all_tenants(service: Service) -> None:
    for who, scopes, status in (
        (STRANGER, (Scope.METRICS_READ,), 403),
        (STRANGER, (Scope.ADMIN,), 403),
        (replace(STRANGER, scopes=OWNER.scopes), (Scope.METRICS_READ, Scope.ADMIN_SERVICE), 200),
    ):
        async with service.client(await service.key_with(*scopes, who=who)) as other:
            answer = await other.get("/metrics")
        assert (scopes, answer.status_code) == (scopes, status)
        assert ("sums over all tenants" in answer.text) == (status == 403)


async def test_requests_are_counted_by_route_and_tasks_by_status(client: httpx2.AsyncClient) -> None:
    await client.post("/agents/echo/tasks", json={"task_data": {}})
    for number in range(3):
        await client.get(f"/tasks/00000000-0000-7000-8000-00000000000{number}")
    await client.get("/no/such/path")

    answer = await client.get("/metrics")
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    requests = "chargehand_http_requests_total"
    assert told["chargehand_tasks", "pending"] == 1
    assert told["chargehand_tasks", "failed"] == 0
    assert told[requests, "POST", "/agents/{agent_id}/tasks", "202"] == 1
    assert told[requests, "GET", "/tasks/{task_id}", "404"] == 3
    assert told[requests, "GET", "none", "404"] == 1
    assert answer.headers["content-type"].startswith("text/plain; version=")


@pytest.mark.parametrize(
    ("choice", "statuses"), [("open", (200, 200)), ("off", (401, 404)), ("key", (401, 200))]
)
async def test_the_operator_says_who_reads_them(
    tmp_path: Path, choice: str, statuses: tuple[int, int]
) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "metrics": choice})
    async with (
        open_service(tmp_path, settings=settings) as service,
        service.client(None) as stranger,
        service.client(service.key) as holder,
    ):
        answers = [await stranger.get("/metrics"), await holder.get("/metrics")]

    assert tuple(one.status_code for one in answers) == statuses
