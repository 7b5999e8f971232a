"""The transition table and what an ending is."""

from itertools import pairwise

import pytest

from chargehand.domain.budget import Budget
from chargehand.domain.task import FINAL, MOVES, OPEN, Move, Status
from chargehand.errors import InvalidInput


def test_only_reopening_leads_out_of_a_final_status() -> None:
    leaving = {move for move, (sources, _) in MOVES.items() if sources & FINAL}

    assert leaving == {Move.REOPEN}


def test_every_status_can_be_reached_and_every_open_one_can_be_left() -> None:
    reached = {target for _, target in MOVES.values()} | {Status.PENDING}

    assert reached == set(Status)
    for status in OPEN:
        assert any(status in sources for sources, _ in MOVES.values()), status


def test_only_a_claim_makes_a_task_run() -> None:
    assert [move for move, (_, target) in MOVES.items() if target is Status.RUNNING] == [Move.CLAIM]


def test_a_task_completes_only_from_running() -> None:
    assert MOVES[Move.COMPLETE][0] == {Status.RUNNING}


@pytest.mark.parametrize(
    "path",
    [
        [Move.CLAIM, Move.COMPLETE],
        [Move.CLAIM, Move.WAIT, Move.WAKE, Move.CLAIM, Move.FAIL, Move.REOPEN, Move.CLAIM],
        [Move.CLAIM, Move.RESCUE, Move.CLAIM, Move.RELEASE, Move.CLAIM, Move.DEFER, Move.CANCEL, Move.REOPEN],
    ],
)
def test_lives_of_tasks_that_the_table_allows(path: list[Move]) -> None:
    for before, after in pairwise(path):
        assert MOVES[before][1] in MOVES[after][0], f"{before} then {after}"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"stepz": 1}, "no limit 'stepz'; it has: steps, children, depth, wall_seconds"),
        ({"steps": 0}, "budget.steps is greater than zero"),
        ({"steps": 1.5}, "budget.steps is a whole number"),
        ({"children": True}, "budget.children is a whole number"),
        ({"depth": "3"}, "budget.depth is a whole number, not '3'"),
        ({"wall_seconds": -1.0}, "budget.wall_seconds is greater than zero"),
        ({"wall_seconds": None}, "budget.wall_seconds is a number"),
    ],
)
def test_a_budget_that_cannot_be_meant_is_refused_by_name(data: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Budget.from_data(data)  # pyright: ignore[reportArgumentType] - what a file may hold


def test_a_budget_survives_being_stored() -> None:
    budget = Budget(steps=3, children=2, depth=1, wall_seconds=1.5)

    assert Budget.from_data(budget.as_data()) == budget
    assert Budget.from_data({}) == Budget()
