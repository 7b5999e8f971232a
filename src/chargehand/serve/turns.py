"""One in a turn: what many ask for at the same moment, and what can wait for the others, is done one by one.

A client that asks far too often has its refusals ready by the dozen, and written in one go they would hold up whoever
comes next for longer than an answer takes.
"""

import asyncio


class OneATurn:
    """Lets one caller go on in each turn of the event loop, in the order in which they came."""

    def __init__(self) -> None:
        self._line = asyncio.Lock()

    async def __call__(self) -> None:
        """Wait for one's turn; alone, that is the next one."""
        async with self._line:
            await asyncio.sleep(0)
