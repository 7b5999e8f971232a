"""SQLite connections that a cancel cannot tear: what a driver's thread has begun is awaited to its end.

aiosqlite hands each call to a thread and back; a caller that is canceled in between would leave the call
running on a connection that nobody waits for. Here the cancel stays noted on the caller's task, and
store/database.py raises it when the transaction is over.

Short statements, the writer's and those that read by a key, run where they are awaited; only what can block goes
to the thread: COMMIT (it waits for the disk), and whatever finds another process writing. A write transaction of
the hot path would else make some fifty hand-overs, each dearer than its statement. Measured: see
docs/decisions/0003-sqlite-write-path.md.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite

Result = TypeVar("Result")
Steady = TypeVar("Steady", bound="SteadyConnection")

_BLOCKING_CALLS = frozenset({"commit"})

BUSY_SECONDS = 10
"""How long a statement waits for another process that writes."""


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
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((answer, call))  # pyright: ignore[reportUnknownMemberType] - untyped there
        return await _to_its_end(answer)


class InlineConnection(SteadyConnection):
    """A connection for short statements."""

    async def _execute(self, fn: Callable[..., Result], *args: Any, **kwargs: Any) -> Any:
        if fn.__name__ in _BLOCKING_CALLS or not self._connection:
            return await super()._execute(fn, *args, **kwargs)
        try:
            return fn(*args, **kwargs)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
        return await super()._execute(self._patiently, partial(fn, *args, **kwargs))

    def _patiently(self, call: Callable[[], Result]) -> Result:
        """Another process writes: wait for it, in the thread."""
        self._conn.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        try:
            return call()
        finally:
            self._conn.execute("PRAGMA busy_timeout=0")


async def connect(kind: type[Steady], path: Path) -> Steady:
    """Open a file; both the event loop's thread and the connection's own may use it, never at the same time."""

    def connector() -> sqlite3.Connection:
        return sqlite3.connect(path, check_same_thread=False)

    connection = kind(connector, iter_chunk_size=64)
    # As SQLAlchemy does for the connections that it makes: a forgotten one must not keep the process alive.
    connection._thread.daemon = True  # pyright: ignore[reportPrivateUsage] - no public way
    await connection
    return connection


async def _to_its_end(answer: "asyncio.Future[Any]") -> Any:
    """Await what a thread will answer, whatever happens to the caller meanwhile."""
    while True:
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            # Noted on the task, which counts its cancels; raised when the transaction is over.
            if answer.cancelled():
                raise
