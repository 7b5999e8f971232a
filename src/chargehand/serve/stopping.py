"""How requests that wait or stream learn that the server stops, so that it can stop at once."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")


class Stopping:
    """Set once, by the server, when it begins to stop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._ends: set[Callable[[], None]] = set()

    def set(self) -> None:
        """The server stops."""
        self._event.set()
        for end in list(self._ends):
            end()

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Generator[None, None, None]:
        """Call `end` when the server stops while this is open; at once when it has stopped already."""
        if self._event.is_set():
            end()
        self._ends.add(end)
        try:
            yield
        finally:
            self._ends.discard(end)

    async def unless_stopped(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """What the work comes to, or None when the server stopped first; then the work is canceled."""
        working = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            stopped.cancel()
            if not working.done():
                working.cancel()
                await asyncio.wait((working,))
