"""PostgreSQL and MySQL or MariaDB behind the port of store/database.py.

Rule: READ COMMITTED; what a transaction reads in order to change it, it holds. A deadlock, a lock that is not had in
time and a unique key that another process was first with are RaceLost: nothing is changed, and the use case runs again.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from chargehand.cancels import HeldBackCancels
from chargehand.clock import Clock
from chargehand.errors import Unavailable
from chargehand.failpoint import fail_point
from chargehand.store.database import Database, Tx, from_json
from chargehand.store.idle_connections import replace_dead_connections
from chargehand.store.server_faults import told_plainly
from chargehand.store.server_url import ServerLimits
from chargehand.store.tenant_wall import TenantWall

POOL_SECONDS = 30
"""How long a use case waits for a free connection."""


class ServerDatabase(Database):
    """Pools of connections to one database on a server; never more than `limits.connections` of them."""

    def __init__(self, url: URL, clock: Clock, limits: ServerLimits) -> None:
        self.url = url
        self._clock = clock
        readers = max(1, limits.connections // 3)
        self._writers = _engine(
            url, limits, connections=limits.connections - readers, isolation="READ COMMITTED"
        )
        self._readers = _engine(url, limits, connections=readers, isolation="AUTOCOMMIT")
        self._wall = TenantWall(url)
        self._is_open = True
        self._at_work = 0
        self._nobody_is_at_work = asyncio.Event()
        self._nobody_is_at_work.set()

    async def stop(self) -> None:
        """Take no more, let what is open end (the server's time limits see to that), close every connection."""
        self._is_open = False
        # A pool would keep the connection of whoever comes back after it was disposed of.
        await self._nobody_is_at_work.wait()
        await self._writers.dispose()
        await self._readers.dispose()

    @asynccontextmanager
    async def read(self, tenant: str | None = None) -> AsyncGenerator[Tx, None]:
        """Each statement is a transaction of its own. A cancel that the driver has swallowed is raised at the end."""
        # MySQL's driver waits with `asyncio.wait_for`, which in Python 3.11 returns an answer that comes with a cancel.
        with HeldBackCancels(), self._work(), told_plainly(self.url):
            async with self._readers.connect() as connection:
                await self._wall.around_session(connection, tenant)
                yield Tx(connection=connection, now=self._clock.now())

    glance = read

    @asynccontextmanager
    async def write(self, tenant: str | None = None) -> AsyncGenerator[Tx, None]:
        """One transaction. A cancel during the commit is raised once its outcome is known."""
        with HeldBackCancels(), self._work(), told_plainly(self.url):
            async with self._writers.connect() as connection:
                if self.outbox is not None:
                    await self.outbox.ready()
                await self._wall.around_transaction(connection, tenant)
                tx = Tx(connection=connection, now=self._clock.now(), outbox=self.outbox)
                yield tx
                fail_point("store.before_commit")
                await _to_its_end(connection.commit())
                fail_point("store.after_commit")
                tx.send_hints()

    @contextmanager
    def _work(self) -> Generator[None, None, None]:
        if not self._is_open:
            raise Unavailable("the service is stopping and takes no more; ask again when it is back")
        self._at_work += 1
        self._nobody_is_at_work.clear()
        try:
            yield
        finally:
            self._at_work -= 1
            if self._at_work == 0:
                self._nobody_is_at_work.set()


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await something that a cancel of the caller must not tear; the cancel stays noted on the caller's task."""
    running = asyncio.ensure_future(work)
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            if running.cancelled():
                raise
    running.result()


def _engine(url: URL, limits: ServerLimits, *, connections: int, isolation: str) -> AsyncEngine:
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        pool_recycle=1800,
        isolation_level=isolation,
        json_deserializer=from_json,
        connect_args=limits.connect_arguments(url),
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "handle_error", _give_up_unanswered)
    if url.get_backend_name() == "mysql":
        event.listen(engine.sync_engine, "connect", limits.prepare_mysql)
    replace_dead_connections(engine)
    return engine


def _give_up_unanswered(context: ExceptionContext) -> None:
    """A connection that gave no answer in time is closed: a rollback on it would wait as long again."""
    if isinstance(context.original_exception, TimeoutError):
        context.is_disconnect = True
