"""A deadline that moves while the attempt runs: the row counts, in both directions."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from chargehand.engine import deadlines
from chargehand.engine.deadlines import KeptDeadline, Look, kept_deadline
from chargehand.errors import Unavailable

AT = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


async def until_it_is_over(seconds_left: float, look: Look) -> KeptDeadline:
    kept: KeptDeadline | None = None
    try:
        async with asyncio.timeout(5), kept_deadline(AT, seconds_left, look) as kept:
            await asyncio.Event().wait()
    except TimeoutError:
        assert kept is not None
        return kept
    raise AssertionError("it never ended")


async def test_time_that_the_row_was_given_meanwhile_is_had() -> None:
    seen: list[datetime] = []

    async def look() -> datetime:
        seen.append(AT + timedelta(seconds=0.05 * min(2, len(seen) + 1)))
        return seen[-1]

    kept = await until_it_is_over(0.05, look)

    assert kept.limit.expired()
    assert kept.at == seen[-1] == AT + timedelta(seconds=0.1)
    assert len(seen) >= 2


async def test_time_that_was_taken_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "LOOK_SECONDS", 0.01)

    async def look() -> datetime:
        return AT - timedelta(days=1)

    kept = await until_it_is_over(3600, look)

    assert kept.limit.expired()


async def test_rows_that_cannot_be_read_leave_the_deadline_as_it_was() -> None:
    async def look() -> datetime:
        raise Unavailable("the database is locked")

    kept = await until_it_is_over(0.02, look)

    assert kept.at == AT
