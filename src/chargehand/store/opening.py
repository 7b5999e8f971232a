"""Opens the database that the settings name, and the clock that decides with it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from chargehand.clock import Clock, SystemClock
from chargehand.errors import ChargehandError
from chargehand.store import migrate, server_migrate
from chargehand.store.database import Database
from chargehand.store.outbox import EventOutbox
from chargehand.store.server import ServerDatabase
from chargehand.store.server_clock import ServerClock
from chargehand.store.server_url import ServerLimits, server_url
from chargehand.store.sqlite import SqliteDatabase

log = structlog.stdlib.get_logger("chargehand.database")

CLOCK_SECONDS = 10
"""How often the database server is asked for its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open database. `is_shared`: other processes may be at work on it."""

    db: Database
    clock: Clock
    is_shared: bool
    outbox: EventOutbox


@asynccontextmanager
async def open_database(
    path: Path, url: str | None, limits: ServerLimits, clock: Clock | None = None
) -> AsyncGenerator[Opened, None]:
    """The server's database where `url` names one, else the SQLite file; brought up to date, closed at the end.

    `clock`: instead of the database's own. Raises Unavailable and InvalidInput, which name the setting.
    """
    if url is None:
        migrate.upgrade(path)
        clock = clock or SystemClock()
        db: Database = SqliteDatabase(path, clock)
        try:
            yield _opened(db, clock, is_shared=False)
        finally:
            await db.stop()
        return
    address = server_url(url)
    await server_migrate.require_ready(address)
    asked = ServerClock()
    server = ServerDatabase(address, clock or asked, limits)
    try:
        await asked.ask(server, address)
        asking = asyncio.create_task(_keep_asking(asked, server))
        try:
            yield _opened(server, clock or asked, is_shared=True)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    finally:
        await server.stop()


def _opened(db: Database, clock: Clock, *, is_shared: bool) -> Opened:
    outbox = EventOutbox(db, clock, is_shared=is_shared)
    db.outbox = outbox
    return Opened(db=db, clock=clock, is_shared=is_shared, outbox=outbox)


async def _keep_asking(clock: ServerClock, db: ServerDatabase) -> None:
    while True:
        await asyncio.sleep(CLOCK_SECONDS)
        try:
            await clock.ask(db, db.url)
        except ChargehandError as error:
            log.warning("the database's time cannot be read now", error=error.message)
