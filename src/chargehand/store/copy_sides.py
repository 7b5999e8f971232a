"""The two databases of a copy: opened, with every row as its driver gives it.

Rule: nothing is decoded on the way. JSON is copied as the text that it is, times as the integers that they are; so what
arrives is what was there, also where this version would have written it otherwise.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, NullPool, Table, event, func, select, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.types import TypeEngine

from chargehand.errors import InvalidInput, Unavailable
from chargehand.store import migrate, server_look, server_migrate
from chargehand.store.schema import METADATA
from chargehand.store.server_faults import told_plainly
from chargehand.store.server_url import server_url
from chargehand.store.tables import UtcMicroseconds

_METADATA = MetaData()


def _raw(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return BigInteger() if isinstance(kind, UtcMicroseconds) else kind


TABLES = [
    Table(
        table.name,
        _METADATA,
        *(Column(one.name, _raw(one.type), primary_key=one.primary_key) for one in table.columns),
    )
    for table in METADATA.sorted_tables
]
"""Every table, those before that others refer to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two databases."""

    name: str
    """As messages show it: without a password."""
    path: Path | None
    """The file, when it is SQLite."""
    url: URL

    @property
    def is_server(self) -> bool:
        """Whether others may be connected to it."""
        return self.path is None

    async def revision(self) -> str | None:
        """The schema that it is at; None: it is empty."""
        if self.path is not None:
            return migrate.current_revision(self.path)
        return await server_migrate.revision(self.url)

    async def fill(self) -> None:
        """Make the tables in an empty database."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            migrate.upgrade(self.path)
        else:
            await server_migrate.require_ready(self.url)

    @asynccontextmanager
    async def connected(self, *, in_one_moment: bool = False) -> AsyncGenerator[AsyncConnection, None]:
        """A connection; `in_one_moment`: all of it sees what was committed when it first looked."""
        engine = create_async_engine(
            self.url,
            poolclass=NullPool,
            json_serializer=_as_it_is,
            json_deserializer=_as_it_is,
            hide_parameters=True,
            **({} if self.path else {"connect_args": server_look.PATIENT.connect_arguments(self.url)}),
        )
        if self.url.get_backend_name() == "mysql":
            event.listen(engine.sync_engine, "connect", server_look.PATIENT.prepare_mysql)
        if self.path is not None:
            event.listen(engine.sync_engine, "connect", _no_driver_transactions)
            event.listen(engine.sync_engine, "begin", _begin)
        try:
            with told_plainly(self.url):
                async with engine.connect() as connection:
                    if in_one_moment and self.is_server:
                        await connection.execution_options(isolation_level="REPEATABLE READ")
                    yield connection
        finally:
            await engine.dispose()


def side_of(address: str) -> Side:
    """The database of an address: `sqlite:///path`, `postgresql://…`, `mysql://…`. InvalidInput for others."""
    if address.startswith("sqlite:"):
        path = address.removeprefix("sqlite:///")
        if path == address or not path:
            raise InvalidInput(f"{address!r} names no file; write sqlite:///folder/chargehand.db")
        url = URL.create("sqlite+aiosqlite", database=path)
        return Side(name=address, path=Path(path), url=url)
    url = server_url(address)
    plain = url.set(drivername=url.get_backend_name())
    return Side(name=plain.render_as_string(hide_password=True), path=None, url=url)


async def count(connection: AsyncConnection, table: Table) -> int:
    """How many rows there are."""
    return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


async def live_leases(connection: AsyncConnection, side: Side) -> int:
    """Attempts and duties that somebody holds at this moment, by the server's clock."""
    now = {"postgresql": "extract(epoch FROM clock_timestamp())", "mysql": "unix_timestamp(now(6))"}
    clock = now[side.url.get_backend_name()]
    held = 0
    for table in ("agent_tasks", "duties"):
        statement = f"SELECT count(*) FROM {table} WHERE lease_until > {clock} * 1000000"  # noqa: S608 - names of ours
        held += int(await connection.scalar(text(statement)) or 0)
    return held


def require_current(side: Side, revision: str | None) -> None:
    """Unavailable unless the database is at the schema of this version."""
    if revision is None:
        raise Unavailable(f"{side.name} is empty: there is nothing to copy")
    if revision != migrate.HEAD:
        migrate.require_known(revision)
        raise Unavailable(
            f"{side.name} is at revision {revision} and this version needs {migrate.HEAD}; run `chargehand db upgrade`"
        )


def _as_it_is(value: Any) -> Any:
    return value


def _no_driver_transactions(connection: Any, entry: object) -> None:
    """The driver would begin late and commit early."""
    del entry
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
