"""What the port promises, on each database: what is durable, what is told, who waits for whom, who loses a race."""

import asyncio
import os
import random
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import exc, text

from chargehand.errors import RaceLost, Unavailable
from chargehand.store import idle_connections, server
from chargehand.store.database import Database, Tx, retried
from tests.databases import VARIABLE
from tests.store.places import TABLE, Place

INSERT = text("INSERT INTO notes VALUES (:author, :line)")
HOLD = "SELECT line FROM notes WHERE author = :author"


@pytest_asyncio.fixture
async def place(database: str, tmp_path: Path) -> AsyncGenerator[Place, None]:
    """A database with an empty table `notes`."""
    one = Place(kind=database, path=tmp_path / "x.db", url=os.environ.get(VARIABLE))
    one.execute("DROP TABLE IF EXISTS notes", TABLE)
    yield one
    await one.close()
    one.execute("DROP TABLE notes")


ON_SERVERS = pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)
"""SQLite has one writer, and no connection that can be lost."""


async def write_lines(tx: Tx, author: int, *, lines: int = 3) -> None:
    for line in range(lines):
        await tx.connection.execute(INSERT, {"author": author, "line": line})


async def count(db: Database) -> int:
    async with db.read() as tx:
        return await tx.connection.scalar(text("SELECT count(*) FROM notes")) or 0


async def hold(tx: Tx, author: int) -> int:
    """An author's number of the last line; the row is held until the transaction ends."""
    held = "" if tx.connection.dialect.name == "sqlite" else " FOR UPDATE"
    return await tx.connection.scalar(text(HOLD + held), {"author": author}) or 0


async def set_line(tx: Tx, author: int, line: int) -> None:
    statement = text("UPDATE notes SET line = :line WHERE author = :author")
    await tx.connection.execute(statement, {"author": author, "line": line})


async def test_hints_are_sent_when_the_rows_can_be_read_by_others_and_not_before(place: Place) -> None:
    db, seen = place.open(), list[int]()

    async with db.write() as tx:
        tx.after_commit(lambda: seen.append(place.notes()))
        await write_lines(tx, 1)
        assert (seen, place.notes()) == ([], 0)

    assert seen == [3]


async def test_a_rollback_forgets_rows_and_hints(place: Place) -> None:
    db, sent = place.open(), list[str]()

    async def change_my_mind() -> None:
        async with db.write() as tx:
            tx.after_commit(lambda: sent.append("hint"))
            await write_lines(tx, 1)
            raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed my mind"):
        await change_my_mind()

    assert (sent, place.notes()) == ([], 0)


async def test_a_statement_that_is_refused_leaves_nothing_and_the_writers_usable(place: Place) -> None:
    db = place.open(connections=2)
    for _ in range(3):
        with pytest.raises(exc.DBAPIError, match=r"(?i)constraint"):
            async with db.write() as tx:
                await write_lines(tx, 1, lines=101)
    async with db.write() as tx:
        await write_lines(tx, 2)

    assert place.rows("SELECT author, count(*) FROM notes GROUP BY author") == [(2, 3)]


async def test_readers_do_not_wait_for_a_writer_and_see_what_was_committed(place: Place) -> None:
    db = place.open()
    async with db.write() as tx:
        await write_lines(tx, 1)
        async with db.glance() as glancing:
            glanced = await glancing.connection.scalar(text("SELECT count(*) FROM notes"))
        during = await count(db)

    assert (during, glanced, await count(db)) == (0, 0, 3)


async def test_each_statement_of_a_reader_sees_what_was_last_committed(place: Place) -> None:
    db = place.open()
    async with db.read() as reading:
        seen = [await reading.connection.scalar(text("SELECT count(*) FROM notes"))]
        async with db.write() as tx:
            await write_lines(tx, 1)
        seen.append(await reading.connection.scalar(text("SELECT count(*) FROM notes")))

    assert seen == [0, 3]


async def test_what_is_read_and_held_is_changed_by_one_after_the_other(place: Place) -> None:
    db = place.open(connections=6)
    place.execute("INSERT INTO notes VALUES (1, 0)")

    @retried
    async def increase() -> None:
        async with db.write() as tx:
            await set_line(tx, 1, await hold(tx, 1) + 1)

    await asyncio.gather(*(increase() for _ in range(40)))

    assert place.rows("SELECT line FROM notes") == [(40,)]


async def test_writers_canceled_at_any_moment_leave_whole_transactions_and_one_hint_for_each(
    place: Place,
) -> None:
    db, sent = place.open(), list[int]()
    chance = random.Random(7)  # noqa: S311 - moments of a test
    most = 0.02 if place.is_server else 0.003

    async def write(author: int) -> None:
        async with db.write() as tx:
            tx.after_commit(lambda: sent.append(author))
            await write_lines(tx, author)

    for author in range(150):
        writer = asyncio.create_task(write(author))
        if chance.random() > 0.2:
            await asyncio.sleep(chance.random() * most)
        writer.cancel()
        await asyncio.wait([writer])
    # The one that nobody disturbs shows that the connections are of use again.
    await write(150)

    stored = dict(place.rows("SELECT author, count(*) FROM notes GROUP BY author"))
    assert set(stored.values()) == {3}
    assert sorted(stored) == sorted(sent)
    assert len(sent) < 151, "nobody was canceled in time"


