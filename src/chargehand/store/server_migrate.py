"""Migrations of a database on a server, one process at a time; and whether a server is one that this code can use.

Rule: an empty database is filled by whoever comes first. One of an earlier version is brought up by the operator
(`chargehand db upgrade`), because other processes may be at work on it; until then a new version refuses to start.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy import Connection, NullPool, exc, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from chargehand.errors import Unavailable
from chargehand.store import migrate
from chargehand.store.server_faults import told_plainly
from chargehand.store.server_url import SETTING, ServerLimits

LOCK = "chargehand.migrate"
PATIENT = ServerLimits(connections=2, statement_seconds=3600, lock_seconds=600, idle_transaction_seconds=3600)
LEAST = {"PostgreSQL": (15, 0), "MariaDB": (10, 6), "MySQL": (8, 0)}
"""SKIP LOCKED, CTEs and enforced CHECK constraints; PostgreSQL as far back as it is tested."""


async def upgrade(url: URL) -> str | None:
    """Bring the database to HEAD while nobody else does; the revision it was at before."""
    async with _connected(url) as connection:
        await connection.run_sync(_lock)
        before = await connection.run_sync(revision_of)
        if before != migrate.HEAD:
            await connection.run_sync(migrate.run_revisions, before)
        await connection.commit()
    return before


async def revision(url: URL) -> str | None:
    """The revision that the database is at; None for an empty one."""
    async with _connected(url) as connection:
        return await connection.run_sync(revision_of)


async def require_ready(url: URL) -> None:
    """Fill an empty database; Unavailable when the server, its version or the schema will not do, saying why."""
    async with _connected(url) as connection:
        await connection.run_sync(_require_usable)
        before = await connection.run_sync(revision_of)
        if before is None:
            await connection.run_sync(_require_empty)
    if before is None:
        await upgrade(url)
    elif before != migrate.HEAD:
        migrate.require_known(before)
        raise Unavailable(
            f"the database is at revision {before} and this version needs {migrate.HEAD}; run `chargehand db upgrade`"
            " once (processes of the version before go on meanwhile)"
        )


def revision_of(connection: Connection) -> str | None:
    """What `alembic_version` says; None where there is no such table."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])


@asynccontextmanager
async def _connected(url: URL) -> AsyncGenerator[AsyncConnection, None]:
    engine = create_async_engine(url, poolclass=NullPool, connect_args=PATIENT.connect_arguments(url))
    try:
        with told_plainly(url):
            async with engine.connect() as connection:
                try:
                    yield connection
                except (exc.ProgrammingError, exc.InternalError) as error:
                    raise Unavailable(
                        f"the database that {SETTING} names cannot be migrated ({error.orig}); where an earlier"
                        " migration was cut off, restore it from a copy, or empty it when it holds nothing yet"
                    ) from error
    finally:
        await engine.dispose()


def _lock(connection: Connection) -> None:
    """PostgreSQL's is free again with the transaction; MySQL's with the connection, since its DDL ends transactions."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": LOCK})
        return
    got = connection.scalar(text("SELECT GET_LOCK(:name, 600)"), {"name": LOCK})
    if got != 1:
        raise Unavailable("another process has been migrating the database for ten minutes; see what it does")
    # Names and keys are compared letter by letter, as SQLite and PostgreSQL do.
    connection.execute(text("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))


def _require_usable(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        product, version = "PostgreSQL", str(connection.scalar(text("SHOW server_version")))
        is_read_only = connection.scalar(text("SELECT pg_is_in_recovery()"))
    else:
        version = str(connection.scalar(text("SELECT VERSION()")))
        product = "MariaDB" if "MariaDB" in version else "MySQL"
        is_read_only = connection.scalar(text("SELECT @@global.read_only"))
    found = re.match(r"(\d+)(?:\.(\d+))?", version)
    numbers = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    if numbers < LEAST[product]:
        least = ".".join(map(str, LEAST[product]))
        raise Unavailable(f"{product} {version} is too old; {SETTING} must name {product} {least} or later")
    if is_read_only:
        raise Unavailable(
            f"the database server that {SETTING} names is a read-only replica; name the primary"
        )


def _require_empty(connection: Connection) -> None:
    """Tables of somebody else's are not built beside."""
    if others := sorted(inspect(connection).get_table_names())[:3]:
        raise Unavailable(
            f"the database that {SETTING} names holds tables of something else ({', '.join(others)}); name one of"
            " its own for this service"
        )
