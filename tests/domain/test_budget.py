"""Limits are read strictly, only lowered, and refuse what is spent already."""

from typing import Any

import pytest

from chargehand.domain.budget import MAX_COUNT, Budget
from chargehand.domain.money import NANOS_PER_USD
from chargehand.errors import InvalidInput

WHOLE = Budget(steps=10, children=5, depth=3, wall_seconds=60.0, usd_nanos=None, tokens=100, tool_calls=None)


@pytest.mark.parametrize(
    ("wanted", "becomes"),
    [
        ({}, {}),
        ({"steps": 3}, {"steps": 3}),
        ({"steps": 10}, {}),
        ({"steps": 30}, {}),
        ({"tokens": 99}, {"tokens": 99}),
        ({"tokens": 101}, {}),
        ({"tokens": None}, {}),
        ({"tool_calls": 7}, {"tool_calls": 7}),
        ({"tool_calls": None}, {}),
        ({"wall_seconds": 0.5}, {"wall_seconds": 0.5}),
        ({"wall_seconds": 61}, {}),
        ({"usd": "1.5"}, {"usd": "1.50"}),
        ({"usd": None}, {}),
    ],
)
def test_an_order_lowers_limits_or_adds_them_and_raises_none(wanted: Any, becomes: dict[str, Any]) -> None:
    assert WHOLE.tightened(wanted).as_data() == {**WHOLE.as_data(), **becomes}


@pytest.mark.parametrize("name", ["steps", "children", "depth", "tokens", "tool_calls"])
def test_a_count_is_a_whole_number_within_its_bounds(name: str) -> None:
    for good in (1, MAX_COUNT):
        assert Budget.from_data({name: good}).as_data()[name] == good
    wrong: list[Any] = [0, -1, MAX_COUNT + 1, 1.5, 1.0, "1", True, False, [], {}]
    for bad in wrong:
        with pytest.raises(InvalidInput, match=rf"budget\.{name} is"):
            Budget.from_data({name: bad})


def test_seconds_may_have_a_fraction() -> None:
    found = Budget.from_data({"wall_seconds": 1}).wall_seconds

    assert (found, type(found)) == (1.0, float)
    assert Budget.from_data({"wall_seconds": 0.25}).wall_seconds == 0.25
    for bad in (0, -0.5, float("nan"), float("inf"), True, "1", MAX_COUNT * 2):
        with pytest.raises(InvalidInput, match=r"budget\.wall_seconds"):
            Budget.from_data({"wall_seconds": bad})


@pytest.mark.parametrize("name", ["steps", "children", "depth", "wall_seconds"])
def test_what_always_has_a_limit_cannot_be_without(name: str) -> None:
    with pytest.raises(InvalidInput, match=rf"budget\.{name}"):
        Budget.from_data({name: None})


def test_a_limit_that_there_is_not_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(InvalidInput, match=r"no limit 'token'; it has: .*did you mean 'tokens'"):
        Budget.from_data({"token": 1})
    with pytest.raises(InvalidInput, match=r"no limit 'zzz'; it has: [a-z_, ]+$"):
        Budget.from_data({"zzz": 1})


def test_money_is_kept_in_nano_dollars() -> None:
    assert Budget.from_data({"usd": "1.25"}).usd_nanos == NANOS_PER_USD * 5 // 4
    assert Budget.from_data({"usd": None}).usd_nanos is None


def test_a_raised_limit_must_leave_something() -> None:
    budget = Budget(steps=10, usd_nanos=NANOS_PER_USD)
    spent: Any = {"steps": 10, "usd": "0.40", "tokens": 5}

    budget.refuse_spent({"usd": "1"}, spent, {})
    budget.refuse_spent({}, spent, {})
    budget.refuse_spent({"tokens": None}, spent, {})
    budget.refuse_spent({"children": 3}, spent, {})
    with pytest.raises(
        InvalidInput, match=r"budget\.steps .* 10 are spent already; 10 leaves nothing: write more than 10,"
    ):
        budget.refuse_spent({"steps": 10}, spent, {})
    with pytest.raises(InvalidInput, match=r"write at least 14,"):
        budget.refuse_spent({"steps": 10}, spent, {"steps": 4})
    with pytest.raises(InvalidInput, match=r"write at least 1\.50,"):
        budget.refuse_spent({"usd": "1"}, {"usd": "1.25"}, {"usd": "0.25"})
    Budget(steps=11).refuse_spent({"steps": 11}, spent, {"steps": 4})
