"""Refusals leave the loop to others: one in a turn."""

import asyncio

from chargehand.serve.turns import OneATurn
from tests.loop_turns import LoopTurns


async def test_each_turn_lets_one_go_on_in_the_order_in_which_they_came() -> None:
    one_a_turn, turns = OneATurn(), LoopTurns()
    went: list[tuple[int, int]] = []

    async def go(number: int) -> None:
        await one_a_turn()
        went.append((turns.count, number))

    await asyncio.gather(*(go(number) for number in range(10)))
    turns.stop()

    assert [number for _, number in went] == list(range(10))
    assert len({turn for turn, _ in went}) == 10


async def test_one_that_is_canceled_in_the_line_holds_up_nobody() -> None:
    one_a_turn = OneATurn()
    first, second, third = (asyncio.create_task(one_a_turn()) for _ in range(3))
    await asyncio.sleep(0)

    second.cancel()
    await asyncio.gather(first, third)

    assert second.cancelled()
