"""Schedules: cron expressions in a time zone, what daylight saving does to them, and which times are due.

cronsim walks the times that a clock on the wall shows; what they are in UTC is said here, in one place. So the rule
is the same in every zone, also where clocks change by half an hour, and the next time is always a later one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import chain, islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from chargehand.domain.task import FOREVER
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import InvalidInput

MAX_NAME, MAX_CRON, MAX_ZONE = 128, 128, 64
MAX_MISSED_RUNS = 100
"""How many missed times `all` catches up with at once; what was missed beyond them is left out, and told."""
ON_TIME = timedelta(seconds=60)
"""A time that is seen to within this is not a missed one: the next time of any schedule is a minute away at least."""
SHOWN_TIMES = 5

_LONGEST_CHANGE = timedelta(hours=3)
"""No clock is set back by more."""
_MINUTE = timedelta(minutes=1)
_SHORT = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_TAKES = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31 as far as the month has them, L (the last) and LW (the last weekday)",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT (0 and 7 are Sunday), 5L (the last Friday) and 1#2 (the second Monday)",
}
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
_UNSOUND_ZONES = frozenset({"localtime", "posixrules", "Factory"})
"""They mean another place on each machine, or none."""


class Missed(StrEnum):
    """What becomes of times at which nobody was there to see to them."""

    SKIP = "skip"
    """Nothing: the next time is the next run."""
    ONCE = "once"
    """One run for all of them."""
    ALL = "all"
    """One run for each, at most MAX_MISSED_RUNS at once."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A checked expression in a time zone."""

    expression: str
    zone: ZoneInfo
    by_the_hour: bool
    """Minute or hour begin with `*`: it goes by the time that passes, not by what the clock shows."""

    def times_after(self, moment: datetime) -> Iterator[datetime]:
        """The times after `moment`, in UTC, each once and in order; of the next fifty years."""
        last, waiting = moment, list[datetime]()
        for shown in CronSim(self.expression, self._start(moment)):
            first, second = (self._in_utc(shown, fold) for fold in (0, 1))
            waiting = sorted([*waiting, *self._times(shown, first, second)])
            # What the clock shows after this comes later than the earlier of the two.
            while waiting and waiting[0] <= min(first, second):
                time = waiting.pop(0)
                if time > last:
                    last = time
                    yield time

    def next_after(self, moment: datetime) -> datetime | None:
        """The first of them."""
        return next(self.times_after(moment), None)

    def _start(self, moment: datetime) -> datetime:
        """What the clock shows; where it is about to be set back, earlier: that will come once more."""
        local, soon = moment.astimezone(self.zone), (moment + _LONGEST_CHANGE).astimezone(self.zone)
        set_back = (local.utcoffset() or timedelta()) - (soon.utcoffset() or timedelta())
        return local.replace(tzinfo=None) - max(set_back, timedelta())

    def _in_utc(self, shown: datetime, fold: int) -> datetime:
        return shown.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)

    def _times(self, shown: datetime, first: datetime, second: datetime) -> list[datetime]:
        """When a clock of the zone shows this: once; twice when it is set back; never when it is set forward."""
        if first == second:
            return [first]
        if first < second:
            return [first, second] if self.by_the_hour else [first]
        if self.by_the_hour:
            return []
        while self._in_utc(shown, 0) != self._in_utc(shown, 1):
            shown += _MINUTE
        return [self._in_utc(shown, 0)]


@lru_cache(maxsize=512)
def cron_of(text: str, time_zone: str) -> Cron:
    """Read an expression; InvalidInput says what is wrong with it, or with the zone."""
    zone, fields = _zone(time_zone), _fields(text)
    cron = Cron(" ".join(fields), zone, fields[0].startswith("*") or fields[1].startswith("*"))
    if cron.next_after(datetime(2024, 1, 1, tzinfo=UTC)) is None:
        raise InvalidInput(f"cron {text!r} never comes: no month has such a day")
    return cron


