"""Fills a store with real rows: copies of one task and its events, made by the database itself.

Rule: whatever the columns are, a copy has its own id and its own times; everything else is the template's.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table

from bench.ground import run_sql
from chargehand.store.tables import AgentTask, Base

OWN_TIMES = frozenset({"run_after", "created_at", "claim_order"})
TASK_TABLES = {"agent_tasks": "id", "task_events": "task_id"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a database writes the id of copy number i, and the numbers from one to another."""

    id: str
    numbers: str


SQLITE = Dialect(
    "printf('00000000-0000-7000-8000-%012x', i)",
    "WITH RECURSIVE numbers(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM numbers WHERE i < {last}) ",
)
POSTGRESQL = Dialect(
    "'00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0')",
    "WITH numbers(i) AS (SELECT generate_series({first}::bigint, {last}::bigint)) ",
)


def copied_id(number: int) -> str:
    """The id of a copy, as the statements make it."""
    return f"00000000-0000-7000-8000-{number:012x}"


def statements(dialect: Dialect, template: str, first: int, last: int) -> list[str]:
    """Copies of the template numbered first to last, with their events."""
    numbers = dialect.numbers.format(first=first, last=last)
    tables: Iterable[tuple[Table, str]] = (
        (Base.metadata.tables[name], key) for name, key in TASK_TABLES.items()
    )
    return [
        _copies(numbers, table.name, table.columns.keys(), key, template, _own_values(dialect, template))
        for table, key in tables
    ]


def _own_values(dialect: Dialect, template: str) -> Callable[[str, str], str]:
    def value(column: str, key: str) -> str:
        if column == key:
            return dialect.id
        if column in {"root_id", "context_id"}:
            # A task that stands alone is its own root.
            return f"CASE WHEN {column} = '{template}' THEN {dialect.id} ELSE {column} END"
        return f"{column} + i" if column in OWN_TIMES else column

    return value


def _copies(
    numbers: str,
    table: str,
    columns: Sequence[str],
    key: str,
    template: str,
    value: Callable[[str, str], str],
) -> str:
    values = ", ".join(value(column, key) for column in columns)
    return (
        f"{numbers}INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608 - names of our own tables, a task's id
        f"SELECT {values} FROM {table} CROSS JOIN numbers WHERE {key} = '{template}'"
    )


async def fill_sqlite(path: Path, template: str, first: int, last: int) -> None:
    def fill() -> None:
        with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
            for statement in statements(SQLITE, template, first, last):
                connection.execute(statement)

    await asyncio.to_thread(fill)


async def fill_postgresql(url: str, template: str, first: int, last: int) -> None:
    await run_sql(url, *statements(POSTGRESQL, template, first, last), *map(_tidied, TASK_TABLES))


async def fill_by_hand(url: str, template: str, first: int, last: int) -> None:
    """The table of the app that was written by hand."""
    columns = ["id", "agent_id", "task_data", "status", "result", "created_at", "finished_at"]

    def value(column: str, key: str) -> str:
        return f"({POSTGRESQL.id})::uuid" if column == key else column

    table = AgentTask.__tablename__
    numbers = POSTGRESQL.numbers.format(first=first, last=last)
    await run_sql(url, _copies(numbers, table, columns, "id", template, value), _tidied(table))


def _tidied(table: str) -> str:
    """As autovacuum would a little later."""
    return f"VACUUM ANALYZE {table}"
