"""Cron expressions: what they mean in a zone whose clocks change, what is refused, and what is due after a pause."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from chargehand.domain.schedule import MAX_MISSED_RUNS, Cron, Missed, cron_of, due_times
from chargehand.errors import InvalidInput

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Africa/Casablanca",
]
EXPRESSIONS = [
    "* * * * *",
    "*/7 * * * *",
    "30 * * * *",
    "0 */3 * * *",
    "*/15 2 * * *",
    "30 2 * * *",
    "0,30 1-3 * * *",
    "15 0 * * SUN",
    "0 0 L * *",
    "0 12 29 2 *",
    "@hourly",
    "@daily",
    "@weekly",
]
SECONDS_OF_TEN_YEARS = 10 * 366 * 86_400
MOMENTS = st.integers(0, SECONDS_OF_TEN_YEARS * 1_000_000).map(
    lambda microseconds: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)


def at(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def shown(cron: Cron, moment: datetime, count: int) -> list[str]:
    """The next times, as a clock of the zone shows them."""
    return [time.astimezone(cron.zone).isoformat()[5:] for time in islice(cron.times_after(moment), count)]


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), MOMENTS)
@settings(max_examples=300, deadline=None)
def test_the_next_time_is_later_and_none_lies_between(text: str, zone: str, moment: datetime) -> None:
    cron = cron_of(text, zone)
    first, second, third = islice(cron.times_after(moment), 3)

    assert moment < first < second < third
    assert cron.next_after(first - timedelta(microseconds=1)) == first
    assert cron.next_after(first) == second
    assert cron.next_after(moment + (first - moment) / 2) == first


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(["UTC", "Asia/Kolkata"]), MOMENTS)
@settings(max_examples=100, deadline=None)
def test_where_clocks_do_not_change_it_is_what_the_library_says(
    text: str, zone: str, moment: datetime
) -> None:
    cron = cron_of(text, zone)
    library = CronSim(cron.expression, moment.astimezone(cron.zone))

    assert list(islice(cron.times_after(moment), 5)) == list(islice(library, 5))


@given(st.sampled_from(ZONES), MOMENTS)
@settings(max_examples=50, deadline=None)
def test_by_the_minute_is_every_minute_that_passes(zone: str, moment: datetime) -> None:
    times = list(islice(cron_of("* * * * *", zone).times_after(moment), 120))

    assert {later - time for time, later in pairwise(times)} == {timedelta(minutes=1)}


@pytest.mark.parametrize(
    ("zone", "before", "times"),
    [
        ("Europe/Berlin", "2026-03-28T12:00", ["03-29T03:00:00+02:00", "03-30T02:30:00+02:00"]),
        ("America/New_York", "2026-03-07T12:00", ["03-08T03:00:00-04:00", "03-09T02:30:00-04:00"]),
        ("America/St_Johns", "2026-03-07T12:00", ["03-08T03:00:00-02:30", "03-09T02:30:00-02:30"]),
        ("Asia/Kolkata", "2026-03-28T12:00", ["03-29T02:30:00+05:30", "03-30T02:30:00+05:30"]),
    ],
)
def test_a_time_that_the_clock_leaves_out_is_run_once_right_after(
    zone: str, before: str, times: list[str]
) -> None:
    assert shown(cron_of("30 2 * * *", zone), at(before, zone), 2) == times


def test_two_times_that_are_left_out_are_one_run() -> None:
    berlin = cron_of("10,30 2 * * *", "Europe/Berlin")

    assert shown(berlin, at("2026-03-28T12:00", "Europe/Berlin"), 3) == [
        "03-29T03:00:00+02:00",
        "03-30T02:10:00+02:00",
        "03-30T02:30:00+02:00",
    ]
    lord_howe = cron_of("15 2 * * *", "Australia/Lord_Howe")
    assert shown(lord_howe, at("2026-10-03T12:00", "Australia/Lord_Howe"), 1) == ["10-04T02:30:00+11:00"]


@pytest.mark.parametrize(
    ("zone", "minute", "before", "times"),
    [
        ("Europe/Berlin", "30 2", "2026-10-24T12:00", ["10-25T02:30:00+02:00", "10-26T02:30:00+01:00"]),
        ("America/New_York", "30 1", "2026-10-31T12:00", ["11-01T01:30:00-04:00", "11-02T01:30:00-05:00"]),
        ("America/St_Johns", "30 1", "2026-10-31T12:00", ["11-01T01:30:00-02:30", "11-02T01:30:00-03:30"]),
        ("Australia/Lord_Howe", "45 1", "2026-04-04T12:00", ["04-05T01:45:00+11:00", "04-06T01:45:00+10:30"]),
    ],
)
def test_a_time_that_comes_twice_is_run_the_first_time(
    zone: str, minute: str, before: str, times: list[str]
) -> None:
    cron = cron_of(f"{minute} * * *", zone)

    assert shown(cron, at(before, zone), 2) == times
    # Also for who asks between the two.
    between = next(cron.times_after(at(before, zone))) + timedelta(minutes=20)
    assert shown(cron, between, 1) == times[1:]


@pytest.mark.parametrize(
    ("text", "zone", "before", "times"),
    [
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29T01:00", ["01:30+01", "03:00+02", "03:30+02"]),
        ("30 * * * *", "America/New_York", "2026-03-08T01:00", ["01:30-05", "03:30-04", "04:30-04"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T02:15", ["02:30+02", "02:00+01", "02:30+01"]),
        ("30 * * * *", "America/New_York", "2026-11-01T01:00", ["01:30-04", "01:30-05", "02:30-05"]),
        ("0 */3 * * *", "Australia/Lord_Howe", "2026-10-03T23:00", ["00:00+10", "03:00+11", "06:00+11"]),
        ("*/15 2 * * *", "Europe/Berlin", "2026-03-28T03:00", ["02:00+02", "02:15+02", "02:30+02"]),
    ],
)
def test_what_goes_by_the_hour_goes_by_the_time_that_passes(
    text: str, zone: str, before: str, times: list[str]
) -> None:
    found = shown(cron_of(text, zone), at(before, zone), 3)

    assert [one[6:11] + one[14:17] for one in found] == times


@given(st.text(alphabet="0123456789*/,-#LWSUNMOJA@ aily?", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_an_expression_or_refused_in_words(text: str) -> None:
    try:
        cron = cron_of(text, "UTC")
    except InvalidInput as error:
        told = error.message
    else:
        told = f"cron {cron.next_after(datetime(2026, 1, 1, tzinfo=UTC)):%Y}"

    assert told.startswith("cron ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "0 field"),
        ("* * *", "3 field"),
        ("0 * * * * *", "seconds are not supported"),
        ("60 * * * *", "its minute is wrong; it takes 0-59"),
        ("0 24 * * *", "its hour is wrong"),
        ("0 0 30 2 *", "its day-of-month is wrong"),
        ("0 0 * 13 *", "its month is wrong"),
        ("0 0 * * 8", "its day-of-week is wrong"),
        ("*/0 * * * *", "its minute is wrong"),
        ("@reboot", "is none of @yearly"),
        ("٣ * * * *", "ASCII"),
        ("0 " * 70, "at most 128"),
    ],
)
def test_a_wrong_expression_is_refused_by_its_part(text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        cron_of(text, "UTC")


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Base", "../../etc/passwd", "/etc/localtime", "localtime", "Europe", "a" * 65, "UTC\x00"],
)
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="IANA name"):
        cron_of("@daily", name)


@given(
    st.sampled_from(EXPRESSIONS),
    st.sampled_from(ZONES),
    MOMENTS,
    st.integers(0, 400),
    st.sampled_from(Missed),
)
@settings(max_examples=200, deadline=None)
def test_each_due_time_is_run_at_most_once_and_the_next_one_is_to_come(
    text: str, zone: str, moment: datetime, minutes: int, missed: Missed
) -> None:
    cron = cron_of(text, zone)
    next_at = cron.next_after(moment)
    assert next_at is not None
    now = next_at + timedelta(minutes=minutes, seconds=7)
    expected = [next_at]
    for time in cron.times_after(next_at):
        if time > now:
            break
        expected.append(time)

    due = due_times(cron, missed, next_at, now)

    assert due.next_at > now
    if missed is Missed.ALL:
        assert due.runs == expected[:MAX_MISSED_RUNS]
        assert due.skipped_from == next(iter(expected[MAX_MISSED_RUNS:]), None)
    elif missed is Missed.ONCE:
        assert due.runs == expected[:1]
    else:
        assert due.runs == [time for time in expected if now - time < timedelta(seconds=60)]
        assert (due.skipped_from is None) == (due.runs == expected)
