"""Ids that sort by time, and sleeps that end by the clock or by a wake-up."""

import asyncio
import re
import uuid
from datetime import timedelta

from chargehand.clock import SystemClock, uuid7


def test_ids_are_uuids_of_version_7() -> None:
    ids = [SystemClock().new_id() for _ in range(200)]

    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one)
        for one in ids
    )
    assert all(uuid.UUID(one).variant == uuid.RFC_4122 for one in ids)
    assert len(set(ids)) == 200


def test_ids_of_one_clock_sort_as_they_were_made_also_within_a_millisecond() -> None:
    clock = SystemClock()
    ids = [clock.new_id() for _ in range(20_000)]

    assert ids == sorted(set(ids))


def test_ids_made_later_sort_later_whatever_their_chance() -> None:
    ids = [
        uuid7(milliseconds, bytes([255 - number] * 10))
        for number, milliseconds in enumerate((0, 1, 2**40, 2**48 - 1))
    ]

    assert ids == sorted(ids)
    assert ids[0].startswith("00000000-0000-7")


async def test_a_sleep_ends_at_its_time() -> None:
    clock = SystemClock()
    when = clock.now() + timedelta(seconds=0.02)

    await clock.sleep_until(when, asyncio.Event())

    assert clock.now() >= when - timedelta(milliseconds=2)


async def test_a_sleep_ends_with_its_wake_up_and_one_that_is_over_does_not_begin() -> None:
    clock, woken = SystemClock(), asyncio.Event()
    asyncio.get_running_loop().call_soon(woken.set)

    async with asyncio.timeout(5):
        await clock.sleep_until(clock.now() + timedelta(hours=1), woken)
        await clock.sleep_until(clock.now() - timedelta(hours=1), asyncio.Event())
