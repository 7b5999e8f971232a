"""When keys were last used: written beside the requests, of each key once a minute at most.

Rule: no request waits for it and none fails by it. What could not be written is written at the key's next use.
"""

import asyncio
from datetime import timedelta

import structlog

from chargehand.clock import Clock
from chargehand.errors import ChargehandError
from chargehand.store import access
from chargehand.store.database import Database, retried

NOTED_EVERY = timedelta(minutes=1)
MOST_REMEMBERED = 10_000

log = structlog.stdlib.get_logger("chargehand.keys")


class KeyUsage:
    """The keys that were used and of which that is to be written."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._again_at: dict[str, float] = {}
        self._used: set[str] = set()
        self._writing: asyncio.Task[None] | None = None

    def note(self, key_id: str) -> None:
        """A key has let somebody in."""
        now = self._clock.monotonic()
        if now < self._again_at.get(key_id, 0.0):
            return
        if len(self._again_at) >= MOST_REMEMBERED:
            self._again_at.clear()
        self._again_at[key_id] = now + NOTED_EVERY.total_seconds()
        self._used.add(key_id)
        if self._writing is None:
            self._writing = asyncio.ensure_future(self._write())

    async def close(self) -> None:
        """Let what is being written be written."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        try:
            while self._used:
                used, self._used = self._used, set()
                await self._store(used)
        except ChargehandError as error:
            log.warning("when keys were last used could not be written", error=error.message)
        finally:
            self._writing = None

    @retried
    async def _store(self, used: set[str]) -> None:
        async with self._db.write() as tx:
            await access.note_used(tx, used, every=NOTED_EVERY)
