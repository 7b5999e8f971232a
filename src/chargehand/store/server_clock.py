"""The database server's clock, as every process beside it sees it.

Rule: the server's clock decides about leases and due times. It is asked now and then; in between, the process's
monotonic clock carries it on, so a wall clock that is set wrong, or is set anew, moves nothing.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import TextClause, text
from sqlalchemy.engine import URL

from chargehand.clock import SystemClock
from chargehand.store.database import Database, Tx

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ASK = {
    "postgresql": "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
    "mysql": "SELECT CAST(unix_timestamp(now(6)) * 1000000 AS signed)",
}


MOST_SECONDS = 1.0
"""An answer that took longer says less of the time than what is known already."""
FIRST_ASKS = 3
"""How often it is asked at first, when nothing is known: one answer may come late, as at a busy start."""


class ServerClock(SystemClock):
    """A clock whose `now` is the database's. Until it was asked, it is this machine's."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = super().now() - _EPOCH - timedelta(seconds=self.monotonic())
        """Of the monotonic clock's zero."""
        self._took: float | None = None
        """How long the answer took that this clock was set by."""

    def now(self) -> datetime:
        return _EPOCH + self._ahead + timedelta(seconds=self.monotonic())

    async def ask(self, db: Database, url: URL) -> None:
        """Set this clock by the server's; right to half of the time that the answer takes. A late answer is dropped."""
        question = text(_ASK[url.get_backend_name()])
        asks = FIRST_ASKS if self._took is None else 1
        async with db.read() as tx:
            took, ahead = min([await self._measured(tx, question) for _ in range(asks)])
        # On a line that is always slow, one as slow as the last is as good.
        if self._took is None or took <= max(MOST_SECONDS, self._took):
            self._took, self._ahead = took, ahead

    async def _measured(self, tx: Tx, question: TextClause) -> tuple[float, timedelta]:
        before = self.monotonic()
        microseconds = await tx.connection.scalar(question)
        after = self.monotonic()
        return after - before, timedelta(microseconds=int(microseconds)) - timedelta(
            seconds=(before + after) / 2
        )
