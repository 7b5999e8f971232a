"""Migrations of a database on a server: from empty, from the revision before, by several at once; and refusals."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, LargeBinary, NullPool
from sqlalchemy.dialects.mysql import TINYBLOB
from sqlalchemy.ext.asyncio import create_async_engine

from chargehand.clock import SystemClock
from chargehand.errors import Unavailable
from chargehand.store import migrate, server_migrate
from chargehand.store.opening import open_database
from chargehand.store.schema import METADATA
from chargehand.store.server_look import connected
from chargehand.store.server_url import ServerLimits, server_url
from tests.databases import an_empty_database, execute, found
from tests.store.test_tables import GOOD, put_statement

Answer = TypeVar("Answer")
PROGRAM = (
    "import asyncio, sys; from chargehand.store import server_migrate; from chargehand.store.server_url import"
    " server_url; asyncio.run(server_migrate.require_ready(server_url(sys.argv[1])))"
)


@pytest.fixture(params=["postgresql", "mysql"])
def url(request: pytest.FixtureRequest) -> Generator[str, None, None]:
    """The address of an empty database."""
    with an_empty_database(request.param) as address:
        yield address


def upgrade(url: str) -> str | None:
    return asyncio.run(server_migrate.upgrade(server_url(url)))


def require_ready(url: str) -> None:
    asyncio.run(server_migrate.require_ready(server_url(url)))


def revision(url: str) -> str | None:
    return asyncio.run(server_migrate.revision(server_url(url)))


def within(url: str, act: Callable[[Connection], Answer]) -> Answer:
    async def connected() -> Answer:
        engine = create_async_engine(server_url(url), poolclass=NullPool)
        async with engine.begin() as connection:
            return await connection.run_sync(act)

    return asyncio.run(connected())


def upgrade_to(url: str, target: str) -> None:
    def act(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, target)

    within(url, act)


def differences(url: str) -> list[object]:
    """Between the schema there and the tables that the code uses, as Alembic sees it."""

    def act(connection: Connection) -> list[object]:
        options = {"compare_type": _is_another_type}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))

    return within(url, act)


def _is_another_type(_c: object, _i: object, _m: object, there: object, ours: object) -> bool | None:
    """MySQL makes a TINYBLOB of BLOB(32); of the rest Alembic judges (None)."""
    return False if isinstance(there, TINYBLOB) and isinstance(ours, LargeBinary) else None


def tables(url: str) -> set[str]:
    schema = "database()" if url.startswith("mysql") else "'public'"
    statement = f"SELECT table_name FROM information_schema.tables WHERE table_schema = {schema}"  # noqa: S608 - names of this module
    return {row[0] for row in found(url, statement)}


def test_an_empty_database_becomes_the_schema_of_the_tables(url: str) -> None:
    assert revision(url) is None

    require_ready(url)

    assert revision(url) == migrate.HEAD
    assert tables(url) == {*METADATA.tables, "alembic_version"}
    assert differences(url) == []


def test_a_database_of_the_revision_before_keeps_its_rows(url: str) -> None:
    upgrade_to(url, "0002")
    execute(
        url,
        *(
            put_statement("agent_tasks", {**GOOD, "id": f"t{number}", "priority": number})
            for number in range(3)
        ),
    )
    before = found(url, "SELECT id, agent_id, status, task_data, priority FROM agent_tasks ORDER BY id")
    with pytest.raises(Unavailable, match=f"at revision 0002 and this version needs {migrate.HEAD}"):
        require_ready(url)

    assert upgrade(url) == "0002"

    require_ready(url)
    assert (
        found(url, "SELECT id, agent_id, status, task_data, priority FROM agent_tasks ORDER BY id") == before
    )
    assert len(before) == 3
    lanes = found(url, "SELECT tenant, agent_id, priority FROM lanes ORDER BY priority")
    assert lanes == [("default", "a", number) for number in range(3)]
    assert differences(url) == []


def test_upgrading_twice_changes_nothing(url: str) -> None:
    assert upgrade(url) is None
    execute(url, put_statement("agent_tasks", GOOD))

    assert upgrade(url) == migrate.HEAD
    assert found(url, "SELECT id FROM agent_tasks") == [("t1",)]


def test_processes_that_start_at_once_fill_an_empty_database_once(url: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, url], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]

    said = [process.communicate(timeout=120)[1] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert revision(url) == migrate.HEAD
    assert differences(url) == []


def test_who_comes_while_another_upgrades_waits_for_it_and_goes_on(url: str) -> None:
    upgrade_to(url, "0002")

    async def come_meanwhile() -> None:
        async with connected(server_url(url)) as connection:
            await connection.run_sync(server_migrate.take_lock, False)
            coming = asyncio.create_task(server_migrate.require_ready(server_url(url)))
            done, _ = await asyncio.wait([coming], timeout=0.5)
            assert not done
            await connection.run_sync(migrate.run_revisions, "0002")
            await connection.commit()
        await coming

    asyncio.run(come_meanwhile())
    assert revision(url) == migrate.HEAD


def test_a_database_of_a_newer_version_is_refused_and_left_alone(url: str) -> None:
    upgrade(url)
    execute(url, "UPDATE alembic_version SET version_num = '9999'")

    for act in (require_ready, upgrade):
        with pytest.raises(Unavailable, match="revision 9999, which is newer"):
            act(url)

    assert revision(url) == "9999"


def test_a_database_that_holds_something_else_is_refused_and_left_alone(url: str) -> None:
    execute(url, "CREATE TABLE invoices (id INTEGER)")

    with pytest.raises(Unavailable, match=r"CHARGEHAND_DATABASE_URL.*tables of something else \(invoices\)"):
        require_ready(url)

    assert tables(url) == {"invoices"}


def test_a_database_that_may_only_be_read_is_told_by_the_first_that_writes(postgresql_url: str) -> None:
    del postgresql_url
    with an_empty_database("postgresql") as url:
        upgrade(url)
        name = url.rpartition("/")[2]
        execute(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")

        async def write() -> None:
            opened = open_database(Path("unused"), url, ServerLimits(), SystemClock())
            async with opened as database, database.db.write() as tx:
                await tx.connection.exec_driver_sql("DELETE FROM lanes")

        with pytest.raises(Unavailable, match=r"CHARGEHAND_DATABASE_URL names is read-only"):
            asyncio.run(write())
