"""The deadline of a running attempt, as its row has it: a wait for a person elsewhere in the tree moves it meanwhile.

Rule: when the time is over the row is looked at before anything is stopped; while it is not, the row is looked at now
and then, because a decision gives back what its wait had added.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from chargehand.errors import ChargehandError

LOOK_SECONDS = 10.0

Look = Callable[[], Awaitable[datetime | None]]


@dataclass(slots=True)
class KeptDeadline:
    """What ends the attempt when its time is over. `at`: the deadline as it was last seen."""

    at: datetime
    _look: Look
    _due: float
    """By the event loop's clock."""
    limit: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))
    _timer: asyncio.TimerHandle | None = None
    _looking: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look again when the time is over, and before that now and then."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(min(self._due, loop.time() + LOOK_SECONDS), self._start_looking)

    def end(self) -> None:
        """The attempt has ended."""
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _start_looking(self) -> None:
        self._looking = asyncio.get_running_loop().create_task(self._see())

    async def _see(self) -> None:
        try:
            now = await self._look()
        except ChargehandError:
            now = self.at  # What was last seen holds while the rows cannot be read.
        if now is not None:
            self._due += (now - self.at).total_seconds()
            self.at = now
        if self._due <= asyncio.get_running_loop().time():
            self.limit.reschedule(asyncio.get_running_loop().time())
        else:
            self.begin()


@asynccontextmanager
async def kept_deadline(
    at: datetime | None, seconds_left: float, look: Look
) -> AsyncGenerator[KeptDeadline | None, None]:
    """TimeoutError inside when the time is over; `limit.expired()` tells it from one of the agent's own."""
    if at is None:
        yield None
        return
    kept = KeptDeadline(at, look, asyncio.get_running_loop().time() + seconds_left)
    async with kept.limit:
        kept.begin()
        try:
            yield kept
        finally:
            kept.end()
    if kept.limit.expired():
        raise TimeoutError  # which whoever worked in the block has kept to itself
