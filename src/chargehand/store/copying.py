"""Copies every row from one database to another, of whichever kinds, and compares them one by one.

Rule: FROM is read in one snapshot. A batch and the note of how far it goes are one transaction at TO, so a copy that
was cut off goes on behind the last row that arrived. Until it has been compared, TO is at a revision (`UNFINISHED`)
that no service starts on.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    and_,
    delete,
    insert,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import JSON

from chargehand.errors import Conflict, Unavailable
from chargehand.failpoint import fail_point
from chargehand.store import migrate
from chargehand.store.copy_sides import TABLES, Side, count, live_leases, require_current
from chargehand.store.migrate import UNFINISHED

ROWS_AT_ONCE = 2_000

_NOTES = Table(
    "copy_notes",
    MetaData(),
    Column("table_name", String(64), primary_key=True),
    Column("source", Text),
    Column("last_key", Text),
    Column("rows_copied", Integer),
)
"""How far each table is; gone when the copy is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a table is."""

    doing: str
    """`copied` or `compared`."""
    table: str
    rows: int
    total: int
    seconds: float


Told = Callable[[Progress], None]


async def copy(source: Side, target: Side, *, told: Told, force: bool = False) -> int:
    """Copy and compare; the number of rows. Conflict, Unavailable: what is wrong with which side."""
    if source.url == target.url:
        raise Conflict("FROM and TO are the same database")
    require_current(source, await source.revision())
    before = await target.revision()
    if before not in {None, UNFINISHED}:
        require_current(target, before)
    if before is None:
        await target.fill()
    async with source.connected(in_one_moment=True) as reading, target.connected() as writing:
        if source.is_server and not force and (held := await live_leases(reading, source)):
            raise Conflict(
                f"a service is at work on {source.name}: {held} lease(s) are live. Stop every process that uses it,"
                " wait half a minute, and begin again; --force copies the moment as it is and loses what comes later"
            )
        await _begin(writing, source, target, is_begun=before == UNFINISHED)
        rows = 0
        for table in TABLES:
            rows += await _copy_table(reading, writing, table, told)
        for table in TABLES:
            await _compare_table(reading, writing, table, told)
        await _finish(writing)
    return rows


async def _begin(writing: AsyncConnection, source: Side, target: Side, *, is_begun: bool) -> None:
    """Take an empty database, or one that a copy of the same source was begun in."""
    if is_begun:
        begun_from = await writing.scalar(select(_NOTES.c.source).limit(1))
        if begun_from != source.name:
            raise Conflict(
                f"{target.name} holds part of a copy of {begun_from}, not of {source.name}; give that copy to its end,"
                " or name an empty database"
            )
        return
    for table in TABLES:
        if await count(writing, table):
            raise Conflict(f"{target.name} is not empty ({table.name} has rows); name an empty database")
    await writing.run_sync(lambda connection: _NOTES.create(connection, checkfirst=True))
    await writing.execute(delete(_NOTES))
    notes = [
        {"table_name": table.name, "source": source.name, "last_key": None, "rows_copied": 0}
        for table in TABLES
    ]
    await writing.execute(insert(_NOTES), notes)
    await _set_revision(writing, UNFINISHED)
    await writing.commit()
    fail_point("copying.begun")


async def _copy_table(reading: AsyncConnection, writing: AsyncConnection, table: Table, told: Told) -> int:
    total, begun = await count(reading, table), time.monotonic()
    note = (
        await writing.execute(
            select(_NOTES.c.last_key, _NOTES.c.rows_copied).where(_NOTES.c.table_name == table.name)
        )
    ).one()
    last: list[Any] | None = None if note.last_key is None else json.loads(note.last_key)
    done = int(note.rows_copied)
    while page := await _page(reading, table, last):
        last, done = _key(table, page[-1]), done + len(page)
        await writing.execute(insert(table), [dict(row._mapping) for row in page])  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
        await writing.execute(
            _NOTES.update()
            .where(_NOTES.c.table_name == table.name)
            .values(last_key=json.dumps(last), rows_copied=done)
        )
        fail_point("copying.before_commit")
        await writing.commit()
        fail_point("copying.committed")
        told(
            Progress(
                doing="copied", table=table.name, rows=done, total=total, seconds=time.monotonic() - begun
            )
        )
    return done


async def _compare_table(
    reading: AsyncConnection, writing: AsyncConnection, table: Table, told: Told
) -> None:
    """Row by row, found at TO by the key: the two may sort texts differently."""
    total, begun = await count(reading, table), time.monotonic()
    if (there := await count(writing, table)) != total:
        raise Unavailable(
            f"{table.name} has {there} rows at TO and {total} at FROM; begin again with an empty TO"
        )
    last: list[Any] | None = None
    done = 0
    while page := await _page(reading, table, last):
        found = await writing.execute(select(table).where(_of_page(table, page)))
        arrived = {tuple(_key(table, row)): row for row in found}
        for row in page:
            if wrong := _difference(table, row, arrived.get(tuple(_key(table, row)))):
                raise Unavailable(
                    f"{table.name} {_key(table, row)} differs at TO: {wrong}; begin again with an empty TO"
                )
        last, done = _key(table, page[-1]), done + len(page)
        told(
            Progress(
                doing="compared", table=table.name, rows=done, total=total, seconds=time.monotonic() - begun
            )
        )
    # MySQL would else keep what this connection has seen as it was.
    await writing.rollback()


async def _finish(writing: AsyncConnection) -> None:
    await _set_revision(writing, migrate.HEAD)
    await writing.commit()
    fail_point("copying.compared")
    await writing.run_sync(_NOTES.drop)
    await writing.commit()


async def _set_revision(connection: AsyncConnection, revision: str) -> None:
    await connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})


async def _page(connection: AsyncConnection, table: Table, last: Sequence[Any] | None) -> Sequence[Row[Any]]:
    columns = list(table.primary_key.columns)
    statement = select(table).order_by(*columns).limit(ROWS_AT_ONCE)
    if last is not None:
        # The first condition is what an index can begin at, whichever database it is.
        statement = statement.where(columns[0] >= last[0], _behind(columns, last))
    return (await connection.execute(statement)).all()


def _behind(columns: Sequence[Column[Any]], last: Sequence[Any]) -> ColumnElement[bool]:
    if len(columns) == 1:
        return columns[0] > last[0]
    return or_(columns[0] > last[0], and_(columns[0] == last[0], _behind(columns[1:], last[1:])))


def _of_page(table: Table, page: Sequence[Row[Any]]) -> ColumnElement[bool]:
    """What finds the rows of a page by their keys, perhaps among others.

    Whole keys in a list cost a server more than the rows do, so many tasks' rows are found by the tasks.
    """
    columns = list(table.primary_key.columns)
    firsts = {_key(table, row)[0] for row in page}
    if len(columns) == 1 or (columns[0].name == "task_id" and len(firsts) > len(page) // 100):
        return columns[0].in_(firsts)
    return tuple_(*columns).in_([tuple(_key(table, row)) for row in page])


def _key(table: Table, row: Row[Any]) -> list[Any]:
    return [row._mapping[column.name] for column in table.primary_key.columns]  # pyright: ignore[reportPrivateUsage] - as above


def _difference(table: Table, ours: Row[Any], theirs: Row[Any] | None) -> str | None:
    """Which column differs; None: none does. MySQL keeps JSON by its meaning, so that its text may be another."""
    if theirs is None:
        return "the row is missing"
    for column, one, other in zip(table.columns, ours, theirs, strict=True):
        if one == other:
            continue
        is_json = isinstance(column.type, JSON) and one is not None and other is not None
        if not (is_json and _meaning(one) == _meaning(other)):
            return column.name
    return None


def _meaning(value: Any) -> str:
    return json.dumps(json.loads(value), sort_keys=True)
