"""The move of a store with tasks in flight, small; and that a difference between two stores is seen."""

import argparse
import asyncio

import pytest

from bench import moving
from bench.ground import POSTGRESQL_VARIABLE


def test_a_small_store_is_moved_with_its_running_tasks(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(POSTGRESQL_VARIABLE, postgresql_url)

    is_whole = asyncio.run(moving.run(argparse.Namespace(tasks=50, running=2, seconds=1.0)))

    told = capfd.readouterr().out
    assert is_whole, told
    assert "compared once more: all the same" in told
    assert "       53 tasks" in told


@pytest.mark.parametrize(
    "there",
    [
        [("one", '{"b": 2, "a": 1}', 1)],
        [("one", '{"a": 1, "b": 2}', 1), ("one", '{"a": 1, "b": 2}', 1)],
        [("one", '{"a": 1, "b": 3}', 1), ("two", None, 0)],
    ],
)
def test_a_row_that_is_missing_doubled_or_changed_is_seen(there: list[tuple[object, ...]]) -> None:
    here = [("two", None, False), ("one", '{"a":1,"b":2}', True)]

    assert moving.marks(here) == moving.marks([("one", '{"b": 2, "a": 1}', 1), ("two", None, 0)])
    assert moving.marks(here) != moving.marks(there)
