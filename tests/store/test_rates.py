"""Rates: the same allowance counted in a process and in Redis; and what a process does while Redis is away."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest

from chargehand.store import rates as rates_module
from chargehand.store.rates import MOST_KEYS, LocalRates, Rate, Rates, RedisRates
from chargehand.store.redis_client import open_redis
from tests.cut import Cut
from tests.given import TestClock
from tests.store.test_bus import through

SLOW = Rate(per_second=0.01, burst=3)


@pytest.fixture(params=["local", "redis"])
async def rates(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Rates, None]:
    if request.param == "local":
        yield LocalRates()
        return
    # However slow the machine is: what is tested is what Redis counts.
    monkeypatch.setattr(rates_module, "REDIS_SECONDS", 20.0)
    counted = RedisRates(request.getfixturevalue("redis_url"), lambda: 1)
    yield counted
    await counted.aclose()


@pytest.fixture
def key() -> str:
    return f"test:{uuid4()}"


async def test_a_burst_is_allowed_and_then_one_per_interval(rates: Rates, key: str) -> None:
    assert [await rates.take(key, SLOW) for _ in range(3)] == [0, 0, 0]

    wait = await rates.take(key, SLOW)

    assert 95 < wait <= 100


async def test_a_refusal_takes_nothing(rates: Rates, key: str) -> None:
    for _ in range(3):
        await rates.take(key, SLOW)
    waits = [await rates.take(key, SLOW) for _ in range(20)]

    assert max(waits) <= 100
    assert sorted(waits, reverse=True) == waits


async def test_after_the_wait_that_was_told_it_is_allowed(rates: Rates, key: str) -> None:
    fast = Rate(per_second=20.0)
    assert await rates.take(key, fast) == 0
    wait = await rates.take(key, fast)
    assert 0 < wait <= 0.05
    await asyncio.sleep(wait + 0.002)

    assert await rates.take(key, fast) == 0


async def test_keys_have_allowances_of_their_own(rates: Rates, key: str) -> None:
    for _ in range(3):
        await rates.take(key, SLOW)

    assert await rates.take(key, SLOW) > 0
    assert await rates.take(f"{key}:other", SLOW) == 0


async def test_of_many_at_once_no_more_than_the_burst_is_allowed(rates: Rates, key: str) -> None:
    waits = await asyncio.gather(*(rates.take(key, SLOW) for _ in range(30)))

    assert sum(wait == 0 for wait in waits) == 3


async def test_two_processes_share_what_redis_counts_and_it_forgets_it_in_time(
    redis_url: str, key: str
) -> None:
    one, other = RedisRates(redis_url, lambda: 2), RedisRates(redis_url, lambda: 2)
    waits = [await rates.take(key, SLOW) for rates in (one, other, one, other)]
    await one.aclose()
    await other.aclose()

    assert [wait == 0 for wait in waits] == [True, True, True, False]
    client = open_redis(redis_url)
    [kept] = [one async for one in client.scan_iter(match=f"*{key}")]
    seconds = await client.ttl(kept)
    await client.aclose()
    assert 290 < seconds <= 302


async def test_while_redis_is_away_each_process_counts_its_share_and_then_all_together_again(
    redis_url: str, key: str
) -> None:
    clock = TestClock()
    async with Cut.before(redis_url) as cut:
        rates = RedisRates(through(redis_url, cut.port), lambda: 2, clock.monotonic)
        rate = Rate(per_second=0.01, burst=4)
        assert await rates.take(key, rate) == 0
        await cut.down()
        alone = [await rates.take(key, rate) for _ in range(3)]
        await cut.up()
        clock.advance(rates_module.AWAY_SECONDS)
        together = [await rates.take(key, rate) for _ in range(4)]
        await rates.aclose()

    assert [wait == 0 for wait in alone] == [True, True, False]
    assert [wait == 0 for wait in together] == [True, True, True, False]


async def test_a_redis_that_only_swallows_holds_a_request_up_once(
    redis_url: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates_module, "REDIS_SECONDS", 0.1)
    monkeypatch.setattr(rates_module, "AWAY_SECONDS", 3600.0)
    async with Cut.before(redis_url) as cut:
        rates = RedisRates(through(redis_url, cut.port), lambda: 1)
        await rates.take(key, SLOW)
        cut.swallow()
        async with asyncio.timeout(5):
            assert [await rates.take(key, SLOW) for _ in range(3)] == [0, 0, 0]
            assert await rates.take(key, SLOW) > 0
        await rates.aclose()


async def test_a_process_remembers_no_more_keys_than_a_bound_and_forgets_the_whole_ones_first() -> None:
    clock = TestClock()
    rates = LocalRates(clock.monotonic)
    for number in range(MOST_KEYS):
        await rates.take(f"old-{number}", Rate(per_second=1000.0))
    clock.advance(1)
    assert [await rates.take("used up", SLOW) for _ in range(4)][-1] > 0
    for number in range(MOST_KEYS // 2):
        await rates.take(f"new-{number}", Rate(per_second=1000.0))

    assert await rates.take("used up", SLOW) > 0
    assert rates.known <= MOST_KEYS


def test_a_share_is_never_nothing() -> None:
    assert Rate(per_second=4.0, burst=4).shared_by(8) == Rate(per_second=0.5, burst=1)
