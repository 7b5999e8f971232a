"""Whether a database server is one that this service can use, and what is there; nothing is changed.

For the start, for `chargehand doctor` and for `chargehand db status`. Each refusal names the setting and the way out.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, NullPool, exc, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from chargehand.errors import RaceLost, Unavailable
from chargehand.store import migrate
from chargehand.store.database import retried
from chargehand.store.server_faults import REFUSED, number_of, told_plainly
from chargehand.store.server_url import CONNECT_SECONDS, SETTING, ServerLimits

PATIENT = ServerLimits(connections=2, statement_seconds=3600, lock_seconds=600, idle_transaction_seconds=3600)
LEAST = {"PostgreSQL": (15, 0), "MariaDB": (10, 6), "MySQL": (8, 0)}
"""SKIP LOCKED, CTEs and enforced CHECK constraints; PostgreSQL as far back as it is tested."""
GREETING_SECONDS = CONNECT_SECONDS + 2.0
"""The driver of MySQL would wait for ever for the first word of a server of another kind."""


NO_SUCH_TABLE = 1146
"""MySQL's number for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What answers at the address, and the revision of the schema there; None for an empty database."""

    product: str
    version: str
    revision: str | None
    is_above_walls: bool = False
    """PostgreSQL: the role is not bound by row-level security (store/tenant_wall.py)."""


@retried
async def look(url: URL) -> Standing:
    """What is there. Unavailable for a server, a version or tables that will not do.

    Another process may be migrating it just now.
    """
    async with connected(url) as connection:
        with _races_with_a_migration():
            return await _standing(connection)


async def _standing(connection: AsyncConnection) -> Standing:
    product, version = await connection.run_sync(_require_usable)
    revision = await connection.run_sync(revision_of)
    if revision is None:
        await connection.run_sync(unfinished_tables)
    is_above_walls = await connection.run_sync(_is_above_walls)
    return Standing(product=product, version=version, revision=revision, is_above_walls=is_above_walls)


@contextmanager
def _races_with_a_migration() -> Generator[None, None, None]:
    """A table that was listed and is gone: whoever fills the database on MySQL clears it first, table by table.

    For the look alone; anywhere else a table that is not there is missing.
    """
    try:
        yield
    except exc.ProgrammingError as error:
        if number_of(error) != NO_SUCH_TABLE:
            raise
        raise RaceLost(
            f"another process is changing the tables of the database that {SETTING} names ({error.orig}); ask again"
        ) from error


@asynccontextmanager
async def connected(url: URL) -> AsyncGenerator[AsyncConnection, None]:
    """One connection with long limits; whatever fails on it names the setting."""
    engine = create_async_engine(url, poolclass=NullPool, connect_args=PATIENT.connect_arguments(url))
    try:
        with told_plainly(url):
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(GREETING_SECONDS):
                    connection = await stack.enter_async_context(engine.connect())
                try:
                    yield connection
                except (exc.ProgrammingError, exc.InternalError) as error:
                    if number_of(error) in REFUSED:
                        raise
                    raise Unavailable(
                        f"the database that {SETTING} names cannot be migrated ({error.orig}); where an earlier"
                        " migration was cut off, restore it from a copy, or empty it when it holds nothing yet"
                    ) from error
    finally:
        await engine.dispose()


def _is_above_walls(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql":
        return False
    asked = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    return bool(connection.scalar(text(asked)))


def revision_of(connection: Connection) -> str | None:
    """What `alembic_version` says; None where there is no such table, or nothing in it."""
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    if row is None:
        return None
    if not tables & migrate.own_tables():
        raise _of_something_else(sorted(tables))
    return str(row[0])


def unfinished_tables(connection: Connection) -> list[str]:
    """Of a database without a revision: what a first migration that was cut off has left, without rows.

    MySQL ends a transaction with each table. Unavailable for tables of somebody else's, which are not built beside.
    """
    tables = inspect(connection).get_table_names()
    if others := sorted(set(tables) - migrate.own_tables() - {"alembic_version"}):
        raise _of_something_else(others)
    for table in tables:
        quoted = connection.dialect.identifier_preparer.quote(table)
        if connection.execute(text(f"SELECT 1 FROM {quoted} LIMIT 1")).first():  # noqa: S608 - names of our tables
            raise Unavailable(
                f"the database that {SETTING} names has tables of this service ({table} has rows) and no revision;"
                " restore it from a copy"
            )
    return tables


def _of_something_else(tables: list[str]) -> Unavailable:
    return Unavailable(
        f"the database that {SETTING} names holds tables of something else ({', '.join(tables[:3])}); name one of"
        " its own for this service"
    )


def _require_usable(connection: Connection) -> tuple[str, str]:
    if connection.dialect.name == "postgresql":
        product, version = "PostgreSQL", str(connection.scalar(text("SHOW server_version")))
        is_replica = connection.scalar(text("SELECT pg_is_in_recovery()"))
        default = "default_transaction_read_only"
        is_read_only = connection.scalar(text(f"SHOW {default}")) == "on"
    else:
        version = str(connection.scalar(text("SELECT VERSION()")))
        product = "MariaDB" if "MariaDB" in version else "MySQL"
        is_replica = connection.scalar(text("SELECT @@global.read_only"))
        default = "tx_read_only" if product == "MariaDB" else "transaction_read_only"
        is_read_only = bool(connection.scalar(text(f"SELECT @@session.{default}")))
    found = re.match(r"(\d+)(?:\.(\d+))?", version)
    numbers = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    if numbers < LEAST[product]:
        least = ".".join(map(str, LEAST[product]))
        raise Unavailable(f"{product} {version} is too old; {SETTING} must name {product} {least} or later")
    if is_replica:
        raise Unavailable(
            f"the database server that {SETTING} names is a read-only replica; name the primary"
        )
    if is_read_only:
        raise Unavailable(
            f"the database that {SETTING} names is read-only ({default} is on for this role or database); set it off"
            " there, or name a role that may write"
        )
    return product, version