async def test_a_cancel_during_the_commit_comes_through_after_the_hints(place: Place) -> None:
    db, sent = place.open(), list[str]()
    writer: asyncio.Task[None] | None = None

    async def write() -> None:
        async with db.write() as tx:
            await write_lines(tx, 1)
            tx.after_commit(lambda: sent.append("hint"))
            assert writer is not None
            # The next thing that is awaited is the commit.
            writer.cancel()

    writer = asyncio.create_task(write())
    with pytest.raises(asyncio.CancelledError):
        await writer

    assert (sent, place.notes()) == (["hint"], 3)


async def make_the_commit_fail(place: Place, tx: Tx) -> None:
    if place.is_server:
        place.kill(place.connections())
    else:
        # SQLite looks at this key when the transaction is committed, and not before.
        await tx.connection.execute(text("INSERT INTO answers VALUES (99)"))


ANSWERS = """
CREATE TABLE answers (note INTEGER REFERENCES questions (id) DEFERRABLE INITIALLY DEFERRED)
"""


async def test_a_cancel_during_a_commit_that_fails_comes_through_instead_of_the_fault(place: Place) -> None:
    db, sent = place.open(), list[str]()
    if not place.is_server:
        place.execute("CREATE TABLE questions (id INTEGER PRIMARY KEY)", ANSWERS)

    async def write(writer: asyncio.Task[None] | None) -> None:
        async with db.write() as tx:
            await write_lines(tx, 1)
            tx.after_commit(lambda: sent.append("hint"))
            await make_the_commit_fail(place, tx)
            if writer is not None:
                # The next thing that is awaited is the commit.
                writer.cancel()

    async def be_canceled() -> None:
        await write(asyncio.current_task())

    with pytest.raises((exc.IntegrityError, sqlite3.IntegrityError, Unavailable)):
        await write(None)
    with pytest.raises(asyncio.CancelledError) as canceled:
        await asyncio.create_task(be_canceled())

    assert isinstance(canceled.value.__cause__, Exception)
    assert (sent, place.notes()) == ([], 0)
    async with db.write() as tx:
        await write_lines(tx, 1)
    assert place.notes() == 3


@pytest.mark.parametrize("door", ["read", "glance", "write"])
async def test_a_cancel_that_a_driver_swallows_before_a_race_is_lost_begins_nothing_anew(
    place: Place, door: str
) -> None:
    db, begun = place.open(), list[str]()

    @retried
    async def lose() -> None:
        begun.append(door)
        async with getattr(db, door)():
            user = asyncio.current_task()
            assert user is not None
            user.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            raise RaceLost("another was first")

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(lose())

    assert begun == [door]


async def test_a_canceled_reader_leaves_the_readers_usable(place: Place) -> None:
    db = place.open(connections=3)
    slow = {
        "sqlite": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 300000) SELECT max(x) FROM c",
        "postgresql": "SELECT pg_sleep(0.2)",
        "mysql": "SELECT sleep(0.2)",
    }[place.kind]

    async def read() -> None:
        async with db.read() as tx:
            await tx.connection.scalar(text(slow))

    for _ in range(12):
        reader = asyncio.create_task(read())
        await asyncio.sleep(0.001)
        reader.cancel()
        await asyncio.wait([reader])

    async with asyncio.timeout(10):
        assert await count(db) == 0


async def test_no_cancel_of_a_reader_is_lost_whenever_it_comes(place: Place) -> None:
    db = place.open(connections=3)
    chance = random.Random(7)  # noqa: S311 - moments of a test

    async def read_on() -> None:
        while True:
            async with db.read() as tx:
                await tx.connection.scalar(text("SELECT 1"))

    for _ in range(200):
        reader = asyncio.create_task(read_on())
        await asyncio.sleep(chance.random() * 0.01)
        reader.cancel()
        _, lost = await asyncio.wait([reader], timeout=5)
        assert not lost
        assert reader.cancelled()


async def test_stopping_lets_the_open_transaction_end_and_takes_no_more(place: Place) -> None:
    db = place.open()
    async with db.write() as tx:
        stopping = asyncio.create_task(db.stop())
        await asyncio.sleep(0)
        await write_lines(tx, 1)
    await stopping

    for door in (db.write, db.read, db.glance):
        with pytest.raises(Unavailable, match="stopping"):
            async with door():
                pass
    assert place.notes() == 3
    if place.is_server:
        assert place.connections() == set()


