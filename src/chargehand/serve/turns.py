"""One in a turn: what many ask for at the same moment, and what can wait for the others, is done one by one.

A client that asks far too often has its refusals ready by the dozen, and written in one go they would hold up whoever
comes next for longer than an answer takes.
"""

import asyncio
from collections import deque

MOST_WAITING = 64
"""Of a flood that is quicker than the turns, the rest goes on at once: a line without end would cost more than it
spares."""


class OneATurn:
    """Lets one caller go on in each turn of the event loop, in the order in which they came."""

    def __init__(self) -> None:
        self._line: deque[asyncio.Future[None]] = deque()
        self._is_taken = False

    async def __call__(self) -> None:
        """Wait for one's turn; alone, that is this one."""
        if len(self._line) >= MOST_WAITING:
            return
        loop = asyncio.get_running_loop()
        if self._is_taken:
            place = loop.create_future()
            self._line.append(place)
            await place
            return
        self._is_taken = True
        loop.call_soon(self._let_the_next)

    def _let_the_next(self) -> None:
        while self._line:
            place = self._line.popleft()
            if not place.done():  # it is when its caller was canceled
                place.set_result(None)
                asyncio.get_running_loop().call_soon(self._let_the_next)
                return
        self._is_taken = False
