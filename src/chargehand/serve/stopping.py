"""How requests that wait or stream learn that the server stops, so that it can stop at once."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Stopping:
    """Set once, by the server, when it begins to stop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """The server stops."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

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
