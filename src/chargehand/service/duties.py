"""What one process at a time sees to for all: a lease on it, taken, prolonged and given up by the database's clock.

Rule: a duty is safe to do twice; the lease spares the database the work, and the log the noise.
"""

from datetime import datetime, timedelta

from chargehand.store import duties
from chargehand.store.database import Database, retried


class DutyLeases:
    """The duties' leases, as one process asks for them."""

    def __init__(self, db: Database, *, holder: str, lease: timedelta) -> None:
        self._db = db
        self.holder = holder
        self.lease = lease

    async def take(self, name: str) -> datetime | None:
        """Take the duty, or keep it: None. Else until when another process has it."""
        async with self._db.glance() as tx:
            seen, now = await duties.get(tx, name), tx.now
        if seen is not None and seen.holder != self.holder and seen.lease_until > now:
            return seen.lease_until
        return await self._take(name)

    @retried
    async def _take(self, name: str) -> datetime | None:
        async with self._db.write() as tx:
            seen = await duties.get(tx, name, held=True)
            if seen is not None and seen.holder != self.holder and seen.lease_until > tx.now:
                return seen.lease_until
            mine = duties.Held(holder=self.holder, lease_until=tx.now + self.lease)
            await duties.put(tx, name, mine, seen=seen)
        return None

    @retried
    async def give_up(self) -> None:
        """Let others take at once what this process holds."""
        async with self._db.write() as tx:
            await duties.give_up(tx, self.holder)
