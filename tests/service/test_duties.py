"""One process at a time holds a duty, by the database's clock; after its lease another takes it over."""

import asyncio
from datetime import timedelta
from pathlib import Path

from chargehand.service.duties import DutyLeases
from tests import given
from tests.given import TestClock

LEASE = timedelta(seconds=10)


async def test_a_duty_that_is_held_is_not_taken_by_another_until_its_lease_is_over(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, with_engine=False, clock=clock) as core:
        one, other = (DutyLeases(core.db, holder=name, lease=LEASE) for name in ("one", "other"))

        assert await one.take("sweeper") is None
        assert await other.take("sweeper") == clock.now() + LEASE
        clock.advance(6)
        assert await one.take("sweeper") is None, "who holds it prolongs it"
        clock.advance(6)
        assert await other.take("sweeper") == clock.now() + timedelta(seconds=4)
        clock.advance(4)
        assert await other.take("sweeper") is None
        assert await one.take("sweeper") == clock.now() + LEASE


async def test_a_duty_that_is_given_up_is_taken_at_once_and_others_stay(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, with_engine=False, clock=TestClock()) as core:
        one, other = (DutyLeases(core.db, holder=name, lease=LEASE) for name in ("one", "other"))
        assert await one.take("sweeper") is None
        assert await other.take("schedules") is None

        await one.give_up()

        assert await other.take("sweeper") is None
        assert await one.take("schedules") is not None


async def test_of_two_that_ask_at_the_same_moment_one_gets_it(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, with_engine=False, clock=clock) as core:
        holders = [DutyLeases(core.db, holder=f"process-{n}", lease=LEASE) for n in range(5)]
        for _ in range(5):
            answers = await asyncio.gather(*(holder.take("sweeper") for holder in holders))

            assert answers.count(None) == 1
            clock.advance(10)
