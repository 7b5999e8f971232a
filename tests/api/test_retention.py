"""Pruning over HTTP: who may, what is refused, what is answered."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from chargehand.domain.access import Scope
from tests.api.service import STRANGER, Service, open_service
from tests.given import TestClock

pytestmark = pytest.mark.usefixtures("database")

MONTH = {"older_than_seconds": 30 * 86_400}


@pytest_asyncio.fixture
async def clock() -> TestClock:
    return TestClock()


@pytest_asyncio.fixture
async def aged(tmp_path: Path, clock: TestClock) -> AsyncGenerator[Service, None]:
    """A service with one task that ended 31 days ago."""
    async with open_service(tmp_path, clock=clock) as service:
        async with service.client(service.key) as client:
            accepted = await client.post("/agents/echo/tasks", json={"task_data": {}})
            assert accepted.status_code == 202
        await service.worker.finish(await service.worker.claim())
        clock.advance(31 * 86_400)
        yield service


async def test_an_old_task_goes_and_is_not_found_any_more(aged: Service) -> None:
    async with aged.client(aged.key) as client:
        [task] = (await client.get("/tasks")).json()["items"]

        told = await client.post("/admin/prune", json={**MONTH, "dry_run": True})
        assert (await client.get(f"/tasks/{task['id']}")).status_code == 200
        done = await client.post(
            "/admin/prune", json={**MONTH, "statuses": ["completed"], "agent_id": "echo"}
        )
        swept = await client.post("/admin/sweep")

        assert told.json() == done.json() == {"trees": 1, "tasks": 1, "events": 3, "after": None}
        assert (await client.get(f"/tasks/{task['id']}")).status_code == 404
        assert swept.json() == {"workspaces": 0, "blobs": 0, "blob_bytes": 0}


async def test_another_tenants_tasks_stay(aged: Service) -> None:
    async with aged.client(await aged.key_with(Scope.ADMIN, who=STRANGER)) as client:
        done = await client.post("/admin/prune", json=MONTH)

    assert done.json()["trees"] == 0
    async with aged.client(aged.key) as client:
        assert len((await client.get("/tasks")).json()["items"]) == 1


async def test_it_takes_the_scope_admin(aged: Service) -> None:
    key = await aged.key_with(Scope.TASKS_READ, Scope.TASKS_WRITE, Scope.TASKS_CANCEL)
    async with aged.client(key) as client:
        assert (await client.post("/admin/prune", json=MONTH)).status_code == 403
        assert (await client.post("/admin/sweep")).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"older_than_seconds": 59},
        {"older_than_seconds": "30d"},
        {**MONTH, "statuses": []},
        {**MONTH, "statuses": ["running"]},
        {**MONTH, "agent_id": "../x"},
        {**MONTH, "most_trees": 0},
        {**MONTH, "after": "x"},
        {**MONTH, "unknown": 1},
    ],
)
async def test_what_is_refused_deletes_nothing(aged: Service, body: dict[str, Any]) -> None:
    async with aged.client(aged.key) as client:
        answer: httpx2.Response = await client.post("/admin/prune", json=body)

        assert answer.status_code == 422
        assert len((await client.get("/tasks")).json()["items"]) == 1
