"""Counts the turns of the event loop."""

import asyncio


class LoopTurns:
    """How many turns the loop has taken since this was made; it never rests until `stop`."""

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        self.count += 1
        self._next = self._loop.call_soon(self._tick)

    def stop(self) -> None:
        """Let the loop rest again."""
        self._next.cancel()
