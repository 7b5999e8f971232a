"""Migrations of a database on a server, one process at a time.

Rule: an empty database is filled by whoever comes first. One of an earlier version is brought up by the operator
(`chargehand db upgrade`), because other processes may be at work on it; until then a new version refuses to start.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from chargehand.errors import RaceLost, Unavailable
from chargehand.store import migrate
from chargehand.store.server_look import connected, look, revision_of, unfinished_tables

log = structlog.stdlib.get_logger("chargehand.migrate")

LOCK = "chargehand.migrate"
_HASHED = f"hashtext('{LOCK}')"
_OF_THIS_DATABASE = f"CONCAT('{LOCK}.', SHA1(DATABASE()))"
"""MySQL's locks are of the whole server; PostgreSQL's are of one database."""


async def upgrade(url: URL) -> str | None:
    """Bring the database to HEAD while nobody else does; the revision it was at before."""
    async with _locked(url) as connection:
        await connection.run_sync(_use_binary_collation)
        before = await connection.run_sync(revision_of)
        if before != migrate.HEAD:
            if before is None:
                await connection.run_sync(_clear)
            await connection.run_sync(migrate.run_revisions, before)
        await connection.commit()
    return before


async def revision(url: URL) -> str | None:
    """The revision that the database is at; None for an empty one."""
    async with connected(url) as connection:
        return await connection.run_sync(revision_of)


async def require_ready(url: URL) -> None:
    """Fill an empty database; Unavailable when the server, its version or the schema will not do, saying why."""
    standing = await look(url)
    if standing.revision is None:
        await upgrade(url)
    elif standing.revision != migrate.HEAD:
        migrate.require_known(standing.revision)
        # It may be one on the way, of another process that fills or upgrades the database just now.
        async with _locked(url) as connection:
            settled = await connection.run_sync(revision_of)
        # None: somebody emptied it meanwhile; what is told of before leads to the same command.
        require_head(settled or standing.revision)


def require_head(revision: str) -> None:
    """Unavailable for a schema of another version; the message says which of the two is older, and what to do."""
    if revision != migrate.HEAD:
        migrate.require_known(revision)
        raise Unavailable(
            f"the database is at revision {revision} and this version needs {migrate.HEAD}; run `chargehand db upgrade`"
            " once (processes of the version before go on meanwhile)"
        )


@asynccontextmanager
async def _locked(url: URL) -> AsyncGenerator[AsyncConnection, None]:
    """A connection while nobody else migrates."""
    try:
        async with connected(url) as connection:
            if not await connection.run_sync(take_lock, False):
                log.warning("another process migrates the database; waiting for it")
                await connection.run_sync(take_lock, True)
            yield connection
    except RaceLost as lost:
        raise Unavailable(
            f"other transactions keep the database from being migrated: {lost.message}"
        ) from lost


def take_lock(connection: Connection, waits: bool) -> bool:
    """PostgreSQL's is free again with the transaction; MySQL's with the connection, since its DDL ends transactions."""
    if connection.dialect.name == "postgresql":
        if not waits:
            return bool(connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({_HASHED})")))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_HASHED})"))
        return True
    got = connection.scalar(
        text(f"SELECT GET_LOCK({_OF_THIS_DATABASE}, :seconds)"), {"seconds": 600 if waits else 0}
    )
    if waits and got != 1:
        raise Unavailable("another process has been migrating the database for ten minutes; see what it does")
    return got == 1


def _use_binary_collation(connection: Connection) -> None:
    """Names and keys are compared letter by letter, as SQLite and PostgreSQL do."""
    if connection.dialect.name == "mysql":
        connection.execute(text("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))


def _clear(connection: Connection) -> None:
    """Take away what a first migration that was cut off has left on MySQL: tables of ours, without rows."""
    tables = unfinished_tables(connection)
    if not tables or connection.dialect.name != "mysql":
        return
    quoted = ", ".join(connection.dialect.identifier_preparer.quote(table) for table in tables)
    connection.execute(text("SET SESSION foreign_key_checks = 0"))
    connection.execute(text(f"DROP TABLE {quoted}"))
    connection.execute(text("SET SESSION foreign_key_checks = 1"))
