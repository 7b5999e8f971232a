"""Cancels that something on the way has kept to itself: asyncio counts them on the task, and here they are raised.

Some are kept on purpose (a driver's thread is awaited to its end, store/inline.py), some are lost (a library's task
group turns a cancel into a fault of its connection).
"""

import asyncio
from types import TracebackType


class HeldBackCancels:
    """As a block: cancels that came while it ran, and did not leave it as such, are raised when it ends."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._seen = self._task.cancelling() if self._task else 0

    def let_through(self) -> None:
        """Raise what came since this object was made."""
        if self._has_come():
            raise asyncio.CancelledError

    def __enter__(self) -> "HeldBackCancels":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, trace
        # Before a fault too: whoever tells of the fault and goes on, or begins anew, would never end.
        if (error is None or isinstance(error, Exception)) and self._has_come():
            raise asyncio.CancelledError from error

    def _has_come(self) -> bool:
        return self._task is not None and self._task.cancelling() > self._seen


def stop_if_canceled() -> None:
    """Raise a cancel of the current task that was lost."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
