"""The databases that a test may run on, and what they hold, read past all of our code.

A fixture that puts a server's address into CHARGEHAND_DATABASE_URL moves every service that the test opens there,
in this process and in those that it starts. What a server holds is looked at as a SQLite copy of its rows, so that a
query in a test is written once.
"""

import asyncio
import os
import sqlite3
import zlib
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql
from psycopg.types.string import TextLoader

from chargehand.store import server_migrate
from chargehand.store.schema import METADATA
from chargehand.store.server_url import server_url
from tests.servers import server_or_skip

KINDS = ("sqlite", "postgresql", "mysql")
VARIABLE = "CHARGEHAND_DATABASE_URL"
OWNER = "chargehand_test"
"""The role on PostgreSQL: none that stands above row-level security, so that tests meet the wall between tenants."""
_MAKE_OWNER = f"""
DO $$ BEGIN
    CREATE ROLE {OWNER} LOGIN PASSWORD '{OWNER}';
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""
TABLES = [table.name for table in reversed(METADATA.sorted_tables)]
"""Those that others refer to come last."""


def a_database(kind: str) -> str:
    """The address of this process's own database on a server of this kind: migrated, and emptied at each call."""
    url = _made(kind)
    execute(url, *(f"DELETE FROM {table}" for table in TABLES))  # noqa: S608 - names of this module
    return url


@cache
def _made(kind: str) -> str:
    url = _new(kind, "")
    asyncio.run(server_migrate.upgrade(server_url(url)))
    return url


@contextmanager
def an_empty_database(kind: str) -> Generator[str, None, None]:
    """The address of a new database on a server, not migrated, that is gone again afterwards."""
    url = _new(kind, "_empty")
    try:
        yield url
    finally:
        execute(server_or_skip(kind), f"DROP DATABASE {urlsplit(url).path.lstrip('/')}")


def _new(kind: str, suffix: str) -> str:
    # Two checkouts may be tested beside each other.
    place = f"{zlib.crc32(__file__.encode()):08x}"
    name = f"chargehand_test_{place}_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}{suffix}"
    server = server_or_skip(kind)
    # A run that was killed may have left somebody connected.
    by_force = " WITH (FORCE)" if kind == "postgresql" else ""
    execute(server, f"DROP DATABASE IF EXISTS {name}{by_force}", f"CREATE DATABASE {name}")
    place = urlsplit(server)._replace(path=f"/{name}")
    if kind == "postgresql":
        execute(server, _MAKE_OWNER, f"ALTER DATABASE {name} OWNER TO {OWNER}")
        place = place._replace(netloc=f"{OWNER}:{OWNER}@{place.netloc.rpartition('@')[2]}")
    return place.geturl()


def execute(url: str, *statements: str) -> None:
    """Run statements on a server, each a transaction of its own."""
    with _connected(url) as connection, closing(connection.cursor()) as cursor:
        for statement in statements:
            cursor.execute(statement)


def found(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What a query finds on a server, asked in its own words."""
    with _connected(url) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()]


@contextmanager
def outside(database: Path) -> Generator[sqlite3.Connection, None, None]:
    """The rows to look at: those of the file, or a copy of the server's that CHARGEHAND_DATABASE_URL names."""
    url = os.environ.get(VARIABLE)
    if url is None:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            yield connection
    else:
        with closing(sqlite3.connect(":memory:")) as copy:
            copy_rows(url, copy, TABLES)
            yield copy


class Looker:
    """A connection to look through again and again, for whom a copy each time would take too long."""

    def __init__(self, kind: str, connection: Any) -> None:
        self.kind = kind
        self._connection = connection

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What a query finds; `?` stands for a parameter."""
        with closing(self._connection.cursor()) as cursor:
            self._run(cursor, statement, parameters)
            return [tuple(row) for row in cursor.fetchall()]

    def execute(self, statement: str) -> None:
        with closing(self._connection.cursor()) as cursor:
            self._run(cursor, statement, ())

    def _run(self, cursor: Any, statement: str, parameters: Sequence[object]) -> None:
        if self.kind != "sqlite":
            statement = statement.replace("%", "%%").replace("?", "%s")
        cursor.execute(statement, parameters)


@contextmanager
def a_looker(kind: str, database: Path) -> Generator[Looker, None, None]:
    """Into the file, or the server that CHARGEHAND_DATABASE_URL names."""
    if kind == "sqlite":
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            yield Looker(kind, connection)
    else:
        with _connected(os.environ[VARIABLE]) as connection:
            yield Looker(kind, connection)


def copy_rows(url: str, copy: sqlite3.Connection, tables: Iterable[str]) -> None:
    """Make tables of the server's rows, as one moment had them."""
    with _connected(url, in_one_moment=True) as connection, closing(connection.cursor()) as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {table}")  # noqa: S608 - names of this module
            names = [column[0] for column in cursor.description]
            copy.execute(f"CREATE TABLE {table} ({', '.join(names)})")
            marks = ", ".join("?" * len(names))
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
            copy.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608 - as above


@contextmanager
def _connected(url: str, *, in_one_moment: bool = False) -> Generator[Any, None, None]:
    place = urlsplit(url)
    if place.scheme.startswith("postgres"):
        with closing(psycopg.connect(url, autocommit=not in_one_moment)) as connection:
            connection.adapters.register_loader("json", TextLoader)
            if in_one_moment:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield connection
    else:
        with closing(
            pymysql.connect(
                host=place.hostname,
                port=place.port or 3306,
                user=unquote(place.username or "root"),
                password=unquote(place.password or ""),
                database=place.path.lstrip("/"),
                autocommit=not in_one_moment,
            )
        ) as connection:
            # MySQL's own isolation level shows one moment.
            yield connection
