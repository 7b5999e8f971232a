"""A length of time as people write it on a command line."""

import re
from datetime import timedelta

from chargehand.errors import InvalidInput

LONGEST = timedelta(days=36_500)
"""A hundred years: added to now, it is still a time that can be reckoned with."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration_of(text: str) -> timedelta:
    """Such as `90m`, `24h` or `30d`. InvalidInput for what is none, or is longer than LONGEST."""
    found = re.fullmatch(r"([0-9]{1,8})([smhdw])", text.strip())
    duration = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    if duration is None or duration > LONGEST:
        raise InvalidInput(
            f"{text[:40]!r} is no length of time: write a number and s, m, h, d or w, like 30m, 24h or 90d; at most"
            f" {LONGEST.days}d"
        )
    return duration
