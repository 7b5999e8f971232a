"""A worker that is killed over a model call leaves a charge that stays spent; the next one makes its own."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from chargehand.testkit.server import scripted_models
from tests.given import query
from tests.invariants import violations

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")

ROOT = Path(__file__).parents[2]
LIFE = """
import asyncio, json, logging, sys
from pathlib import Path
import structlog
from chargehand.domain.history import EventKind
from tests import given

async def main(folder, models):
    prices = {"claude-test": {"input_usd_per_million": 10, "output_usd_per_million": 50}}
    urls = {"anthropic": models}
    async with given.a_core(
        Path(folder), lease_seconds=5, model="anthropic:claude-test", model_urls=urls, model_prices=prices
    ) as core:
        await core.agents.publish(given.ME, given.a_definition("worker", tools="Read", budget={"usd": "2.00"}))
        task = await given.a_task(core, "worker", {"prompt": "Go."}, idempotency_key="one")
        async for event in core.watch.follow(given.ME, task.id):
            if event is not None and event.kind == EventKind.STEP_STARTED:
                print("asked", flush=True)

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
asyncio.run(main(*sys.argv[1:]))
"""


async def a_life(folder: Path, models: str, fail_point: str = "") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", LIFE, str(folder), models,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CHARGEHAND_FAIL_POINT": fail_point},
    )  # fmt: skip


async def test_a_call_whose_worker_was_killed_is_lost_at_full_price_and_asked_again(tmp_path: Path) -> None:
    database = tmp_path / "data" / "chargehand.db"
    slow = {"text": "Done.", "delay_seconds": 2.0, "usage": {"input": 1_000, "output": 10}}
    async with scripted_models([{"turns": [slow]}]) as models:
        first = await a_life(tmp_path, models.url)
        assert first.stdout is not None
        async with asyncio.timeout(30):
            assert await first.stdout.readline() == b"asked\n"
        [(reserved,)] = query(
            database, "SELECT reserved_usd_nanos FROM task_charges WHERE status = 'reserved'"
        )
        first.send_signal(signal.SIGKILL)
        await first.wait()

        second = await a_life(tmp_path, models.url)
        async with asyncio.timeout(30):
            await second.communicate()

    assert second.returncode == 0
    statement = "SELECT number, status, usd_nanos FROM task_charges ORDER BY number"
    settled = 1_000 * 10_000 + 10 * 50_000
    assert query(database, statement) == [(0, "lost", reserved), (1, "settled", settled)]
    assert query(database, "SELECT status, usd_nanos_spent FROM agent_tasks") == [
        ("completed", reserved + settled)
    ]
    assert query(database, "SELECT usd_nanos FROM tenant_days") == [(reserved + settled,)]
    assert violations(database) == []


async def test_a_worker_killed_after_a_refusal_was_noted_asks_again_and_has_paid_for_one_call(
    tmp_path: Path,
) -> None:
    database = tmp_path / "data" / "chargehand.db"
    refused = {"text": "Done.", "fault": {"status": 503, "times": 1}, "usage": {"input": 1_000, "output": 10}}
    async with scripted_models([{"turns": [refused]}]) as models:
        codes: list[int | None] = []
        for fail_point in ("journal.unanswered", ""):
            life = await a_life(tmp_path, models.url, fail_point)
            async with asyncio.timeout(30):
                await life.communicate()
            codes.append(life.returncode)

    assert codes == [-signal.SIGKILL, 0]
    statement = "SELECT number, status, usd_nanos FROM task_charges ORDER BY number"
    settled = 1_000 * 10_000 + 10 * 50_000
    assert query(database, statement) == [(0, "released", 0), (1, "settled", settled)]
    assert query(database, "SELECT status, usd_nanos_spent FROM agent_tasks") == [("completed", settled)]
    assert violations(database) == []
