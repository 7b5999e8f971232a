"""The bus over PostgreSQL's LISTEN and NOTIFY: one channel, on a connection of its own beside the pool.

A notification is at most 8,000 bytes and kept by the server for every listener, so what models are saying
does not travel this way. Behind a pooler that hands out connections by transaction LISTEN does not work.
"""

import asyncio
import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy.engine import URL

from chargehand.store.bus import SEND_SECONDS
from chargehand.store.exchange import Exchange, Line, LineLost
from chargehand.store.server_url import CONNECT_SECONDS

CHANNEL = "chargehand"


class PostgresqlExchange(Exchange):
    """Lines over one database."""

    name = "postgresql"
    carries_said = False

    def __init__(self, url: URL) -> None:
        # What the driver is given for the pool's connections too.
        _, arguments = url.get_dialect()().create_connect_args(url)
        self._arguments = {
            name: value for name, value in arguments.items() if not name.startswith("prepared_statement_")
        }

    @asynccontextmanager
    async def line(self, process: str) -> AsyncGenerator[Line, None]:
        """One connection, which hears and sends."""
        with _failures():
            connection: Any = await _driver().connect(
                **self._arguments,
                timeout=CONNECT_SECONDS,
                command_timeout=SEND_SECONDS,
                server_settings={"application_name": f"chargehand signals {process}"},
            )
        try:
            line = _PostgresqlLine(connection)
            with _failures():
                await connection.add_listener(CHANNEL, line.take)
            connection.add_termination_listener(line.end)
            yield line
        finally:
            # Not closed in good order: the server may be gone, and has nothing of ours to keep.
            connection.terminate()


class _PostgresqlLine(Line):
    most_bytes = 7_900

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._came: asyncio.Queue[bytes | None] = asyncio.Queue()

    def take(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        del connection, pid, channel
        self._came.put_nowait(payload.encode())

    def end(self, connection: Any) -> None:
        del connection
        self._came.put_nowait(None)

    async def send(self, text: bytes) -> None:
        with _failures():
            await self._connection.execute("SELECT pg_notify($1, $2)", CHANNEL, text.decode())

    async def heard(self) -> AsyncIterator[bytes]:
        while (text := await self._came.get()) is not None:
            yield text


def _driver() -> Any:
    """An extra, which brings no types."""
    return importlib.import_module("asyncpg")


@contextmanager
def _failures() -> Generator[None, None, None]:
    asyncpg = _driver()
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise LineLost(str(error) or type(error).__name__) from error
