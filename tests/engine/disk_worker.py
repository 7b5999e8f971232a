"""The program that test_disk.py runs on a small file system of its own: fills it, makes it read-only.

Run as `disk_worker.py FOLDER`, where FOLDER is the root of a file system that may be filled and remounted.
It ends with 0 when every promise about a full and a read-only disk was kept.
"""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from chargehand.app.core import Core
from chargehand.domain.history import EventKind
from chargehand.domain.task import Status
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import StorageFull, Unavailable
from chargehand.runtimes.playbook import PlaybookContext
from tests import given
from tests.given import ME
from tests.invariants import violations

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


class Disk:
    """The file system, which can be filled to the last byte and emptied again."""

    def __init__(self, folder: Path) -> None:
        self.ballast = folder / "ballast"

    def fill(self) -> None:
        with self.ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    def free(self) -> None:
        self.ballast.unlink(missing_ok=True)


DISK = Disk(FOLDER)
gate_entered, gate_open = asyncio.Event(), asyncio.Event()


async def asker(ctx: PlaybookContext) -> JsonValue:
    return await ctx.ask("Go on?")


async def worker(ctx: PlaybookContext) -> JsonValue:
    """A step that ends while the disk is full, and one that begins then."""

    async def gate() -> JsonValue:
        gate_entered.set()
        await gate_open.wait()
        return "x" * 20_000

    first = await ctx.once("gate", gate)
    await ctx.once("next", lambda: "x" * 20_000)
    return len(str(first))


async def noop(ctx: PlaybookContext) -> JsonValue:
    return ctx.data


PLAYBOOKS = {"asker": asker, "worker": worker, "noop": noop}


async def refused(core: Core) -> int:
    """How many of ten submissions were refused as they must be on a full disk."""
    order: JsonObject = {"n": "x" * 2000}
    answers = await asyncio.gather(
        *(given.a_task(core, "noop", order) for _ in range(10)), return_exceptions=True
    )
    return sum(isinstance(answer, StorageFull) and "disk is full" in answer.message for answer in answers)


async def a_full_disk_refuses_what_is_new_and_loses_nothing() -> None:
    async with given.a_core(FOLDER, playbooks=PLAYBOOKS) as core:
        done = await given.ended(core, await given.a_task(core, "noop", {"n": 1}))
        waiting = await given.a_task(core, "asker")
        await given.event(core, waiting, EventKind.WAITING)
        working = await given.a_task(core, "worker")
        await gate_entered.wait()
        known = {task.id for task in (await core.watch.page(ME)).items}

        DISK.fill()
        assert await refused(core) == 10, "a full disk took new tasks"
        gate_open.set()
        assert (await core.watch.get(ME, done.id)).result == {"n": 1}
        assert len(await core.watch.events(ME, done.id)) == 3
        await asyncio.sleep(0.5)
        during = await core.watch.get(ME, working.id)
        assert during.status in (Status.RUNNING, Status.PENDING), during

        DISK.free()
        async with asyncio.timeout(5):
            await core.tasks.answer(ME, waiting.id, "0/0", "yes")
            assert (await given.ended(core, await given.a_task(core, "noop"))).status is Status.COMPLETED
        assert (await given.ended(core, waiting)).result == "yes"
        ended = await given.ended(core, working)
        assert (ended.status, ended.result, ended.losses) == (Status.COMPLETED, 20_000, 0), ended
        assert known <= {task.id for task in (await core.watch.page(ME)).items}
    assert violations(FOLDER / "data" / "chargehand.db") == []


async def a_start_on_a_full_or_read_only_disk_says_so() -> None:
    DISK.fill()
    with pytest.raises(Unavailable, match=f"{FOLDER}.* cannot be written: No space left"):
        await opened()
    DISK.free()
    await opened()

    remount("ro")
    with pytest.raises(
        Unavailable, match=r"cannot be used \(Read-only file system\); set CHARGEHAND_DATA_DIR"
    ):
        await opened()
    remount("rw")

    async with given.a_core(FOLDER, playbooks=PLAYBOOKS) as core:
        assert (await given.ended(core, await given.a_task(core, "noop"))).status is Status.COMPLETED


async def opened() -> None:
    async with given.a_core(FOLDER):
        pass


def remount(how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(FOLDER)], check=True)  # noqa: S607 - the system's


async def the_reserve_is_kept() -> None:
    async with given.a_core(FOLDER, playbooks=PLAYBOOKS, disk_reserve_bytes=1 << 40) as core:
        with pytest.raises(StorageFull, match="kept in reserve"):
            await given.a_task(core, "noop")


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    await a_full_disk_refuses_what_is_new_and_loses_nothing()
    await the_reserve_is_kept()
    await a_start_on_a_full_or_read_only_disk_says_so()


if __name__ == "__main__":
    asyncio.run(main())
