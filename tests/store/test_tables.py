"""The database itself refuses rows that break the rules, whoever writes them."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pymysql
import pytest
from sqlalchemy.dialects import sqlite

from chargehand.store import migrate
from chargehand.store.tables import UtcMicroseconds
from tests.databases import VARIABLE, execute

GOOD = {
    "id": "t1",
    "tenant": "default",
    "agent_id": "a",
    "agent_version": "v",
    "task_data": "{}",
    "status": "pending",
    "attempt": 0,
    "tries": 0,
    "losses": 0,
    "run_after": 0,
    "priority": 0,
    "root_id": "t1",
    "depth": 0,
    "context_id": "c",
    "labels": "{}",
    "budget": "{}",
    "steps_spent": 0,
    "children_spent": 0,
    "wakes": 0,
    "last_event": 1,
    "round": 0,
    "created_by": "me",
    "created_at": 0,
    "updated_at": 0,
}


BROKEN = (sqlite3.IntegrityError, psycopg.IntegrityError, pymysql.MySQLError)
Put = Callable[[str, Mapping[str, object]], None]


@pytest.fixture
def put(tmp_path: Path, database: str) -> Iterator[Put]:
    """Writes a row past all of our code, on each database."""
    if database != "sqlite":
        yield lambda table, row: execute(os.environ[VARIABLE], put_statement(table, row))
        return
    migrate.upgrade(tmp_path / "x.db")
    with closing(sqlite3.connect(tmp_path / "x.db")) as opened:
        opened.execute("PRAGMA foreign_keys=ON")
        yield lambda table, row: opened.execute(put_statement(table, row)) and None


def put_statement(table: str, row: Mapping[str, object]) -> str:
    """In full, as any database takes it; the values are ours."""
    values = ", ".join("NULL" if value is None else f"'{value}'" for value in row.values())
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})"  # noqa: S608 - names and values of our own


def test_a_good_row_is_taken(put: Put) -> None:
    put("agent_tasks", GOOD)


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"status": "sleeping"}, "known_status"),
        ({"status": "completed"}, "finished_has_end"),
        ({"finished_at": 1}, "finished_has_end"),
        ({"status": "running"}, "running_has_lease"),
        ({"status": "running", "lease_until": 1}, "running_has_lease"),
        ({"lease_until": 1, "worker_id": "w"}, "running_has_lease"),
        ({"run_after": None}, "(?i)not.null|cannot be null"),
    ],
)
def test_a_task_that_breaks_a_rule_is_refused(put: Put, changed: dict[str, object], broken: str) -> None:
    with pytest.raises(BROKEN, match=broken):
        put("agent_tasks", {**GOOD, **changed})


def test_an_event_number_is_used_once(put: Put) -> None:
    event = {"task_id": "t1", "sequence": 1, "kind": "k", "at": 0, "data": "{}"}
    put("task_events", event)

    with pytest.raises(BROKEN, match=r"(?i)unique|duplicate"):
        put("task_events", event)


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"status": "lost"}, "known_step_status"),
        ({"status": "done"}, "done_has_end"),
        ({"finished_at": 1}, "done_has_end"),
    ],
)
def test_a_step_that_breaks_a_rule_is_refused(put: Put, changed: dict[str, object], broken: str) -> None:
    step = {
        "task_id": "t1",
        "path": "0/0",
        "kind": "tool",
        "name": "n",
        "arguments": "{}",
        "status": "running",
        "attempt": 1,
        "started_at": 0,
    }

    with pytest.raises(BROKEN, match=broken):
        put("task_steps", {**step, **changed})


def test_a_deliverable_belongs_to_a_task(put: Put) -> None:
    row: dict[str, object] = dict.fromkeys(("task_id", "name", "path", "sha256"), "x")
    row |= {"is_folder": 0, "size_bytes": 0, "files": "[]", "evidence": "[]", "stored_at": 0}

    with pytest.raises(BROKEN, match=r"(?i)foreign key"):
        put("task_deliverables", row)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2026, 7, 1, 12, 30, 59, 999_999, tzinfo=UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
def test_times_survive_to_the_microsecond(moment: datetime) -> None:
    kind, dialect = UtcMicroseconds(), sqlite.dialect()

    stored = kind.process_bind_param(moment, dialect)

    assert isinstance(stored, int)
    assert kind.process_result_value(stored, dialect) == moment
