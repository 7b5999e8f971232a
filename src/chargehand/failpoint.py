"""Named points at which a test run can have the process killed, as a power cut would.

Off unless CHARGEHAND_FAIL_POINT is set (`name` or `name:count`): then the process kills itself the count-th
time it passes that point. Nothing else changes, so what a crash test exercises is what runs in production.
"""

import os
import signal
from dataclasses import dataclass


@dataclass(slots=True)
class _Armed:
    name: str = ""
    passes_left: int = 0


_armed = _Armed()


def arm(point: str) -> None:
    """Die at this point (`name` or `name:count`); an empty text disarms."""
    name, _, count = point.partition(":")
    _armed.name, _armed.passes_left = name, int(count or 1)


def fail_point(name: str) -> None:
    """Die here if a test asked for it."""
    if name == _armed.name:
        _armed.passes_left -= 1
        if _armed.passes_left == 0:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


arm(os.environ.get("CHARGEHAND_FAIL_POINT", ""))
