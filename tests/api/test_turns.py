"""Refusals leave the loop to others: one in a turn, and no line without end."""

import asyncio

from chargehand.serve.turns import MOST_WAITING, OneATurn
from tests.loop_turns import LoopTurns


async def test_who_comes_alone_waits_for_nothing() -> None:
    one_a_turn = OneATurn()
    for _ in range(3):
        alone = asyncio.create_task(one_a_turn())
        await asyncio.sleep(0)
        assert alone.done()
        await asyncio.sleep(0)


async def test_each_turn_lets_one_go_on_in_the_order_in_which_they_came() -> None:
    one_a_turn, turns = OneATurn(), LoopTurns()
    went: list[tuple[int, int]] = []

    async def go(number: int) -> None:
        await one_a_turn()
        went.append((turns.count, number))

    await asyncio.gather(*(go(number) for number in range(10)))
    turns.stop()

    assert [number for _, number in went] == list(range(10))
    taken = [turn for turn, _ in went][1:]  # the first goes on at once
    assert taken == list(range(taken[0], taken[0] + 9))


async def test_of_a_flood_so_many_wait_and_the_rest_goes_on_at_once() -> None:
    one_a_turn = OneATurn()
    flood = [asyncio.create_task(one_a_turn()) for _ in range(1000)]
    await asyncio.sleep(0)

    assert sum(not task.done() for task in flood) == MOST_WAITING

    await asyncio.gather(*flood)
    assert all(task.done() for task in flood)


async def test_those_who_are_canceled_in_the_line_hold_up_nobody() -> None:
    one_a_turn = OneATurn()
    first, *gone, last = (asyncio.create_task(one_a_turn()) for _ in range(10))
    await asyncio.sleep(0)

    for task in gone:
        task.cancel()
    await asyncio.gather(first, last)

    assert all(task.cancelled() for task in gone)
    await one_a_turn()
