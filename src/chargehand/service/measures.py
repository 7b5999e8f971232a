"""What Prometheus reads: this process's counts, and how many tasks stand where."""

import asyncio
from dataclasses import dataclass, field

from chargehand.clock import Clock
from chargehand.domain.task import Status
from chargehand.store import tasks
from chargehand.store.database import Database
from chargehand.telemetry.metrics import Metrics

FRESH_SECONDS = 5.0
"""How long the count of tasks is given again: it reads an index of all tasks."""


@dataclass(slots=True)
class Measures:
    """The numbers of this service, over all tenants."""

    db: Database
    clock: Clock
    metrics: Metrics
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _last: tuple[float, dict[str, int]] | None = None

    async def exposed(self) -> bytes:
        """All numbers, in Prometheus' text format."""
        return self.metrics.exposed(await self._tasks())

    async def _tasks(self) -> dict[str, int]:
        async with self._asking:
            now = self.clock.monotonic()
            if self._last is None or now - self._last[0] >= FRESH_SECONDS:
                async with self.db.read() as tx:
                    found = await tasks.count_by_status(tx)
                self._last = (now, {status.value: found.get(status.value, 0) for status in Status})
            return self._last[1]
