"""What signals between processes cost: `python -m bench.signals URL` with the address of a Redis or PostgreSQL server.

1,000 streams listen, 500 hints a second come for 5 s: with one channel for all, as the bus does it, and with a channel
per stream on Redis, as it could. Printed: CPU of the listening process per hint, and how long a hint took.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from chargehand.store.bus import CHANGED, Bus
from chargehand.store.exchange import Exchange
from chargehand.store.postgresql_bus import PostgresqlExchange
from chargehand.store.redis_bus import RedisExchange
from chargehand.store.redis_client import open_redis
from chargehand.store.server_url import server_url
from chargehand.store.signals import Signals

STREAMS = 1000
PER_SECOND = 500
SECONDS = 5


def topics() -> list[str]:
    """Ids as tasks have them."""
    return [f"0193{number:04}-0000-7000-8000-000000000000" for number in range(STREAMS)]


async def hints(send: Callable[[str], None]) -> None:
    """Evenly, twenty at a time as commits are shared."""
    names = topics()
    for turn in range(SECONDS * PER_SECOND // 20):
        for number in range(20):
            send(names[(turn * 20 + number) % STREAMS])
        await asyncio.sleep(20 / PER_SECOND)


async def one_channel(exchange: Callable[[], Exchange]) -> dict[str, float]:
    """Both ends in this process, so the CPU is that of both."""
    here, there = Signals(Bus(exchange())), Signals(Bus(exchange()))
    took: list[float] = []
    began: dict[str, float] = {}
    async with here.bus.running(), there.bus.running():
        await asyncio.sleep(1)

        def seen(topic: str) -> None:
            took.append(time.perf_counter() - began[topic])

        there.bus.hear(CHANGED, seen)

        def send(topic: str) -> None:
            began[topic] = time.perf_counter()
            here.notify(topic)

        cpu = time.process_time()
        await hints(send)
        await asyncio.sleep(0.5)
        return told(took, time.process_time() - cpu)


async def channel_each(url: str) -> dict[str, float]:
    """As it could be on Redis: each stream subscribes, each hint is a message."""
    client = cast("Any", open_redis(url))
    hearing = client.pubsub(ignore_subscribe_messages=True)
    began_all = time.perf_counter()
    for topic in topics():
        await hearing.subscribe(f"bench:{topic}")
    subscribed = time.perf_counter() - began_all
    took: list[float] = []
    began: dict[str, float] = {}
    waiting: asyncio.Queue[str] = asyncio.Queue()

    async def hear() -> None:
        while True:
            message = await hearing.get_message(timeout=None)
            if message:
                took.append(time.perf_counter() - began[message["channel"].decode().removeprefix("bench:")])

    async def publish() -> None:
        while True:
            topic = await waiting.get()
            await client.publish(f"bench:{topic}", b"")

    def send(topic: str) -> None:
        began[topic] = time.perf_counter()
        waiting.put_nowait(topic)

    both = [asyncio.create_task(hear()), asyncio.create_task(publish())]
    cpu = time.process_time()
    await hints(send)
    await asyncio.sleep(0.5)
    result = told(took, time.process_time() - cpu)
    for one in both:
        one.cancel()
    await asyncio.wait(both, timeout=1)
    await hearing.aclose()
    await client.aclose()
    return {**result, "subscribe_ms_each": round(subscribed * 1000 / STREAMS, 3)}


def told(took: list[float], cpu: float) -> dict[str, float]:
    """In the units of the decision record."""
    took.sort()
    return {
        "hints": len(took),
        "cpu_us_per_hint": round(cpu / len(took) * 1e6, 1),
        "p50_ms": round(took[len(took) // 2] * 1000, 2),
        "p99_ms": round(took[len(took) * 99 // 100] * 1000, 2),
    }


async def notify_cost(exchange: Callable[[], Exchange]) -> float:
    """Microseconds that a commit spends on telling."""
    signals = Signals(Bus(exchange()))
    async with signals.bus.running():
        await asyncio.sleep(1)
        names = topics()
        began = time.perf_counter()
        for topic in names:
            signals.notify(topic)
        return round((time.perf_counter() - began) / len(names) * 1e6, 2)


async def main(url: str) -> None:
    """Everything that the server allows."""
    is_redis = url.startswith("redis")

    def exchange() -> Exchange:
        return RedisExchange(url) if is_redis else PostgresqlExchange(server_url(url))

    print("notify, in microseconds:", await notify_cost(exchange))  # noqa: T201 - a person reads it
    print("one channel:", await one_channel(exchange))  # noqa: T201 - as above
    if is_redis:
        print("a channel each:", await channel_each(url))  # noqa: T201 - as above


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
