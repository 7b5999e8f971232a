"""A server, or the way to it, that falls silent: a use case fails in bounded time, and the next one works."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from chaos.proxy import ChaosProxy
from chargehand.clock import SystemClock
from chargehand.errors import Unavailable
from chargehand.store.database import Tx
from chargehand.store.server import ServerDatabase
from chargehand.store.server_url import ANSWER_MARGIN_SECONDS, ServerLimits, server_url
from tests.databases import a_database

DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306}
STATEMENT_SECONDS = 0.5
BOUND_SECONDS = STATEMENT_SECONDS + ANSWER_MARGIN_SECONDS + 5.0
"""The answer's time, the close of the connection (2 s), and what a busy machine adds."""


@pytest.fixture(params=[*DEFAULT_PORTS])
def address(request: pytest.FixtureRequest) -> str:
    """An empty database on each server in turn."""
    return a_database(str(request.param))


@asynccontextmanager
async def a_database_behind_a_proxy(address: str) -> AsyncGenerator[tuple[ServerDatabase, ChaosProxy], None]:
    place = urlsplit(address)
    proxy = ChaosProxy("database", place.port or DEFAULT_PORTS[place.scheme])
    await proxy.start()
    who = place.netloc.rpartition("@")[0]
    url = server_url(place._replace(netloc=f"{who}@127.0.0.1:{proxy.port}").geturl())
    limits = ServerLimits(connections=2, statement_seconds=STATEMENT_SECONDS)
    db = ServerDatabase(url, SystemClock(), limits)
    try:
        yield db, proxy
    finally:
        proxy.cut()
        await db.stop()
        await proxy.stop()


async def ask(tx: Tx) -> int:
    return await tx.connection.scalar(text("SELECT 1")) or 0


async def write_until_silence(db: ServerDatabase, proxy: ChaosProxy, moment: str) -> None:
    async with db.write() as tx:
        await ask(tx)
        proxy.forget()
        if moment == "statement":
            await ask(tx)


async def test_an_idle_connection_that_is_half_open_is_found_out_and_replaced(address: str) -> None:
    async with a_database_behind_a_proxy(address) as (db, proxy):
        async with db.read() as tx:
            assert await ask(tx) == 1
        proxy.forget()

        # Whether the driver sees it when it looks at the connection, or the use case fails.
        async with asyncio.timeout(BOUND_SECONDS):
            with suppress(Unavailable):
                async with db.read() as tx:
                    await ask(tx)

        async with asyncio.timeout(BOUND_SECONDS), db.read() as tx:
            assert await ask(tx) == 1


@pytest.mark.parametrize("moment", ["statement", "commit"])
async def test_a_transaction_whose_connection_falls_silent_ends_in_time(address: str, moment: str) -> None:
    async with a_database_behind_a_proxy(address) as (db, proxy):
        async with asyncio.timeout(2 * BOUND_SECONDS):
            with pytest.raises(Unavailable, match="not answer"):
                await write_until_silence(db, proxy, moment)

        async with asyncio.timeout(BOUND_SECONDS), db.write() as tx:
            assert await ask(tx) == 1
