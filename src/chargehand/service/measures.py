"""What Prometheus reads: this process's counts, how the tasks of all tenants stand, and how the process itself does."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from chargehand.clock import Clock
from chargehand.domain.task import Status
from chargehand.service.health import Health
from chargehand.store.database import Database
from chargehand.store.standing import Standing, read_standing
from chargehand.telemetry.metrics import Gauge, Metrics

FRESH_SECONDS = 5.0
"""How long a reading of the rows is given again: it counts an index of all tasks."""


@dataclass(slots=True)
class Measures:
    """The numbers of this service, over all tenants; `of_process` are those of the rooms above: engine, disk, …."""

    db: Database
    clock: Clock
    metrics: Metrics
    health: Health | None = None
    of_process: Callable[[], Iterable[Gauge]] = tuple[Gauge, ...]
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _last: tuple[float, Standing] | None = None

    async def exposed(self) -> bytes:
        """All numbers, in Prometheus' text format."""
        gauges = [*of_standing(await self._standing()), *self.of_process()]
        if self.health is not None:
            gauges += await _of_checks(self.health)
        return self.metrics.exposed(gauges)

    async def _standing(self) -> Standing:
        async with self._asking:
            now = self.clock.monotonic()
            if self._last is None or now - self._last[0] >= FRESH_SECONDS:
                async with self.db.read() as tx:
                    self._last = (now, await read_standing(tx))
            return self._last[1]


def of_standing(standing: Standing) -> list[Gauge]:
    """What the rows say."""
    by_status = {(status.value,): standing.by_status.get(status.value, 0) for status in Status}
    lone = {
        "chargehand_tasks_due": ("Pending tasks that could begin now.", standing.due),
        "chargehand_oldest_due_seconds": (
            "How long the first pending task has been due.",
            standing.oldest_due_seconds,
        ),
        "chargehand_leases_expired": (
            "Running tasks whose worker has been silent for longer than its lease.",
            standing.expired_leases,
        ),
        "chargehand_approvals_open": ("Calls that wait for a person.", standing.open_approvals),
        "chargehand_oldest_approval_seconds": (
            "How long the first of them has waited.",
            standing.oldest_approval_seconds,
        ),
    }
    return [
        Gauge(name="chargehand_tasks", help="Tasks, by status.", labels=("status",), values=by_status),
        *(Gauge(name=name, help=told, values={(): value}) for name, (told, value) in lone.items()),
    ]


async def _of_checks(health: Health) -> list[Gauge]:
    readiness = await health.ready()
    checks = readiness.checks.items()
    return [
        Gauge(
            name="chargehand_check_ok",
            help="Whether a check of readiness holds.",
            labels=("check",),
            values={(name,): float(reading.ok) for name, reading in checks},
        ),
        Gauge(
            name="chargehand_check_degraded",
            help="Whether a check of readiness holds only with less than was set up.",
            labels=("check",),
            values={(name,): float(reading.is_degraded) for name, reading in checks},
        ),
    ]
