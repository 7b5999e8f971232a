"""Lengths of time as people write them, and what is none."""

from datetime import datetime, timedelta

import pytest

from chargehand.domain.duration import LONGEST, duration_of
from chargehand.errors import InvalidInput

DAY = 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("30d", 30 * DAY), ("12h", 43_200), ("90m", 5_400), ("2w", 14 * DAY), ("60s", 60), ("0s", 0)),
        *((" 1d ", DAY), ("31536000s", 365 * DAY), ("36500d", 36_500 * DAY)),
    ],
)
def test_what_is_one(text: str, seconds: int) -> None:
    assert duration_of(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", "30", "d", "-3d", "1.5d", "30 days", "1y", "9" * 12 + "d", "٣d", "1d\x00"),
        *("36501d", "99999999w", "999999999w"),
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="30m, 24h or 90d"):
        duration_of(text)


def test_the_longest_from_now_is_a_time() -> None:
    assert (datetime.now().astimezone() + LONGEST).year < 9999
