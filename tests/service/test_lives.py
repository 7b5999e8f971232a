"""Tasks keep their promises whatever workers, callers and clocks do in whatever order; and the model would see it.

A guard that is taken out on purpose must be noticed, else the model proves nothing.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from chargehand.service import attempts, endings
from chargehand.store import tasks
from tests.service.lives import Lives, World, a_world

PLAYED = settings(
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


EXAMPLES = {"sqlite": 300, "postgresql": 6, "mysql": 6}
"""The statements are the same everywhere; a server answers each a hundred times later."""
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def world(database: str) -> Iterator[World]:
    with a_world(database) as opened:
        Lives.world = opened
        yield opened


def play(chosen: settings) -> None:
    run_state_machine_as_test(Lives, settings=chosen)  # pyright: ignore[reportUnknownMemberType] - untyped there


@pytest.mark.usefixtures("world")
def test_every_promise_holds_whatever_happens_in_whatever_order(database: str) -> None:
    play(settings(PLAYED, max_examples=EXAMPLES[database]))


def is_always_held(now: Any, seen: Any) -> bool:
    del now, seen
    return True


def as_the_attempt_says(now: Any, one: Any) -> Any:
    del now
    return one.outcome


async def do_nothing(*_: Any, **__: Any) -> None:
    pass


async def spend_nothing(*_: Any, **__: Any) -> bool:
    return True


MUTANTS: dict[str, list[tuple[Any, str, Any]]] = {
    "a stale attempt is taken for the holder": [
        (attempts, "is_held", is_always_held),
    ],
    "an attempt that suspends does not look again": [(attempts, "_as_it_stands", as_the_attempt_says)],
    "nobody is woken": [(endings, "wake", do_nothing)],
    "a parent is not told of its child's end": [(endings, "_tell_parent", do_nothing)],
    "what is below an ended task goes on": [(endings, "_end_below", do_nothing)],
    "steps and children cost nothing": [(tasks, "spend", spend_nothing)],
    "a wake-up is not counted": [(tasks, "note_wake", do_nothing)],
}


@ON_SQLITE
@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_guard_that_is_taken_out_is_noticed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, instead in MUTANTS[mutant]:
        monkeypatch.setattr(module, name, instead)

    with pytest.raises((AssertionError, IndexError, ExceptionGroup)):
        play(settings(PLAYED, max_examples=1500, phases=[Phase.generate], report_multiple_bugs=False))
