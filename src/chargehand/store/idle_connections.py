"""Connections of a pool that lay idle for a while are asked for a sign of life before they are used again.

One that was in use a moment ago is not: the question is a round trip, and on PostgreSQL three.
"""

import time

from sqlalchemy import event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

TRUSTED_SECONDS = 1.0
_IDLE_SINCE = "idle_since"


def replace_dead_connections(engine: AsyncEngine) -> None:
    """Have the pool replace a connection that does not answer, with all that are as old as it."""
    sync_engine = engine.sync_engine

    def returned(connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        del connection
        entry.info[_IDLE_SINCE] = time.monotonic()

    def taken(connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
        del proxy
        if time.monotonic() - entry.info.get(_IDLE_SINCE, time.monotonic()) < TRUSTED_SECONDS:
            return
        dialect = sync_engine.dialect
        try:
            is_alive = dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error:
            is_alive = False
        if not is_alive:
            # The pool connects anew and asks again.
            raise exc.InvalidatePoolError

    event.listen(sync_engine, "checkin", returned)
    event.listen(sync_engine, "checkout", taken)
