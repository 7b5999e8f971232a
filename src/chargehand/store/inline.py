"""SQLite connections that a cancel cannot tear: what a driver's thread has begun is awaited to its end.

aiosqlite hands each call to a thread and back; a caller that is canceled in between would leave the call
running on a connection that nobody waits for. Here such a cancel stays noted on the caller's task, and
store/database.py raises it when the transaction is over. One that comes between two statements ends the transaction.

Short statements, the writer's and those that read by a key, run where they are awaited, on a connection without
aiosqlite; only what can block goes to a thread: COMMIT (it waits for the disk), and whatever finds another process
writing. A write transaction of the hot path would else make some fifty hand-overs, each dearer than its statement.
A long one gives the event loop turns between its statements. Measured: see docs/decisions/0003-sqlite-write-path.md,
0010-journal-speed.md and 0024-turns-of-the-loop.md.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite
from sqlalchemy import Connection, CursorResult, Dialect, Engine, Executable, ScalarResult, exc

Result = TypeVar("Result")
Steady = TypeVar("Steady", bound="SteadyConnection")

BUSY_SECONDS = 10
"""How long a statement waits for another process that writes."""

HELD_SECONDS = 0.0003
"""After so long in one go, what else the event loop has to do comes first."""


class _Answer(asyncio.Future[Any]):
    """What a thread will answer. A cancel of who awaits it stays noted on that task, and the answer is waited for.

    A shield in a loop says the same, and takes two turns of the event loop more to wake the caller.
    """

    def cancel(self, msg: object = None) -> bool:
        del msg
        return True

    def give(self, call: Callable[[], object]) -> None:
        """In the thread: make the call, and answer with what comes of it."""
        try:
            tell = partial(self.set_result, call())
        except BaseException as error:  # noqa: BLE001 - the caller gets it, whatever it is
            tell = partial(self.set_exception, error)
        try:
            self.get_loop().call_soon_threadsafe(tell)
        finally:
            del self, tell  # else an error holds its own frame, and what was asked with it


class SteadyConnection(aiosqlite.Connection):
    """An aiosqlite connection whose calls are not cut off."""

    async def _execute(self, fn: Callable[..., Result], *args: Any, **kwargs: Any) -> Any:
        if not self._running or not self._connection:
            raise ValueError("Connection closed")  # what the base class says, and SQLAlchemy understands
        return await self._in_thread(partial(fn, *args, **kwargs))

    async def _connect(self: Steady) -> Steady:
        try:
            self._connection = await self._in_thread(self._connector)
        except BaseException:
            await self._end_thread()
            raise
        return self

    async def close(self) -> None:
        """Close the file and end the thread."""
        if self._connection is None:
            return
        try:
            await self._in_thread(self._connection.close)
        finally:
            await self._end_thread()

    async def _end_thread(self) -> None:
        self._connection = None
        ended = cast("asyncio.Future[None] | None", self.stop())  # pyright: ignore[reportUnknownMemberType] - untyped there
        if ended is not None:
            await _to_its_end(ended)

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        answer = _Answer()
        self._tx.put_nowait((answer, call))  # pyright: ignore[reportUnknownMemberType] - untyped there
        return await answer


class InlineConnection:
    """One connection for short statements; it offers what the store uses of an AsyncConnection.

    The transaction is the driver's own: SQLAlchemy only carries statements over and makes rows of the answers.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, "sqlite")
        self._opened: tuple[Connection, sqlite3.Connection] | None = None
        self._held_since = 0.0

    async def open(self) -> None:
        """Begin to use it: open the file, when that has not been done."""
        if self._opened is None:
            self._opened = await self._in_thread(self._connect)
        self._held_since = time.perf_counter()

    async def close(self) -> None:
        """Close the file and end the thread."""
        if self._opened is not None:
            connection, _ = self._opened
            self._opened = None
            await self._in_thread(connection.close)
        self._thread.shutdown()

    async def begin(self) -> None:
        """Take the write lock; another process that has it is waited for."""
        await self._inline(partial(self._driver.execute, "BEGIN IMMEDIATE"))

    async def commit(self) -> None:
        """Make the transaction durable, in the thread: it waits for the disk."""
        await self._in_thread(self._driver.commit)

    def rollback(self) -> None:
        """Forget the transaction, if one is open."""
        self._driver.rollback()

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """As AsyncConnection's."""
        return await self._inline(partial(self._connection.execute, statement, parameters))

    async def scalar(self, statement: Executable, parameters: Any = None) -> Any:
        """As AsyncConnection's."""
        return (await self.execute(statement, parameters)).scalar()

    async def scalars(self, statement: Executable, parameters: Any = None) -> ScalarResult[Any]:
        """As AsyncConnection's."""
        return (await self.execute(statement, parameters)).scalars()

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> CursorResult[Any]:
        """As AsyncConnection's."""
        return await self._inline(partial(self._connection.exec_driver_sql, statement, parameters))

    @property
    def dialect(self) -> Dialect:
        """As AsyncConnection's."""
        return self._engine.dialect

    @property
    def _connection(self) -> Connection:
        if self._opened is None:
            raise ValueError("Connection closed")
        return self._opened[0]

    @property
    def _driver(self) -> sqlite3.Connection:
        if self._opened is None:
            raise ValueError("Connection closed")
        return self._opened[1]

    def _connect(self) -> tuple[Connection, sqlite3.Connection]:
        connection = self._engine.connect()
        return connection, cast("sqlite3.Connection", connection.connection.driver_connection)

    async def _inline(self, call: Callable[[], Result]) -> Result:
        if time.perf_counter() - self._held_since > HELD_SECONDS:
            await asyncio.sleep(0)
            self._held_since = time.perf_counter()
        try:
            return call()
        except (sqlite3.OperationalError, exc.OperationalError) as error:
            if not _is_busy(error):
                raise
        return await self._in_thread(partial(self._patiently, call))

    def _patiently(self, call: Callable[[], Result]) -> Result:
        """Another process writes: wait for it, in the thread."""
        self._driver.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        try:
            return call()
        finally:
            self._driver.execute("PRAGMA busy_timeout=0")

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        answer = _Answer()
        self._thread.submit(answer.give, call)
        return await answer


def _is_busy(error: sqlite3.OperationalError | exc.OperationalError) -> bool:
    cause = error.orig if isinstance(error, exc.OperationalError) else error
    return isinstance(cause, sqlite3.OperationalError) and cause.sqlite_errorcode == sqlite3.SQLITE_BUSY


def connect_inline(path: Path) -> sqlite3.Connection:
    """Open a file; both the event loop's thread and the connection's own may use it, never at the same time."""
    return sqlite3.connect(path, check_same_thread=False)


async def connect(path: Path) -> SteadyConnection:
    """Open a file, with a thread that all calls go to."""
    connection = SteadyConnection(partial(connect_inline, path), iter_chunk_size=64)
    # As SQLAlchemy does for the connections that it makes: a forgotten one must not keep the process alive.
    connection._thread.daemon = True  # pyright: ignore[reportPrivateUsage] - no public way
    await connection
    return connection


async def _to_its_end(answer: "asyncio.Future[Result]") -> Result:
    """Await what a thread will answer, whatever happens to the caller meanwhile."""
    while True:
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            # Noted on the task, which counts its cancels; raised when the transaction is over.
            if answer.cancelled():
                raise
