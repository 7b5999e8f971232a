"""The event loop and the signals that stop it, on every platform."""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run`, on uvloop where it exists (not on Windows)."""
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop  # noqa: PLC0415 - it does not exist on Windows

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def keep_what_the_start_made() -> None:
    """Have the garbage collector pass over all that is there now.

    Modules, tables and the document stay to the end, and looking through them again and again kept the loop for a tenth
    of a second each time.
    """
    gc.collect()
    gc.freeze()
    if _WHAT_LASTS not in gc.callbacks:
        gc.callbacks.append(_WHAT_LASTS)


class WhatLasts:
    """Has the collector pass over what use has brought too, once looking through it takes long.

    It is mostly statements that the database layer has compiled and keeps. What was in flight at that moment and ends
    in a circle is never given back; so this is done a few times in all, and then a collection takes what it takes.
    """

    def __init__(self) -> None:
        self._times_left = MOST_FREEZES
        self._since = 0.0

    def __call__(self, phase: str, told: dict[str, int]) -> None:
        if told["generation"] < 2 or not self._times_left:
            return
        if phase == "start":
            self._since = time.thread_time()
        elif time.thread_time() - self._since > LONG_COLLECTION_SECONDS:
            gc.freeze()
            self._times_left -= 1


MOST_FREEZES = 8
LONG_COLLECTION_SECONDS = 0.015
_WHAT_LASTS = WhatLasts()


@contextmanager
def stop_signals() -> Generator[asyncio.Event, None, None]:
    """An event that SIGTERM, SIGINT (Ctrl-C) and SIGBREAK (a Windows console's or service's stop) set.

    A second signal of the same kind has its usual effect, so that a hanging stop can be cut short.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    names = ("SIGTERM", "SIGINT", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, before[number])
        loop.call_soon_threadsafe(stopping.set)

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield stopping
    finally:
        for number in numbers:
            signal.signal(number, before[number])
