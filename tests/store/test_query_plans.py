"""What is asked again and again finds its rows by an index, however many tasks there are."""

import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Engine, event

from chargehand.clock import SystemClock
from chargehand.domain.fairness import Lane
from chargehand.domain.history import EventKind, Step, StepKind, StepStatus
from chargehand.store import claims, history, migrate, tasks
from chargehand.store.database import Tx
from chargehand.store.sqlite import SqliteDatabase

ID = "01a206af-d43e-7c5f-9201-c55f22d18503"
LANE = Lane("default", "a", 0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALLOWED = ("SCAN lanes", "SCAN below")
STEP = Step(
    task_id=ID,
    path="0/0",
    kind=StepKind.TOOL,
    name="n",
    arguments={},
    status=StepStatus.RUNNING,
    result=None,
    attempt=1,
    started_at=NOW,
    finished_at=None,
)


@pytest_asyncio.fixture
async def db(tmp_path: Path) -> AsyncGenerator[SqliteDatabase, None]:
    migrate.upgrade(tmp_path / "x.db")
    opened = SqliteDatabase(tmp_path / "x.db", SystemClock())
    yield opened
    await opened.stop()


@contextmanager
def statements_sent() -> Generator[list[tuple[str, Any]]]:
    """What is sent to the database meanwhile, with the parameters of its first row."""
    sent: list[tuple[str, Any]] = []

    def note(_c: Any, _k: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        if not statement.startswith("BEGIN"):
            sent.append((statement, parameters[0] if many else parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def claim(tx: Tx) -> None:
    await claims.heads(tx)
    await claims.running(tx)
    await claims.due_times(tx, LANE, most=8)
    await claims.take(tx, LANE, most=8, worker="w", lease=timedelta(seconds=30))
    await claims.hold_turn(tx)


async def sweep(tx: Tx) -> None:
    await tasks.expired(tx, of_any_worker=False, limit=8)
    await tasks.due_timers(tx, limit=8)
    await tasks.past_deadline(tx, limit=8)
    await tasks.next_due(tx)


async def hold_and_tell(tx: Tx) -> None:
    await tasks.hold(tx, [ID])
    await history.insert_events(tx, [history.row(ID, 1, EventKind.SUBMITTED, NOW, {}, tenant="t")])
    await history.events_after(tx, ID, 0, limit=10)
    wanted = {"steps": 1, "children": 0, "tool_calls": 0}
    await tasks.spend(tx, ID, wanted, {"steps": 1, "children": 1, "tool_calls": None})
    await tasks.note_wake(tx, ID)


async def step(tx: Tx) -> None:
    await history.begin_steps(tx, [STEP])
    await history.finish_steps(tx, [(ID, "0/0", None)])
    await history.steps(tx, ID)
    await history.step(tx, ID, "0/0")


async def family(tx: Tx) -> None:
    await tasks.children(tx, ID)
    await tasks.has_open_siblings(tx, ID, "0/0")
    await tasks.open_below(tx, [ID])
    await tasks.get(tx, [ID])


async def key(tx: Tx) -> None:
    await tasks.find_by_key(tx, "default", ["k"])


async def listed(tx: Tx) -> None:
    await tasks.page(tx, tenant="default", filters={"agent_id": "a"}, labels={}, before=ID, limit=50)
    await tasks.page(tx, tenant="default", filters={}, labels={"a": "b"}, before=None, limit=50)


@pytest.mark.parametrize(
    "ask", [claim, sweep, hold_and_tell, step, family, key, listed], ids=lambda ask: ask.__name__
)
async def test_no_statement_of_the_daily_work_reads_a_whole_table(db: SqliteDatabase, ask: Any) -> None:
    with statements_sent() as sent:
        async with db.write() as tx:
            await ask(tx)

    with closing(sqlite3.connect(db.path)) as connection:
        scans = [
            f"{plan[3]}: {statement}"
            for statement, parameters in sent
            for plan in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            # The lanes are few, and all of them is what a claim is to look at; what is below a task is its own.
            if plan[3].startswith("SCAN") and "CONSTANT ROW" not in plan[3] and plan[3] not in ALLOWED
        ]
    assert sent
    assert scans == []


async def due(tx: Tx) -> None:
    await tasks.due_timers(tx, limit=8)
    await tasks.past_deadline(tx, limit=8)


@pytest.mark.parametrize("ask", [claim, due], ids=lambda ask: ask.__name__)
async def test_the_next_tasks_are_taken_without_sorting_all_that_wait(db: SqliteDatabase, ask: Any) -> None:
    with statements_sent() as sent:
        async with db.write() as tx:
            await ask(tx)

    with closing(sqlite3.connect(db.path)) as connection:
        plans = [
            row[3]
            for statement, parameters in sent
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert not any("TEMP B-TREE" in line for line in plans), plans
