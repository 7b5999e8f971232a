"""How fast a tenant may submit: 429 with the time to wait, and nothing lost of what was accepted before."""

from pathlib import Path

from chargehand.settings import Settings
from tests.api.service import open_service
from tests.given import TestClock

ORDER = {"task_data": {"text": "hello"}}


async def test_too_many_submissions_are_refused_with_the_time_to_wait_and_replays_are_not(
    tmp_path: Path,
) -> None:
    clock = TestClock()
    settings = Settings(data_dir=tmp_path / "data", tenant_submits_per_second=0.2)
    async with (
        open_service(tmp_path / "data", settings=settings, clock=clock) as service,
        service.client(service.key) as client,
    ):
        headers = {"Idempotency-Key": "first"}
        first = await client.post("/agents/echo/tasks", json=ORDER, headers=headers)
        refused = await client.post("/agents/echo/tasks", json=ORDER)
        replayed = await client.post("/agents/echo/tasks", json=ORDER, headers=headers)
        clock.advance(float(refused.headers["retry-after"]))
        later = await client.post("/agents/echo/tasks", json=ORDER)
        listed = await client.get("/tasks")

    assert (first.status_code, refused.status_code, later.status_code) == (202, 429, 202)
    assert refused.json()["code"] == "too_many_requests"
    assert "CHARGEHAND_TENANT_SUBMITS_PER_SECOND" in refused.json()["detail"]
    assert refused.headers["retry-after"] == "5"
    assert replayed.json()["id"] == first.json()["id"]
    assert len(listed.json()["items"]) == 2


async def test_without_the_setting_there_is_no_limit(tmp_path: Path) -> None:
    async with open_service(tmp_path / "data") as service, service.client(service.key) as client:
        codes = [(await client.post("/agents/echo/tasks", json=ORDER)).status_code for _ in range(20)]

    assert codes == [202] * 20
