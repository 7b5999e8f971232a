"""SQLite behind the port of store/database.py: one writer, a few readers, and one that only glances.

Rule: a write transaction begins IMMEDIATE (one that starts deferred and then writes fails at once with
"database is locked" instead of waiting).
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from sqlalchemy import Engine, FromClause, NullPool, create_engine, event, exc
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from chargehand.cancels import HeldBackCancels
from chargehand.clock import Clock
from chargehand.errors import StorageFull, Unavailable
from chargehand.failpoint import fail_point
from chargehand.store.database import Database, Tx, from_json
from chargehand.store.inline import BUSY_SECONDS, InlineConnection, connect, connect_inline

READERS = 4


class SqliteDatabase(Database):
    """An opened SQLite file. `start` and `stop` do the I/O."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._writer = InlineConnection(_inline_engine(path, query_only=False))
        self._readers = _reading_engine(path)
        self._glancer = InlineConnection(_inline_engine(path, query_only=True))
        self._turn = asyncio.Lock()
        self._glancing = asyncio.Lock()
        self._is_open = True

    async def stop(self) -> None:
        """Let the open transaction end, take no more, close every connection."""
        async with self._turn:
            self._is_open = False
        await self._readers.dispose()
        async with self._glancing:
            await self._glancer.close()
        # The last to be closed leaves nothing beside the database's file.
        await self._writer.close()

    @asynccontextmanager
    async def read(self, tenant: str | None = None) -> AsyncGenerator[Tx, None]:
        """Each statement sees what was last committed; readers never block a writer, nor a writer them."""
        del tenant
        self._require_open()
        with HeldBackCancels():
            async with _told_plainly(), self._readers.connect() as connection:
                yield Tx(connection=connection, now=self._clock.now())

    @asynccontextmanager
    async def glance(self, tenant: str | None = None) -> AsyncGenerator[Tx, None]:
        """As `read`, for a few rows by their keys: answered at once, where a thread would cost more than they do."""
        del tenant
        self._require_open()
        with HeldBackCancels():
            async with self._glancing, _told_plainly():
                await self._glancer.open()
                yield self._tx(self._glancer)

    @asynccontextmanager
    async def write(self, tenant: str | None = None) -> AsyncGenerator[Tx, None]:
        """The one writer. The commit is on disk (synchronous=FULL) before the hints are sent.

        A cancel of the caller is raised before the commit or after the hints; so what is durable is always told.
        """
        del tenant
        async with self._turn, _told_plainly():
            self._require_open()
            with HeldBackCancels() as cancels:
                await self._writer.open()
                if self.outbox is not None:
                    await self.outbox.ready()
                await self._writer.begin()
                tx = self._tx(self._writer)
                try:
                    cancels.let_through()
                    yield tx
                    fail_point("store.before_commit")
                    await self._writer.commit()
                except BaseException:
                    self._writer.rollback()
                    raise
                fail_point("store.after_commit")
                tx.send_hints()

    def _tx(self, connection: InlineConnection) -> Tx:
        return Tx(connection=cast("AsyncConnection", connection), now=self._clock.now(), outbox=self.outbox)

    def _require_open(self) -> None:
        if not self._is_open:
            raise Unavailable("the service is stopping and takes no more; ask again when it is back")


@asynccontextmanager
async def _told_plainly() -> AsyncGenerator[None, None]:
    """Database faults as errors that name the way out."""
    try:
        yield
    except (exc.OperationalError, sqlite3.OperationalError) as error:
        message = str(error.orig if isinstance(error, exc.OperationalError) else error)
        if "disk is full" in message:
            raise StorageFull("the disk is full; free space in the data folder's file system") from error
        if "readonly" in message or "unable to open" in message:
            raise Unavailable(f"the database cannot be written ({message}); check the data folder") from error
        raise Unavailable(f"the database did not answer ({message})") from error


def _reading_engine(path: Path) -> AsyncEngine:
    """Connections that only read, each with a thread of its own."""
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        async_creator=lambda: connect(path),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=60,
        # A reader has no transaction to roll back when its connection goes back to the pool.
        pool_reset_on_return=None,
        json_deserializer=from_json,
    )
    _prepare_each(engine.sync_engine, busy_seconds=BUSY_SECONDS, query_only=True)
    return engine


def _inline_engine(path: Path, *, query_only: bool) -> Engine:
    """What one connection is made with that is kept and shared in turns."""
    url = URL.create("sqlite+pysqlite", database=str(path))
    engine = create_engine(
        url, creator=lambda: connect_inline(path), poolclass=NullPool, json_deserializer=from_json
    )
    _prepare_each(engine, busy_seconds=0, query_only=query_only)
    return engine


class _Compiler(SQLiteCompiler):
    """SQLAlchemy leaves out hints for SQLite, which has one: INDEXED BY."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        del table
        return text


def _prepare_each(engine: Engine, *, busy_seconds: int, query_only: bool) -> None:
    engine.dialect.statement_compiler = _Compiler

    def prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        del entry
        # The driver's own BEGIN is deferred and late; the writer sends its own.
        connection.isolation_level = None  # pyright: ignore[reportAttributeAccessIssue] - sqlite3's own attribute
        cursor = connection.cursor()
        try:
            for pragma in (
                f"busy_timeout={busy_seconds * 1000}",
                "journal_mode=WAL",
                "synchronous=FULL",
                # On macOS only this reaches the disk itself; elsewhere it changes nothing.
                "fullfsync=ON",
                "checkpoint_fullfsync=ON",
                "foreign_keys=ON",
                "temp_store=MEMORY",
                f"query_only={'ON' if query_only else 'OFF'}",
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()
        except BaseException:
            # The pool forgets a connection that it could not prepare, and with it the connection's thread.
            connection.close()
            raise

    event.listen(engine, "connect", prepare)


def integrity_problem(path: Path) -> str | None:
    """What SQLite's own check says of the file, or None when all is well."""
    with sqlite3.connect(path) as connection:
        verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return None if verdict == "ok" else verdict
