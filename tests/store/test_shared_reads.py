"""Reads of one row by many: who comes alone is answered at once, who comes together shares a read."""

import asyncio
from collections.abc import Sequence

import pytest

from chargehand.errors import Unavailable
from chargehand.store.group import SharedRead


class Reads:
    """Doubles numbers; remembers who was read together, and can be held or fail."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.fault: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.groups.append(list(items))
        if not self.may_go.is_set():
            await self.may_go.wait()
        if self.fault is not None:
            raise self.fault
        return [item * 2 for item in items]


async def test_a_lone_reader_is_answered_in_the_turn_in_which_it_asks() -> None:
    one = SharedRead(Reads())
    asking = asyncio.create_task(one(2))

    await asyncio.sleep(0)

    assert asking.done()
    assert await asking == 4


async def test_readers_of_one_turn_share_a_read_but_for_the_first() -> None:
    reads = Reads()
    one = SharedRead(reads)

    assert await asyncio.gather(*(one(number) for number in (1, 2, 3, 4))) == [2, 4, 6, 8]

    assert reads.groups == [[1], [2, 3, 4]]


async def test_the_next_turn_has_a_first_one_again() -> None:
    reads = Reads()
    one = SharedRead(reads)

    for number in (1, 2, 3):
        assert await one(number) == number * 2
        await asyncio.sleep(0)

    assert reads.groups == [[1], [2], [3]]


async def test_in_a_crowd_nobody_is_first_until_it_is_gone() -> None:
    reads = Reads()
    one = SharedRead(reads)
    await asyncio.gather(*(one(number) for number in (1, 2, 3)))

    await asyncio.gather(*(one(number) for number in (4, 5)))
    await one(6)
    await asyncio.gather(*(one(number) for number in (7, 8)))

    assert reads.groups == [[1], [2, 3], [4, 5], [6], [7], [8]]


async def test_who_comes_during_a_long_read_waits_with_the_others_for_theirs() -> None:
    reads = Reads()
    one = SharedRead(reads)
    reads.may_go.clear()
    first = asyncio.create_task(one(1))
    await asyncio.sleep(0)
    others = [asyncio.create_task(one(number)) for number in (2, 3)]
    await asyncio.sleep(0)

    reads.may_go.set()

    assert await asyncio.gather(first, *others) == [2, 4, 6]
    assert reads.groups == [[1], [2, 3]]


async def test_a_read_that_fails_or_is_canceled_leaves_the_place_to_the_next() -> None:
    reads = Reads()
    one = SharedRead(reads)
    reads.fault = Unavailable("the database did not answer")
    with pytest.raises(Unavailable):
        await one(1)
    reads.fault = None
    await asyncio.sleep(0)
    reads.may_go.clear()
    canceled = asyncio.create_task(one(2))
    await asyncio.sleep(0)
    canceled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await canceled
    reads.may_go.set()
    await asyncio.sleep(0)

    assert await one(3) == 6
    assert reads.groups == [[1], [2], [3]]
