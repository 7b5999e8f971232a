"""What a database server is refused for, told in words: real servers, and those that are none."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Connection, inspect

from chargehand.errors import Unavailable
from chargehand.store import migrate, server_look, server_migrate
from chargehand.store.server_url import server_url
from tests.databases import a_database, an_empty_database, execute, found
from tests.listening import listening
from tests.servers import server_or_skip

SERVERS = ("postgresql", "mysql")


@asynccontextmanager
async def a_server_of_http() -> AsyncGenerator[int, None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with listening(answer) as port:
        yield port


@pytest.fixture(params=SERVERS)
def empty(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without a table."""
    with an_empty_database(request.param) as url:
        yield url


async def refusal(url: str) -> str:
    with pytest.raises(Unavailable) as caught:
        await server_migrate.require_ready(server_url(url))
    assert "s3cret" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("kind", SERVERS)
async def test_nothing_that_listens(kind: str, unused_tcp_port: int) -> None:
    said = await refusal(f"{kind}://me:s3cret@127.0.0.1:{unused_tcp_port}/x")

    assert f"127.0.0.1:{unused_tcp_port}/x" in said
    assert "CHARGEHAND_DATABASE_URL" in said


# The driver of MySQL leaves its socket to the garbage when it is told to wait no longer.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_of_something_else(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chargehand.store.server_look.GREETING_SECONDS", 1.0)

    async with a_server_of_http() as port:
        said = await refusal(f"{kind}://me:s3cret@127.0.0.1:{port}/x")
    gc.collect()

    assert "does not answer as such a database does" in said
    assert "CHARGEHAND_DATABASE_URL" in said


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_name_or_password_that_is_refused(kind: str) -> None:
    place = urlsplit(server_or_skip(kind))

    said = await refusal(f"{kind}://nobody_here:s3cret@{place.hostname}:{place.port}/x")

    assert "refuses this service" in said


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_database_that_there_is_not(kind: str) -> None:
    said = await refusal(urlsplit(server_or_skip(kind))._replace(path="/chargehand_no_such").geturl())

    assert "refuses this service" in said
    assert "chargehand_no_such" in said


async def test_a_newer_schema_is_told_from_an_older_one_and_a_foreign_one(empty: str) -> None:
    address = server_url(empty)
    await server_migrate.upgrade(address)

    execute(empty, "UPDATE alembic_version SET version_num = '9999'")
    newer = await refusal(empty)
    execute(empty, "UPDATE alembic_version SET version_num = '0002'")
    older = await refusal(empty)
    execute(empty, "UPDATE alembic_version SET version_num = 'copying'")
    unfinished = await refusal(empty)

    assert "newer than this version" in newer
    assert "run `chargehand db upgrade` once" in older
    assert "chargehand db copy" in unfinished


async def test_tables_of_somebody_else(empty: str) -> None:
    execute(empty, "CREATE TABLE invoices (id INT)")
    beside_nothing = await refusal(empty)
    execute(empty, "CREATE TABLE alembic_version (version_num VARCHAR(32))")
    execute(empty, "INSERT INTO alembic_version VALUES ('a1b2c3')")
    with_revisions_of_its_own = await refusal(empty)

    assert "something else (invoices)" in beside_nothing
    assert "something else" in with_revisions_of_its_own
    assert found(empty, "SELECT version_num FROM alembic_version") == [("a1b2c3",)]


async def test_a_first_migration_that_was_cut_off_is_begun_again(empty: str) -> None:
    execute(
        empty,
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        *(
            ("CREATE TABLE agents (half INT)", "CREATE TABLE agent_tasks (half INT)")
            if empty.startswith("mysql")
            else ()
        ),
    )

    await server_migrate.require_ready(server_url(empty))

    assert await server_migrate.revision(server_url(empty)) == migrate.HEAD


async def test_rows_without_a_revision_are_kept(empty: str) -> None:
    execute(empty, "CREATE TABLE agents (half INT)", "INSERT INTO agents VALUES (1)")

    said = await refusal(empty)

    assert "restore it from a copy" in said
    assert found(empty, "SELECT half FROM agents") == [(1,)]


async def test_two_that_fill_an_empty_database_at_once(empty: str) -> None:
    await asyncio.gather(*(server_migrate.require_ready(server_url(empty)) for _ in range(4)))

    assert await server_migrate.revision(server_url(empty)) == migrate.HEAD


@pytest.mark.parametrize(("table", "goes_after"), [("alembic_version", 1), ("agents", 2)])
async def test_a_table_that_another_process_takes_away_during_a_look_on_mysql_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, table: str, goes_after: int
) -> None:
    with an_empty_database("mysql") as url:
        execute(url, f"CREATE TABLE {table} (half INT)")
        looks = 0

        class Listing:
            """Its list is old already when it is read."""

            def __init__(self, connection: Connection) -> None:
                self._tables = inspect(connection).get_table_names()

            def get_table_names(self) -> list[str]:
                nonlocal looks
                looks += 1
                if looks == goes_after:
                    execute(url, f"DROP TABLE {table}")
                return self._tables

        monkeypatch.setattr(server_look, "inspect", Listing)
        standing = await server_look.look(server_url(url))

    assert standing.revision is None
    assert looks > goes_after


@pytest.fixture
def migrated() -> str:
    return a_database("postgresql")


async def test_a_postgresql_database_that_is_read_only(postgresql_url: str, migrated: str) -> None:
    url = migrated
    name = urlsplit(url).path[1:]
    execute(postgresql_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        said = await refusal(url)
    finally:
        execute(postgresql_url, f"ALTER DATABASE {name} RESET default_transaction_read_only")

    assert "read-only (default_transaction_read_only is on" in said
    assert "CHARGEHAND_DATABASE_URL" in said


async def test_a_role_that_may_make_no_tables(postgresql_url: str) -> None:
    role = "chargehand_test_reader"
    execute(
        postgresql_url,
        "DROP DATABASE IF EXISTS chargehand_test_rights",
        f"DROP ROLE IF EXISTS {role}",
        "CREATE DATABASE chargehand_test_rights",
        f"CREATE ROLE {role} LOGIN PASSWORD 's3cret'",
    )
    place = urlsplit(postgresql_url)
    try:
        said = await refusal(
            f"postgresql://{role}:s3cret@{place.hostname}:{place.port}/chargehand_test_rights"
        )
    finally:
        execute(postgresql_url, "DROP DATABASE chargehand_test_rights", f"DROP ROLE {role}")

    assert "permission denied" in said
    assert "CHARGEHAND_DATABASE_URL" in said
