"""What a tenant's deliverables hold, against what it may store."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.access import LOCAL_OPERATOR
from chargehand.domain.deliverable import Deliverable
from chargehand.domain.task import Task
from chargehand.domain.values import JsonValue
from chargehand.errors import TenantStorageFull
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.tenant_storage import COUNT_SECONDS, FRESH_SECONDS
from tests import given
from tests.given import TestClock

MINE = LOCAL_OPERATOR.tenant


async def one(ctx: PlaybookContext) -> str:
    return ctx.task.agent_id


async def report(ctx: PlaybookContext) -> JsonValue:
    await ctx.must("Write", file_path="report.txt", content="x" * 60)
    return None


@asynccontextmanager
async def a_core(folder: Path, most: int, **options: Any) -> AsyncGenerator[Core, None]:
    options = {"playbooks": {"one": one}, "with_engine": False, **options}
    async with given.a_core(folder, tenant_storage_bytes=most, **options) as core:
        yield core


async def store(core: Core, task: Task, size_bytes: int, name: str = "it") -> None:
    one = Deliverable(
        task_id=task.id,
        name=name,
        path=name,
        is_folder=False,
        sha256="0" * 64,
        size_bytes=size_bytes,
        files=(),
        evidence=(),
        stored_at=core.clock.now(),
    )
    await core.deliveries.store(task, [one])


async def test_who_has_used_it_up_submits_nothing_more_until_there_is_room(tmp_path: Path) -> None:
    clock = TestClock()
    async with a_core(tmp_path, 100, clock=clock) as core:
        task = await given.a_running_task(core, "one")
        await store(core, task, 100)
        with pytest.raises(TenantStorageFull, match="hold 100 of 100 bytes") as refused:
            await given.a_task(core, "one")
        await store(core, task, 0)
        clock.advance(FRESH_SECONDS)

        assert (await given.a_task(core, "one")).tenant == MINE
        assert (refused.value.status, refused.value.code) == (507, "tenant_storage_full")


async def test_a_repeated_submission_is_answered_also_when_there_is_no_room(tmp_path: Path) -> None:
    async with a_core(tmp_path, 100, clock=TestClock()) as core:
        first = await given.a_task(core, "one", idempotency_key="first")
        [task] = (await given.claimed(core)).values()
        await store(core, task, 100)

        assert (await given.a_task(core, "one", idempotency_key="first")).id == first.id


async def test_what_another_process_stored_is_seen_within_a_minute(tmp_path: Path) -> None:
    clock = TestClock()
    async with a_core(tmp_path, 100, clock=clock) as core:
        task = await given.a_running_task(core, "one")
        # As another process would, of which this one hears nothing.
        await store(replace(core, deliveries=replace(core.deliveries, storage=None)), task, 100)
        await given.a_task(core, "one")
        clock.advance(COUNT_SECONDS)

        with pytest.raises(TenantStorageFull):
            await given.a_task(core, "one")


async def test_a_deliverable_for_which_there_is_no_room_fails_its_task_and_no_byte_is_kept(
    tmp_path: Path,
) -> None:
    async with a_core(tmp_path, 100, playbooks={"it": report}, with_engine=True) as core:
        promise = [{"name": "report", "path": "report.txt"}]
        await given.an_agent(core, "it", playbook="it", deliverables=promise)
        ended = [await given.ended(core, await given.a_task(core, "it")) for _ in range(2)]
        kept = [path for path in core.settings.blobs_dir.rglob("*") if path.is_file()]

    assert [(task.status, task.reason) for task in ended] == [("completed", None), ("failed", "storage_full")]
    assert "hold 60 of 100 bytes, and 60 more are to be stored" in str((ended[1].error or {}).get("message"))
    assert len(kept) == 1


async def test_what_a_task_stored_before_its_worker_died_takes_no_more_room(tmp_path: Path) -> None:
    async with a_core(tmp_path, 100, clock=TestClock()) as core:
        task = await given.a_running_task(core, "one")
        await core.deliveries.require_room(task, 60)
        await store(core, task, 60)

        await core.deliveries.require_room(task, 60)
        await core.deliveries.require_room(task, 100)
        with pytest.raises(TenantStorageFull):
            await core.deliveries.require_room(task, 101)
