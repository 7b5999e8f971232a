"""What is particular to a database server: connections that die while nobody uses them, and updates of many rows."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import insert, select, text
from sqlalchemy.engine import make_url

from chargehand.clock import SystemClock
from chargehand.domain.values import JsonValue
from chargehand.errors import IllegalMove, Unavailable
from chargehand.store import history, idle_connections
from chargehand.store.server import ServerDatabase
from chargehand.store.server_url import ServerLimits, server_url
from chargehand.store.tables import TaskStep
from tests.databases import a_database, execute, found

SESSIONS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = '{name}' AND id <> connection_id()",
}
KILL = {"postgresql": "SELECT pg_terminate_backend({session}, 5000)", "mysql": "KILL {session}"}


@pytest.fixture(params=["postgresql", "mysql"])
def url(request: pytest.FixtureRequest) -> str:
    return a_database(request.param)


@pytest_asyncio.fixture
async def db(url: str) -> AsyncGenerator[ServerDatabase, None]:
    opened = ServerDatabase(server_url(url), SystemClock(), ServerLimits(connections=3))
    yield opened
    await opened.stop()


async def test_a_connection_that_died_while_it_lay_idle_is_replaced(
    db: ServerDatabase, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_connections, "TRUSTED_SECONDS", 0.0)
    await _use(db)
    kill_sessions(url)
    await _use(db)


async def test_a_connection_that_dies_right_after_use_costs_one_use_case(
    db: ServerDatabase, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_connections, "TRUSTED_SECONDS", 60.0)
    await _use(db)
    kill_sessions(url)
    with pytest.raises(Unavailable, match="CHARGEHAND_DATABASE_URL"):
        await _use(db)
    with pytest.raises(Unavailable, match="CHARGEHAND_DATABASE_URL"):
        async with db.write() as tx:
            await tx.connection.execute(text("SELECT 1"))
    await _use(db)


async def test_many_rows_are_updated_at_once_each_with_its_own_values(db: ServerDatabase) -> None:
    results: list[JsonValue] = [[1, [2, 3]], {"a": "ü'\"\\"}, None, "text", [], 0.5]
    paths = [f"step-{number}" for number in range(len(results))]
    await _begin(db, paths)
    async with db.write() as tx:
        await history.finish_steps(
            tx, [("task", path, result) for path, result in zip(paths, results, strict=True)]
        )
    async with db.read() as tx:
        steps = await history.steps(tx, "task")
    assert {step.path: step.result for step in steps} == dict(zip(paths, results, strict=True))
    assert {step.status for step in steps} == {"done"}


async def test_one_row_among_many_that_is_not_as_it_was_seen_changes_none(db: ServerDatabase) -> None:
    await _begin(db, ["first", "second"])
    with pytest.raises(IllegalMove, match="only 2 of 3 steps"):
        async with db.write() as tx:
            await history.finish_steps(tx, [("task", path, 1) for path in ("first", "second", "never begun")])
    async with db.read() as tx:
        assert set(await tx.connection.scalars(select(TaskStep.status))) == {"running"}


async def _use(db: ServerDatabase) -> None:
    async with db.read() as tx:
        assert await tx.connection.scalar(text("SELECT 1")) == 1
    async with db.write() as tx:
        assert await tx.connection.scalar(text("SELECT 1")) == 1


async def _begin(db: ServerDatabase, paths: list[str]) -> None:
    async with db.write() as tx:
        row: dict[str, Any] = {"task_id": "task", "kind": "tool", "name": "tool", "arguments": {}}
        row |= {"status": "running", "attempt": 1, "started_at": tx.now, "result": None, "finished_at": None}
        await tx.connection.execute(insert(TaskStep), [{**row, "path": path} for path in paths])


def kill_sessions(url: str) -> None:
    """End every connection to this database but that which asks for it."""
    place = make_url(url)
    kind = place.get_backend_name()
    sessions = found(url, SESSIONS[kind].format(name=place.database))
    assert sessions
    execute(url, *(KILL[kind].format(session=session) for [session] in sessions))
