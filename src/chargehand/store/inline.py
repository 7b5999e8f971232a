"""A SQLite connection whose statements run where they are awaited; only what can block goes to its thread.

aiosqlite hands each call of the driver to a thread and back, four or more times a statement; a write
transaction of the hot path makes some fifty such hand-overs, each dearer than the statement itself. Here only
BEGIN (it may wait for another process's lock) and COMMIT (it waits for the disk) leave the event loop. For the
writer, whose statements are all short; readers, whose are not, keep their threads. Measured: see
docs/decisions/0003-sqlite-write-path.md.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

Result = TypeVar("Result")

_BLOCKING_CALLS = frozenset({"commit", "close"})


class InlineConnection(aiosqlite.Connection):
    """An aiosqlite connection for short statements."""

    async def _execute(self, fn: Callable[..., Result], *args: Any, **kwargs: Any) -> Any:
        sql = args[0] if args else None
        blocks = fn.__name__ in _BLOCKING_CALLS or (isinstance(sql, str) and sql.startswith("BEGIN"))
        if blocks or not self._connection:  # a closed connection is the base class's to refuse
            return await super()._execute(fn, *args, **kwargs)  # pyright: ignore[reportUnknownMemberType] - untyped there
        return fn(*args, **kwargs)


async def connect_inline(path: Path) -> InlineConnection:
    """Open a file; both the event loop's thread and the connection's own use it, never at the same time."""

    def connector() -> sqlite3.Connection:
        return sqlite3.connect(path, check_same_thread=False)

    connection = InlineConnection(connector, iter_chunk_size=64)
    # As SQLAlchemy does for the connections that it makes: a forgotten one must not keep the process alive.
    connection._thread.daemon = True  # pyright: ignore[reportPrivateUsage] - no public way
    await connection
    return connection
