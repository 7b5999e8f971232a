"""Long transactions on SQLite give the event loop turns, and nothing of them is seen before they end."""

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from chargehand.clock import SystemClock
from chargehand.store import inline
from chargehand.store.sqlite import SqliteDatabase
from tests.loop_turns import LoopTurns

STATEMENTS = 20


async def _write_slowly(db: SqliteDatabase, turns: LoopTurns) -> int:
    """Statements with work between them that takes as long as may be held; the turns that others had meanwhile."""
    async with db.write() as tx:
        await tx.connection.execute(text("CREATE TABLE told (number INTEGER)"))
        before = turns.count
        for number in range(STATEMENTS):
            until = time.perf_counter() + inline.HELD_SECONDS
            while time.perf_counter() < until:
                pass
            await tx.connection.execute(text("INSERT INTO told VALUES (:number)"), {"number": number})
        return turns.count - before


async def test_a_long_transaction_lets_others_have_their_turns(tmp_path: Path) -> None:
    db, turns = SqliteDatabase(tmp_path / "x.db", SystemClock()), LoopTurns()

    had = await _write_slowly(db, turns)

    turns.stop()
    await db.stop()
    assert had >= STATEMENTS - 1


async def test_a_short_one_is_not_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db, turns = SqliteDatabase(tmp_path / "x.db", SystemClock()), LoopTurns()
    monkeypatch.setattr(inline, "HELD_SECONDS", 60.0)
    async with db.write() as tx:
        before = turns.count
        for number in range(STATEMENTS):
            await tx.connection.execute(text("SELECT :number"), {"number": number})
        had = turns.count - before

    turns.stop()
    await db.stop()
    assert had == 0


async def test_a_cancel_in_such_a_turn_leaves_nothing_of_the_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = SqliteDatabase(tmp_path / "x.db", SystemClock())
    monkeypatch.setattr(inline, "HELD_SECONDS", -1.0)  # a turn before each statement
    async with db.write() as tx:
        await tx.connection.execute(text("CREATE TABLE told (number INTEGER)"))
    begun = asyncio.Event()

    async def write() -> None:
        async with db.write() as tx:
            for number in range(STATEMENTS):
                await tx.connection.execute(text("INSERT INTO told VALUES (:number)"), {"number": number})
                begun.set()

    writing = asyncio.create_task(write())
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    async with db.write() as tx:
        await tx.connection.execute(text("INSERT INTO told VALUES (99)"))
    async with db.glance() as tx:
        rows = (await tx.connection.execute(text("SELECT number FROM told"))).scalars().all()
    await db.stop()
    assert list(rows) == [99]
