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


HERE = [("two", None, 0), ("one", '{"a":1,"b":2}', 1)]


def test_the_same_rows_are_the_same_however_they_are_spelt_and_ordered() -> None:
    there = [("one", {"b": 2, "a": 1}, True), ("two", None, False)]

    assert moving.marks(HERE, {1}) == moving.marks(there)


@pytest.mark.parametrize(
    "there",
    [
        [("one", {"a": 1, "b": 2}, True)],
        [("one", {"a": 1, "b": 2}, True), ("one", {"a": 1, "b": 2}, True)],
        [("one", {"a": 1, "b": 3}, True), ("two", None, False)],
    ],
)
def test_a_row_that_is_missing_doubled_or_changed_is_seen(there: list[tuple[object, ...]]) -> None:
    assert moving.marks(HERE, {1}) != moving.marks(there)
