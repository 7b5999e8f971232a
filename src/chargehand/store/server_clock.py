"""The database server's clock, as every process beside it sees it.

Rule: the server's clock decides about leases and due times. It is asked now and then; in between, the process's
monotonic clock carries it on, so a wall clock that is set wrong, or is set anew, moves nothing.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.engine import URL

from chargehand.clock import SystemClock
from chargehand.store.database import Database

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ASK = {
    "postgresql": "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
    "mysql": "SELECT CAST(unix_timestamp(now(6)) * 1000000 AS signed)",
}


class ServerClock(SystemClock):
    """A clock whose `now` is the database's. Until it was asked, it is this machine's."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = super().now() - _EPOCH - timedelta(seconds=self.monotonic())
        """Of the monotonic clock's zero."""

    def now(self) -> datetime:
        return _EPOCH + self._ahead + timedelta(seconds=self.monotonic())

    async def ask(self, db: Database, url: URL) -> None:
        """Set this clock by the server's; right to half of the time that the question takes."""
        async with db.read() as tx:
            before = self.monotonic()
            microseconds = await tx.connection.scalar(text(_ASK[url.get_backend_name()]))
            after = self.monotonic()
        self._ahead = timedelta(microseconds=int(microseconds)) - timedelta(seconds=(before + after) / 2)
