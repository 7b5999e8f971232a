"""A deadline that moves while the attempt runs: the row counts, in both directions."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from chargehand.engine import deadlines
from chargehand.engine.deadlines import kept_deadline
from chargehand.errors import Unavailable

AT = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


async def test_time_that_the_row_was_given_meanwhile_is_had() -> None:
    seen: list[datetime] = []

    async def look() -> datetime:
        seen.append(AT + timedelta(seconds=0.05 * min(2, len(seen) + 1)))
        return seen[-1]

    with pytest.raises(TimeoutError):
        async with kept_deadline(AT, 0.05, look) as kept:
            await asyncio.Event().wait()
    assert kept is not None
    assert kept.limit.expired()
    assert kept.at == seen[-1] == AT + timedelta(seconds=0.1)
    assert len(seen) >= 2


async def test_time_that_was_taken_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "LOOK_SECONDS", 0.01)

    async def look() -> datetime:
        return AT - timedelta(days=1)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5), kept_deadline(AT, 3600, look) as kept:
            await asyncio.Event().wait()
    assert kept is not None
    assert kept.limit.expired()


async def test_rows_that_cannot_be_read_leave_the_deadline_as_it_was() -> None:
    async def look() -> datetime:
        raise Unavailable("the database is locked")

    with pytest.raises(TimeoutError):
        async with kept_deadline(AT, 0.02, look) as kept:
            await asyncio.Event().wait()
    assert kept is not None
    assert kept.at == AT
