"""Processes that share duties: never two at one, a takeover when one dies, nothing that outlasts its lease."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from chargehand.app.core import Core
from chargehand.engine.duties import Duty, DutyRounds, duty_lease
from chargehand.errors import Unavailable
from chargehand.service.duties import DutyLeases
from tests import given

pytestmark = pytest.mark.usefixtures("database")
LEASE = timedelta(seconds=0.5)


class Seen:
    """A duty that notes who does it, and how many at once."""

    def __init__(self) -> None:
        self.by: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    def duty(self, name: str, *, seconds: float = 0.01) -> Duty:
        async def do(now: datetime) -> datetime | None:
            self.by.append(name)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.at_once -= 1
            return now

        return Duty(name="watch", do=do, every_seconds=0.05)

    async def until_by(self, name: str, more: int = 3) -> None:
        before = self.by.count(name)

        async def holds() -> bool:
            return self.by.count(name) >= before + more

        await given.eventually(holds)


def rounds(core: Core, name: str, duty: Duty, lease: timedelta = LEASE) -> DutyRounds:
    leases = DutyLeases(core.db, holder=name, lease=lease)
    return DutyRounds(duties=[duty], leases=leases, clock=core.clock)


@asynccontextmanager
async def doing(*some: DutyRounds) -> AsyncGenerator[None, None]:
    for one in some:
        one.start()
    try:
        yield
    finally:
        for one in some:
            await one.stop()


async def test_one_process_does_a_duty_and_another_takes_over_when_it_leaves(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, with_engine=False) as core:
        seen = Seen()
        first, second = (rounds(core, name, seen.duty(name)) for name in ("first", "second"))
        async with doing(first):
            await seen.until_by("first")
            async with doing(second):
                await seen.until_by("first", 10)
                assert "second" not in seen.by
                assert (first.held, second.held) == (["watch"], [])
                await first.stop()
                await seen.until_by("second")
        assert seen.most_at_once == 1


async def test_a_process_that_dies_is_followed_after_its_lease(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, with_engine=False) as core:
        seen = Seen()
        dead = DutyLeases(core.db, holder="dead", lease=LEASE)
        assert await dead.take("watch") is None
        begun_at = core.clock.monotonic()

        async with doing(rounds(core, "second", seen.duty("second"))):
            await seen.until_by("second", 1)

        assert core.clock.monotonic() - begun_at >= LEASE.total_seconds() * 0.9


async def test_a_duty_that_takes_long_keeps_its_lease(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, with_engine=False) as core:
        seen = Seen()
        slow = rounds(core, "first", seen.duty("first", seconds=3 * LEASE.total_seconds()))
        async with doing(slow):
            await seen.until_by("first", 1)
            async with doing(rounds(core, "second", seen.duty("second"))):
                await seen.until_by("first", 1)
        assert seen.by == ["first", "first"]
        assert seen.most_at_once == 1


async def test_a_duty_is_cut_off_when_its_lease_cannot_be_prolonged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with given.a_core(tmp_path, with_engine=False) as core:
        cut_off = asyncio.Event()

        async def do(now: datetime) -> datetime | None:
            away.set()
            try:
                await asyncio.Event().wait()
            finally:
                cut_off.set()
            return now

        away = asyncio.Event()
        leases = DutyLeases(core.db, holder="first", lease=LEASE)
        take = leases.take

        async def failing_take(name: str) -> datetime | None:
            if away.is_set():
                raise Unavailable("the database is away")
            return await take(name)

        monkeypatch.setattr(leases, "take", failing_take)
        duty = Duty(name="watch", do=do, every_seconds=1)
        async with doing(DutyRounds(duties=[duty], leases=leases, clock=core.clock)):
            async with asyncio.timeout(given.LIMIT_SECONDS):
                await cut_off.wait()


async def test_a_duty_whose_lease_was_had_late_is_done_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with given.a_core(tmp_path, with_engine=False) as core:
        done = asyncio.Event()
        leases = DutyLeases(core.db, holder="first", lease=LEASE)
        take = leases.take

        async def slow_take(name: str) -> datetime | None:
            found = await take(name)
            await asyncio.sleep(0.95 * LEASE.total_seconds())
            return found

        async def do(now: datetime) -> datetime | None:
            await asyncio.sleep(0.6 * LEASE.total_seconds())
            done.set()
            return now

        monkeypatch.setattr(leases, "take", slow_take)
        duty = Duty(name="watch", do=do, every_seconds=1)
        async with doing(DutyRounds(duties=[duty], leases=leases, clock=core.clock)):
            async with asyncio.timeout(given.LIMIT_SECONDS):
                await done.wait()


async def test_a_process_whose_look_for_a_duty_is_never_answered_asks_again_and_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with given.a_core(tmp_path, with_engine=False) as core:
        seen, asked = Seen(), 0
        leases = DutyLeases(core.db, holder="first", lease=LEASE)
        take = leases.take

        async def once_unanswered(name: str) -> datetime | None:
            nonlocal asked
            asked += 1
            if asked == 1:
                await asyncio.Event().wait()
            return await take(name)

        monkeypatch.setattr(leases, "take", once_unanswered)
        async with doing(DutyRounds(duties=[seen.duty("first")], leases=leases, clock=core.clock)):
            await seen.until_by("first")


async def test_what_a_duty_raises_ends_neither_it_nor_the_others(tmp_path: Path) -> None:
    calls = 0

    async def do(now: datetime) -> datetime | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("a fault of the duty")
        return now

    async def is_done_again() -> bool:
        return calls >= 2

    async with given.a_core(tmp_path, with_engine=False) as core:
        duty = Duty(name="watch", do=do, every_seconds=0.05)
        async with doing(rounds(core, "first", duty)):
            await given.eventually(is_done_again)


def test_a_duty_s_lease_is_never_longer_than_a_worker_s() -> None:
    assert duty_lease(3) == timedelta(seconds=3)
    assert duty_lease(600) == timedelta(seconds=10)
