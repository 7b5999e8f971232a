"""What is SQLite's own: its locks, its threads, its file. test_database_doors.py has what holds of every database."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from chargehand.clock import SystemClock
from chargehand.errors import Unavailable
from chargehand.store.database import Tx
from chargehand.store.sqlite import SqliteDatabase, integrity_problem


@pytest_asyncio.fixture
async def db(tmp_path: Path) -> AsyncGenerator[SqliteDatabase, None]:
    """An opened database with a table `notes`."""
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        connection.execute("CREATE TABLE notes (author INTEGER, line INTEGER CHECK (line < 100))")
    database = SqliteDatabase(tmp_path / "test.db", SystemClock())
    yield database
    await database.stop()


async def write_lines(tx: Tx, author: int, *, lines: int = 3) -> None:
    for line in range(lines):
        statement = text("INSERT INTO notes VALUES (:author, :line)")
        await tx.connection.execute(statement, {"author": author, "line": line})


async def count(db: SqliteDatabase) -> int:
    async with db.read() as tx:
        return await tx.connection.scalar(text("SELECT count(*) FROM notes")) or 0


async def test_a_commit_is_durable_as_a_power_cut_demands(db: SqliteDatabase) -> None:
    async with db.write() as tx:
        durable = await tx.connection.scalar(text("PRAGMA synchronous"))
        mode = await tx.connection.scalar(text("PRAGMA journal_mode"))
        foreign = await tx.connection.scalar(text("PRAGMA foreign_keys"))

    assert (durable, mode, foreign) == (2, "wal", 1)


async def test_a_write_transaction_begins_with_the_write_lock(db: SqliteDatabase) -> None:
    async with db.write():
        with (
            closing(sqlite3.connect(db.path, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("BEGIN IMMEDIATE")


async def test_a_reader_cannot_write(db: SqliteDatabase) -> None:
    with pytest.raises(Unavailable, match="cannot be written"):
        async with db.read() as tx:
            await write_lines(tx, 1)


async def test_writers_take_turns_in_the_order_in_which_they_came(db: SqliteDatabase) -> None:
    order: list[int] = []

    async def write(number: int) -> None:
        async with db.write() as tx:
            await write_lines(tx, number)
            order.append(number)

    await asyncio.gather(*(write(number) for number in range(20)))

    assert order == list(range(20))


async def test_a_writer_canceled_while_it_waits_for_another_process_gives_up_its_place(
    db: SqliteDatabase,
) -> None:
    async def write() -> None:
        async with db.write() as tx:
            await write_lines(tx, 1)

    await write()
    with closing(sqlite3.connect(db.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(write())
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done, "the other's lock was passed over"
        waiting.cancel()
        other.execute("ROLLBACK")

    async with asyncio.timeout(5):
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await write()
    assert await count(db) == 6


def threads_left_in_the_end() -> int:
    """A thread that was told to end needs a moment for it."""
    for thread in threading.enumerate():
        if thread.name.startswith("Thread-"):
            thread.join(timeout=5)
    return threading.active_count()


async def test_stopping_ends_every_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    database = SqliteDatabase(tmp_path / "empty.db", SystemClock())
    async with database.write(), database.read(), database.read():
        pass

    await database.stop()

    assert threads_left_in_the_end() <= before


async def test_a_connection_that_cannot_be_prepared_leaves_no_thread_behind(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        # Not yet in WAL mode: the first connection would change that, and does not wait for others to let it.
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE t (a)")
        before = threading.active_count()
        database = SqliteDatabase(path, SystemClock())
        for _ in range(3):
            with pytest.raises(Unavailable, match="locked"):
                async with database.write():
                    pass
        await database.stop()

    assert threads_left_in_the_end() <= before


async def test_a_file_that_is_gone_or_no_database_is_told_plainly(tmp_path: Path) -> None:
    absent = SqliteDatabase(tmp_path / "no" / "folder" / "x.db", SystemClock())

    with pytest.raises(Unavailable, match="check the data folder"):
        async with absent.write():
            pass
    await absent.stop()


def test_the_integrity_check_finds_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,) for _ in range(200)])
        connection.commit()
    assert integrity_problem(path) is None

    damaged = bytearray(path.read_bytes())
    damaged[4096 * 3 : 4096 * 5] = bytes(4096 * 2)
    path.write_bytes(damaged)

    assert integrity_problem(path) is not None
