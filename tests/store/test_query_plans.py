"""What is asked again and again finds its rows by an index, however many tasks there are."""

import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
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
from chargehand.store import approvals, claims, history, migrate, tasks
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
    plans = await plans_of(db, ask)

    assert not any("TEMP B-TREE" in line for line in plans), plans


LISTS: dict[str, dict[str, str | None]] = {
    "ix_agent_tasks_newest": {},
    "ix_agent_tasks_standing": {"status": "failed"},
    "ix_agent_tasks_listed": {"agent_id": "a"},
    "ix_agent_tasks_context": {"context_id": "c", "status": "completed"},
    "ix_agent_tasks_parent": {"parent_id": ID},
}
SEVERAL = [ID[:-2] + f"{number:02}" for number in range(40)]
"""More than SQLite takes for fewer rows than the few equal values that an index is narrowed to."""


async def plans_of(db: SqliteDatabase, ask: Callable[[Tx], Awaitable[object]]) -> list[str]:
    with statements_sent() as sent:
        async with db.write() as tx:
            await ask(tx)
    with closing(sqlite3.connect(db.path)) as connection:
        return [
            row[3]
            for statement, parameters in sent
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


@pytest.mark.parametrize("before", [None, ID])
@pytest.mark.parametrize("index", LISTS)
async def test_each_list_of_a_tenants_tasks_is_read_by_its_index(
    db: SqliteDatabase, index: str, before: str | None
) -> None:
    async def ask(tx: Tx) -> None:
        await tasks.page(tx, tenant="default", filters=LISTS[index], labels={}, before=before, limit=50)

    plans = await plans_of(db, ask)

    assert f"USING INDEX {index} " in plans[0]
    # Few rows may be sorted; all of a tenant's may not.
    is_sorted = any("TEMP B-TREE" in line for line in plans)
    assert is_sorted == (index in {"ix_agent_tasks_context", "ix_agent_tasks_parent"})


OF_SEVERAL: dict[str, Callable[[Tx], Awaitable[object]]] = {
    "get": lambda tx: tasks.get(tx, SEVERAL),
    "get_of": lambda tx: tasks.get_of(tx, "default", SEVERAL),
    "hold": lambda tx: tasks.hold(tx, SEVERAL),
    "request_cancel": lambda tx: tasks.request_cancel(tx, SEVERAL, reason="canceled"),
    "open_below": lambda tx: tasks.open_below(tx, SEVERAL),
    "open_of": lambda tx: approvals.open_of(tx, SEVERAL),
}


@pytest.mark.parametrize("name", OF_SEVERAL)
async def test_several_tasks_are_found_by_their_ids_however_many_others_are_alike(
    db: SqliteDatabase, name: str
) -> None:
    [first, *_] = await plans_of(db, OF_SEVERAL[name])

    assert "(id=?)" in first or "(task_id=?)" in first
