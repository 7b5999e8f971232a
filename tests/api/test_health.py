"""Health: three public answers that tell no more than they must."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from chargehand.errors import StorageFull
from chargehand.service import health
from chargehand.service.health import Reading
from tests.api.service import Service, open_service


async def test_health_is_to_the_letter(stranger: httpx2.AsyncClient) -> None:
    answer = await stranger.get("/health")

    assert (answer.status_code, answer.content) == (200, b'{"status":"healthy","service":"ai-agent-api"}')
    assert answer.headers["content-type"] == "application/json"


async def test_live_answers(stranger: httpx2.AsyncClient) -> None:
    assert (await stranger.get("/health/live")).json() == {"status": "live"}


async def test_readiness_tells_what_was_found_only_to_those_with_a_key(
    client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    told, kept = await client.get("/health/ready"), await stranger.get("/health/ready")

    assert told.json()["checks"].keys() == {"database", "disk"}
    assert kept.json() == {"status": "ready"}


async def test_a_service_whose_engine_stands_still_is_not_ready(tmp_path: Path) -> None:
    stopped = ("engine", Reading(ok=False, detail="stopped"))

    async with (
        open_service(tmp_path, probes=[stopped]) as service,
        service.client(None) as stranger,
        service.client(service.key) as owner,
    ):
        kept, told = await stranger.get("/health/ready"), await owner.get("/health/ready")

    assert (kept.status_code, kept.json()) == (503, {"status": "not_ready"})
    assert told.json()["checks"]["engine"] == {"ok": False, "degraded": False, "detail": "stopped"}


async def test_a_service_whose_database_does_not_answer_is_not_ready(
    service: Service, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "DATABASE_SECONDS", 0.1)

    with closing(sqlite3.connect(service.key_file.parent / "chargehand.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        locked = await client.get("/health/ready")
        other.rollback()
    monkeypatch.setattr(health, "DATABASE_SECONDS", 20)
    monkeypatch.setattr(health, "FRESH_SECONDS", 0)
    free = await client.get("/health/ready")

    assert (locked.status_code, locked.json()["checks"]["database"]["ok"]) == (503, False)
    assert "0.1 s" in locked.json()["checks"]["database"]["detail"]
    assert free.status_code == 200


async def test_readiness_is_read_once_for_all_who_ask_at_the_same_moment(service: Service) -> None:
    found = await asyncio.gather(*(service.services.health.ready() for _ in range(50)))

    assert all(one is found[0] for one in found)


async def test_a_service_that_is_only_degraded_stays_ready_and_tells_strangers_nothing(
    tmp_path: Path,
) -> None:
    away = ("broker", Reading(ok=True, is_degraded=True, detail="away"))

    async with (
        open_service(tmp_path, probes=[away]) as service,
        service.client(None) as stranger,
        service.client(service.key) as owner,
    ):
        kept, told = await stranger.get("/health/ready"), await owner.get("/health/ready")
        numbers = (await owner.get("/metrics")).text

    assert (kept.status_code, kept.json()) == (200, {"status": "ready"})
    assert told.json()["checks"]["broker"] == {"ok": True, "degraded": True, "detail": "away"}
    assert 'chargehand_check_degraded{check="broker"} 1.0' in numbers
    assert 'chargehand_check_ok{check="database"} 1.0' in numbers


async def test_a_service_whose_disk_reserve_is_used_up_is_not_ready(
    service: Service, client: httpx2.AsyncClient
) -> None:
    service.space.error = StorageFull("only 3 MiB are free")

    answer = await client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"]["disk"] == {
        "ok": False, "degraded": False, "detail": "only 3 MiB are free",
    }  # fmt: skip
