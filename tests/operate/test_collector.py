"""The collector of garbage: what use has brought does not hold the loop again and again."""

import gc
from collections.abc import Generator

import pytest

from chargehand.app import loop

LISTS = 10_000


@pytest.fixture
def passed_over() -> Generator[int]:
    """How much is passed over by now; a new callback listens, and nothing else is collected meanwhile."""
    callback = loop.WhatLasts()
    gc.disable()
    gc.callbacks.append(callback)
    yield gc.get_freeze_count()
    gc.callbacks.remove(callback)
    gc.enable()
    gc.unfreeze()


def test_what_takes_long_to_look_through_is_looked_through_once(
    passed_over: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LONG_COLLECTION_SECONDS", 0.0)
    kept: list[list[object]] = [[] for _ in range(LISTS)]

    gc.collect()

    assert len(kept) == LISTS
    assert gc.get_freeze_count() - passed_over >= LISTS


def test_what_is_soon_looked_through_stays_in_the_collectors_sight(
    passed_over: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LONG_COLLECTION_SECONDS", 60.0)

    gc.collect()

    assert gc.get_freeze_count() <= passed_over


def test_only_a_collection_of_everything_counts(passed_over: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LONG_COLLECTION_SECONDS", 0.0)

    gc.collect(1)

    assert gc.get_freeze_count() <= passed_over


@pytest.mark.usefixtures("passed_over")
def test_it_is_done_a_few_times_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LONG_COLLECTION_SECONDS", 0.0)
    for _ in range(loop.MOST_FREEZES):
        gc.collect()
    gc.unfreeze()

    gc.collect()

    assert gc.get_freeze_count() == 0


def test_many_starts_in_one_process_have_one_callback() -> None:
    loop.keep_what_the_start_made()
    before = len(gc.callbacks)

    loop.keep_what_the_start_made()

    assert len(gc.callbacks) == before
    gc.unfreeze()
