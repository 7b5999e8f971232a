"""Migrations of a database on a server, one process at a time.

Rule: an empty database is filled by whoever comes first. One of an earlier version is brought up by the operator
(`chargehand db upgrade`), because other processes may be at work on it; until then a new version refuses to start.
"""

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from chargehand.errors import Unavailable
from chargehand.store import migrate
from chargehand.store.server_look import connected, look, revision_of, unfinished_tables

LOCK = "chargehand.migrate"


async def upgrade(url: URL) -> str | None:
    """Bring the database to HEAD while nobody else does; the revision it was at before."""
    async with connected(url) as connection:
        await connection.run_sync(take_lock)
        await connection.run_sync(_compare_letter_by_letter)
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
        # On MySQL it may be one on the way, of another process that fills or upgrades the database just now.
        require_head(await _settled_revision(url) or standing.revision)


async def _settled_revision(url: URL) -> str | None:
    """The revision when nobody migrates."""
    async with connected(url) as connection:
        await connection.run_sync(take_lock)
        return await connection.run_sync(revision_of)


def require_head(revision: str) -> None:
    """Unavailable for a schema of another version; the message says which of the two is older, and what to do."""
    if revision != migrate.HEAD:
        migrate.require_known(revision)
        raise Unavailable(
            f"the database is at revision {revision} and this version needs {migrate.HEAD}; run `chargehand db upgrade`"
            " once (processes of the version before go on meanwhile)"
        )


def take_lock(connection: Connection) -> None:
    """PostgreSQL's is free again with the transaction; MySQL's with the connection, since its DDL ends transactions."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": LOCK})
        return
    got = connection.scalar(text("SELECT GET_LOCK(:name, 600)"), {"name": LOCK})
    if got != 1:
        raise Unavailable("another process has been migrating the database for ten minutes; see what it does")


def _compare_letter_by_letter(connection: Connection) -> None:
    """Names and keys, as SQLite and PostgreSQL do."""
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
