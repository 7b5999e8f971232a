"""Group commit: who shares a transaction, and who hears of what went wrong."""

import asyncio
from collections.abc import Sequence

import pytest

from chargehand.errors import StorageFull
from chargehand.store.group import MOST, GroupCommit


class Flushes:
    """Doubles numbers; remembers the groups that came, and holds each flush until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun = asyncio.Event()
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.fault: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.groups.append(list(items))
        self.begun.set()
        await self.may_go.wait()
        if self.fault is not None:
            raise self.fault
        if -1 in items:
            raise RuntimeError("the transaction cannot hold -1")
        return [ValueError(f"{item} is odd") if item % 2 else item * 2 for item in items]


async def test_a_lone_caller_waits_for_nobody() -> None:
    flushes = Flushes()

    assert await GroupCommit(flushes)(2) == 4
    assert flushes.groups == [[2]]


async def test_callers_that_come_during_a_flush_share_the_next_one() -> None:
    flushes = Flushes()
    flushes.may_go.clear()
    one = GroupCommit(flushes)
    first = asyncio.create_task(one(0))
    await flushes.begun.wait()

    others = [asyncio.create_task(one(number)) for number in (2, 4, 6)]
    await asyncio.sleep(0)
    flushes.may_go.set()

    assert await asyncio.gather(first, *others) == [0, 4, 8, 12]
    assert flushes.groups == [[0], [2, 4, 6]]


async def test_a_group_has_an_upper_size() -> None:
    flushes = Flushes()
    one = GroupCommit(flushes)

    await asyncio.gather(*(one(2 * number) for number in range(MOST + 10)))

    assert [len(group) for group in flushes.groups] == [MOST, 10]


async def test_an_error_answered_for_one_item_reaches_its_caller_only() -> None:
    one = GroupCommit(Flushes())

    results = await asyncio.gather(one(2), one(3), one(4), return_exceptions=True)

    assert results[0] == 4
    assert isinstance(results[1], ValueError)
    assert results[2] == 8


async def test_an_item_that_breaks_the_whole_flush_fails_its_caller_only() -> None:
    flushes = Flushes()
    one = GroupCommit(flushes)

    results = await asyncio.gather(one(2), one(-1), one(4), return_exceptions=True)

    assert results[0] == 4
    assert isinstance(results[1], RuntimeError)
    assert results[2] == 8


async def test_a_full_disk_is_told_to_all_without_trying_each_alone() -> None:
    flushes = Flushes()
    flushes.fault = StorageFull("the disk is full")
    one = GroupCommit(flushes)

    results = await asyncio.gather(one(2), one(4), return_exceptions=True)

    assert [type(result) for result in results] == [StorageFull, StorageFull]
    assert flushes.groups == [[2, 4]]


async def test_a_caller_that_is_canceled_leaves_the_others_and_the_next_group_unharmed() -> None:
    flushes = Flushes()
    flushes.may_go.clear()
    one = GroupCommit(flushes)
    first, second = asyncio.create_task(one(2)), asyncio.create_task(one(4))
    await flushes.begun.wait()

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    flushes.may_go.set()

    assert await second == 8
    assert await one(6) == 12
    assert flushes.groups == [[2, 4], [6]]


async def test_draining_waits_for_what_is_gathered_and_what_is_in_flight() -> None:
    flushes = Flushes()
    flushes.may_go.clear()
    one = GroupCommit(flushes)
    abandoned = asyncio.create_task(one(2))
    await flushes.begun.wait()
    abandoned.cancel()
    draining = asyncio.create_task(one.drain())
    await asyncio.sleep(0)
    assert not draining.done()

    flushes.may_go.set()
    await draining

    assert flushes.groups == [[2]]