@ON_SERVERS
async def test_a_deadlock_is_a_race_that_one_loses_and_wins_when_it_begins_anew(place: Place) -> None:
    db = place.open()
    place.execute("INSERT INTO notes VALUES (1, 0), (2, 0)")
    met, begun = asyncio.Barrier(2), [0]

    @retried
    async def both(first: int, second: int) -> None:
        begun[0] += 1
        async with db.write() as tx:
            line = await hold(tx, first)
            if begun[0] <= 2:
                await met.wait()
            await set_line(tx, second, await hold(tx, second) + 1)
            await set_line(tx, first, line + 1)

    await asyncio.gather(both(1, 2), both(2, 1))

    assert place.rows("SELECT line FROM notes") == [(2,), (2,)]
    assert begun[0] > 2, "there was no deadlock"


@ON_SERVERS
async def test_a_key_that_another_was_first_with_is_a_race(place: Place) -> None:
    db = place.open()

    async def late() -> None:
        async with db.write() as tx:
            await write_lines(tx, 1)

    async with db.write() as tx:
        await write_lines(tx, 1)
        waiting = asyncio.create_task(late())
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done, "the second did not wait for the first to make up its mind"

    with pytest.raises(RaceLost, match="other transactions were in the way"):
        await waiting
    assert place.notes() == 3


@ON_SERVERS
async def test_a_lock_is_waited_for_as_long_as_is_set(place: Place) -> None:
    db = place.open(lock_seconds=1)
    place.execute("INSERT INTO notes VALUES (1, 0)")

    async with db.write() as tx:
        await hold(tx, 1)
        with pytest.raises(RaceLost):
            async with asyncio.timeout(8), db.write() as other:
                await hold(other, 1)
        await set_line(tx, 1, 7)

    assert place.rows("SELECT line FROM notes") == [(7,)]


@ON_SERVERS
async def test_a_statement_that_takes_too_long_is_ended_and_told(place: Place) -> None:
    db = place.open(statement_seconds=0.3)
    sleep = "SELECT pg_sleep(8)" if place.kind == "postgresql" else "SELECT sleep(8) FROM dual"

    with pytest.raises(Unavailable, match="took too long over a statement"):
        async with asyncio.timeout(6), db.read() as tx:
            await tx.connection.scalar(text(sleep))

    assert await count(db) == 0


@ON_SERVERS
async def test_a_transaction_that_is_left_open_holds_nobody_up_for_longer_than_is_set(
    place: Place,
) -> None:
    db = place.open(idle_transaction_seconds=1)
    place.execute("INSERT INTO notes VALUES (1, 0)")

    async def forgotten() -> None:
        async with db.write() as tx:
            await hold(tx, 1)
            async with db.write() as other:
                await set_line(other, 1, await hold(other, 1) + 5)
            await set_line(tx, 1, 99)

    with pytest.raises(Unavailable, match="did not answer"):
        await forgotten()

    assert place.rows("SELECT line FROM notes") == [(5,)]


@ON_SERVERS
async def test_no_more_connections_are_opened_than_are_set(place: Place) -> None:
    db = place.open(connections=4)
    seen: list[int] = []

    async def work(author: int) -> None:
        async with db.write() as tx:
            await write_lines(tx, author)
            seen.append(len(place.connections()))
        await count(db)

    await asyncio.gather(*(work(author) for author in range(24)))

    assert place.notes() == 72
    assert 2 <= max(seen) <= 4


@ON_SERVERS
async def test_a_caller_who_gets_no_connection_is_told_what_to_raise(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "POOL_SECONDS", 0.2)
    db = place.open(connections=2)

    async with db.write():
        with pytest.raises(Unavailable, match="CHARGEHAND_DATABASE_CONNECTIONS"):
            async with db.write():
                pass


@ON_SERVERS
async def test_connections_that_died_while_nobody_used_them_are_replaced(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if each had lain idle for long.
    monkeypatch.setattr(idle_connections, "TRUSTED_SECONDS", 0.0)
    db = place.open()
    async with db.write() as tx:
        await write_lines(tx, 1)
        await count(db)
    dead = place.connections()
    assert len(dead) == 2

    place.kill(dead)

    assert await count(db) == 3
    async with db.write() as tx:
        await write_lines(tx, 2)
    assert place.notes() == 6
    assert not place.connections() & dead


@ON_SERVERS
async def test_a_connection_that_dies_in_a_transaction_leaves_nothing_of_it(place: Place) -> None:
    db, sent = place.open(), list[str]()

    async def cut_off() -> None:
        async with db.write() as tx:
            await write_lines(tx, 1)
            tx.after_commit(lambda: sent.append("hint"))
            place.kill(place.connections())
            await write_lines(tx, 2)

    with pytest.raises(Unavailable, match="did not answer"):
        await cut_off()

    assert (place.notes(), sent) == (0, [])
    async with db.write() as tx:
        await write_lines(tx, 3)
    assert place.notes() == 3
