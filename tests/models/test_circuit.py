"""The way to a provider: left alone when it keeps failing, tried by one, and never by more than allowed at once."""

import asyncio

import pytest

from chargehand.models.circuit import Way, Ways
from chargehand.models.failure import FailureKind, ModelFailure
from chargehand.models.limits import ModelLimits
from tests import given


def a_way(clock: given.TestClock, *, failures: int = 2, concurrency: int = 4) -> Way:
    limits = ModelLimits(circuit_failures=failures, circuit_seconds=30, concurrency=concurrency)
    return Ways(limits, clock).to("anthropic")


async def fails(way: Way, kind: FailureKind = FailureKind.FAULTY) -> None:
    with pytest.raises(ModelFailure) as failed:
        async with way.taken():
            raise ModelFailure("no", kind)
    assert failed.value.kind is kind


async def answers(way: Way) -> None:
    async with way.taken():
        pass


async def stays_away(way: Way) -> float:
    """How long one is told to stay away."""
    with pytest.raises(ModelFailure) as refused:
        await answers(way)
    assert refused.value.kind is FailureKind.NOT_ASKED
    assert refused.value.retry_after_seconds is not None
    return refused.value.retry_after_seconds


async def test_after_failures_in_a_row_nobody_asks_until_one_may_try() -> None:
    clock = given.TestClock()
    way = a_way(clock)
    await fails(way)
    await fails(way)

    assert await stays_away(way) == 30
    clock.advance(29)
    assert await stays_away(way) == 1
    clock.advance(1)
    async with way.taken():
        assert await stays_away(way) == 30

    await answers(way)
    await answers(way)


async def test_a_try_that_fails_leaves_it_alone_again() -> None:
    clock = given.TestClock()
    way = a_way(clock)
    await fails(way)
    await fails(way)
    clock.advance(30)

    await fails(way)

    assert await stays_away(way) == 30


async def test_a_try_that_is_canceled_lets_another_try() -> None:
    clock = given.TestClock()
    way = a_way(clock)
    await fails(way)
    await fails(way)
    clock.advance(30)
    with pytest.raises(asyncio.CancelledError):
        async with way.taken():
            raise asyncio.CancelledError

    await answers(way)


@pytest.mark.parametrize("kind", [FailureKind.LIMITED, FailureKind.WRONG_KEY, FailureKind.TOO_LARGE])
async def test_what_is_not_the_providers_fault_shows_that_it_is_there(kind: FailureKind) -> None:
    way = a_way(given.TestClock())
    await fails(way)
    await fails(way, kind)
    await fails(way)

    await answers(way)


async def test_further_ones_wait_in_order_and_may_leave() -> None:
    way = a_way(given.TestClock(), concurrency=1)
    order: list[str] = []

    async def one(name: str) -> None:
        async with way.taken():
            order.append(name)

    async with way.taken():
        waiting = [asyncio.ensure_future(one(name)) for name in "abc"]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.wait(waiting[1:2])
        assert order == []
    await asyncio.wait(waiting)

    assert order == ["a", "c"]
