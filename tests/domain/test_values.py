"""JSON values: what is refused, the one spelling, the text that every reader takes."""

import math
from typing import Any

import pytest

from chargehand.domain.values import canonical, check_json, content_hash, plain_text
from chargehand.errors import InvalidInput, PayloadTooLarge


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**53) + 1,
        2**53 - 1,
        1.5,
        "",
        "Grüße 🎉",
        [],
        {},
        {"a": [1, {"b": None}]},
        nested(63),
    ],
)
def test_what_json_can_hold_is_taken(value: Any) -> None:
    check_json(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (2**53, r"beyond ±2\^53"),
        (-(2**53), r"beyond ±2\^53"),
        (10**400, "beyond"),
        ("a\x00b", "NUL"),
        ("\ud800", "lone surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        ({1: 2}, "keys are strings"),
        ({"a": {1, 2}}, "set is not a JSON value"),
        (b"bytes", "bytes is not|not a JSON value"),
        (object(), "object is not a JSON value"),
    ],
)
def test_what_json_or_its_readers_cannot_hold_is_refused(value: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_json({"deep": [value]})


def test_nesting_is_limited_without_exhausting_the_stack() -> None:
    with pytest.raises(PayloadTooLarge, match="deeper than 64"):
        check_json(nested(100_000))


def test_the_number_of_values_is_limited() -> None:
    check_json([0] * 9_999)

    with pytest.raises(PayloadTooLarge, match="more than 10000 values"):
        check_json([0] * 10_000)


def test_the_order_of_keys_does_not_change_the_hash_and_the_order_of_items_does() -> None:
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash([1, 2]) != content_hash([2, 1])
    assert canonical({"ü": [1, 2.0]}) == '{"ü":[1,2.0]}'


def test_text_from_anywhere_becomes_text_that_every_reader_takes() -> None:
    text = plain_text("a\x00b\ud800c\udfffdé🎉")

    check_json(text)
    assert text == "a?b?c?dé🎉"
