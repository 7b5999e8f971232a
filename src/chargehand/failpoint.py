"""Named points at which a test run can have the process killed, as a power cut would.

Off unless CHARGEHAND_FAIL_POINT is set (`name` or `name:count`): then the process kills itself the count-th
time it passes that point. Nothing else changes, so what a crash test exercises is what runs in production.
"""

import os
import signal


def _armed() -> tuple[str, int]:
    name, _, count = os.environ.get("CHARGEHAND_FAIL_POINT", "").partition(":")
    return name, int(count or 1)


_NAME, _LEFT = _armed()
_left = [_LEFT]


def fail_point(name: str) -> None:
    """Die here if a test asked for it."""
    if _NAME and name == _NAME:
        _left[0] -= 1
        if _left[0] == 0:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