def _fields(text: str) -> list[str]:
    if len(text) > MAX_CRON or not text.isascii():
        raise InvalidInput(f"cron is at most {MAX_CRON} ASCII characters long")
    text = text.strip()
    fields = _SHORT.get(text.lower(), text).split()
    if text.startswith("@") and len(fields) == 1:
        raise InvalidInput(f"cron {text!r} is none of {', '.join(_SHORT)}")
    if len(fields) == 6:
        raise InvalidInput(
            f"cron {text!r} has six fields; seconds are not supported: write minute, hour, day of month, month and"
            " day of week"
        )
    if len(fields) != 5:
        raise InvalidInput(
            f"cron {text!r} has {len(fields)} field(s); write five: minute, hour, day of month, month, day of week,"
            " such as '30 7 * * MON-FRI'"
        )
    try:
        CronSim(" ".join(fields), datetime(2024, 1, 1))  # noqa: DTZ001 - what the clock on the wall shows
    except (CronSimError, AssertionError) as error:
        what = str(error).removeprefix("Bad ")
        takes = _TAKES.get(what, "numbers, `*`, lists, ranges and steps")
        raise InvalidInput(f"cron {text!r}: its {what or 'field'} is wrong; it takes {takes}") from None
    return fields


def _zone(name: str) -> ZoneInfo:
    if len(name) <= MAX_ZONE and _ZONE.fullmatch(name) and name not in _UNSOUND_ZONES:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise InvalidInput(
        f"time_zone {name[:MAX_ZONE]!r} is not known here; write an IANA name such as Europe/Berlin, or UTC"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOrder:
    """What a caller asks for: when, and the task that comes then."""

    name: str
    cron: str
    agent_id: str
    task_data: JsonObject
    time_zone: str = "UTC"
    missed: str = Missed.ONCE.value
    priority: int = 0
    labels: dict[str, str] = field(default_factory=dict[str, str])
    budget: JsonObject = field(default_factory=dict[str, JsonValue])
    timeout_seconds: int | None = None
    is_paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(ScheduleOrder):
    """A row of `schedules`: an order, and how it stands."""

    id: str
    tenant: str
    next_at: datetime
    """FOREVER while it is paused."""
    last_at: datetime | None
    """The due time that was seen to last."""
    last_task_id: str | None
    last_error: JsonObject | None
    """Why the last due time has no task, or not all of them; None when all went well."""
    created_by: str
    rights: JsonObject | None
    """Of who made it; its tasks are submitted with them."""
    created_at: datetime
    updated_at: datetime

    def next_times(self) -> list[datetime]:
        """When it will run, as far as is shown."""
        if self.is_paused or self.next_at == FOREVER:
            return []
        try:
            times = cron_of(self.cron, self.time_zone).times_after(self.next_at)
        except InvalidInput:
            return []
        return [self.next_at, *islice(times, SHOWN_TIMES - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Which due times get a run now, and when to look again."""

    runs: list[datetime]
    next_at: datetime
    skipped_from: datetime | None = None
    """The first of the missed times that get no run."""


def due_times(cron: Cron, missed: Missed, next_at: datetime, now: datetime) -> Due:
    """What is to be done about a schedule whose time `next_at` has come by `now`."""
    after = cron.next_after(now) or FOREVER
    if missed is Missed.ONCE:
        return Due(runs=[next_at], next_at=after)
    times = takewhile(lambda time: time <= now, chain([next_at], cron.times_after(next_at)))
    if missed is Missed.ALL:
        runs = list(islice(times, MAX_MISSED_RUNS))
        return Due(runs=runs, next_at=after, skipped_from=next(times, None))
    if now - next_at < ON_TIME:
        return Due(runs=list(times), next_at=after)
    on_time = takewhile(lambda time: time <= now, cron.times_after(now - ON_TIME))
    return Due(runs=list(on_time), next_at=after, skipped_from=next_at)
