"""The database server's clock, asked over a line whose delays a test sets."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import make_url

from chargehand.store.database import Database, Tx
from chargehand.store.server_clock import ServerClock

URL = make_url("postgresql+asyncpg://127.0.0.1/x")
SERVER_START = datetime(2030, 1, 1, tzinfo=UTC)


class _Machine(ServerClock):
    """Its monotonic time passes when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0
        super().__init__()

    def monotonic(self) -> float:
        return self.seconds


class _Line:
    """A database beside which a server's clock runs on; of each question: how long it, then its answer, travels."""

    def __init__(self, machine: _Machine, travels: Iterable[tuple[float, float]]) -> None:
        self._machine = machine
        self._travels = iter(travels)

    @asynccontextmanager
    async def read(self, tenant: str | None = None) -> AsyncGenerator[Tx, None]:
        yield Tx(connection=cast("Any", self), now=SERVER_START)

    async def scalar(self, question: object) -> int:
        del question
        there, back = next(self._travels)
        self._machine.seconds += there
        answer = round((SERVER_START.timestamp() + self._machine.seconds) * 1_000_000)
        self._machine.seconds += back
        return answer

    def none_is_left(self) -> bool:
        return next(self._travels, None) is None


def ahead(machine: _Machine) -> float:
    """By how many seconds it is wrong."""
    return (machine.now() - SERVER_START - timedelta(seconds=machine.seconds)).total_seconds()


async def ask(machine: _Machine, *travels: tuple[float, float]) -> None:
    line = _Line(machine, travels)
    await machine.ask(cast("Database", line), URL)
    assert line.none_is_left()


async def test_at_first_the_quickest_of_some_answers_counts() -> None:
    machine = _Machine()

    await ask(machine, (0.0, 20.0), (0.2, 0.0), (0.0, 3.0))

    assert ahead(machine) == pytest.approx(0.1, abs=1e-5)  # pyright: ignore[reportUnknownMemberType] - untyped there


async def test_an_answer_that_comes_late_changes_nothing_and_a_quick_one_does() -> None:
    machine = _Machine()
    await ask(machine, *[(0.2, 0.0)] * 3)
    before = ahead(machine)

    await ask(machine, (0.0, 1.2))
    late = ahead(machine)
    await ask(machine, (0.0, 0.8))
    quick = ahead(machine)

    assert late == before
    assert quick == pytest.approx(-0.4, abs=1e-5)  # pyright: ignore[reportUnknownMemberType] - untyped there


async def test_a_line_that_is_always_slow_still_corrects_the_clock() -> None:
    machine = _Machine()
    await ask(machine, *[(4.0, 0.0)] * 3)

    await ask(machine, (1.5, 1.5))
    better = ahead(machine)
    await ask(machine, (4.0, 0.0))

    assert better == pytest.approx(0.0, abs=1e-5)  # pyright: ignore[reportUnknownMemberType] - untyped there
    assert ahead(machine) == better
