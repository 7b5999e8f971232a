"""The bus over Redis: one channel that all hear, and one of each process for what is said to it.

Redis knows channels by name alone, whatever database the address names; so the number is part of the name.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from chargehand.store.exchange import Exchange, Line, LineLost
from chargehand.store.redis_client import ANSWER_SECONDS, database_number, open_redis, redis_failures


class RedisExchange(Exchange):
    """Lines over one Redis server."""

    name = "redis"
    carries_said = True

    def __init__(self, url: str) -> None:
        self._url = url
        open_redis(url)  # refuses an address that cannot be, and names the extra, at the start
        self._prefix = f"chargehand:{database_number(url)}"

    @asynccontextmanager
    async def line(self, process: str) -> AsyncGenerator[Line, None]:
        """Two connections: one hears, one sends."""
        client = open_redis(self._url)
        # Typed as taking and giving anything: the package's own types differ between its versions.
        hearing = cast("Any", client).pubsub()
        channels = f"{self._prefix}:all", f"{self._prefix}:to:{process}"
        try:
            with redis_failures(LineLost):
                await hearing.subscribe(*channels)
                # Only what is sent after the server's word for it is sure to come.
                for _ in channels:
                    await hearing.get_message(timeout=ANSWER_SECONDS)
            yield _RedisLine(client, hearing, self._prefix)
        finally:
            # A failure here would stand in the place of what ended the block, such as a cancel.
            with suppress(LineLost), redis_failures(LineLost):
                await hearing.aclose()
                await client.aclose()


class _RedisLine(Line):
    most_bytes = 64 * 1024

    def __init__(self, client: Any, hearing: Any, prefix: str) -> None:
        self._client = client
        self._hearing = hearing
        self._prefix = prefix

    async def send(self, text: bytes) -> None:
        with redis_failures(LineLost):
            await self._client.publish(f"{self._prefix}:all", text)

    async def send_to(self, process: str, text: bytes) -> None:
        with redis_failures(LineLost):
            await self._client.publish(f"{self._prefix}:to:{process}", text)

    async def heard(self) -> AsyncIterator[bytes]:
        while True:
            with redis_failures(LineLost):
                message = await self._hearing.get_message(timeout=None)
            if message is not None and message["type"] == "message":
                yield message["data"]
