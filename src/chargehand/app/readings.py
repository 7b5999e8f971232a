"""What a service tells of itself beside its rows: the checks of readiness, and the numbers of the process."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

import chargehand
from chargehand.app.core import Core
from chargehand.service.health import Health, Reading
from chargehand.telemetry.metrics import Gauge


class Away(Protocol):
    """A way to other processes that may be lost for a while."""

    @property
    def state(self) -> str:
        """How it stands, in words."""
        ...

    @property
    def is_away(self) -> bool:
        """Whether it is lost now."""
        ...


def health_of(core: Core) -> Health:
    """The checks of a service: without database, disk, engine or sandbox it is not ready, without the rest degraded."""
    reserve = core.settings.disk_reserve_bytes
    return Health(core.db, core.clock, lambda: core.folder.check_space(reserve), _probes(core))


def _probes(core: Core) -> dict[str, Callable[[], Reading]]:
    probes: dict[str, Callable[[], Reading]] = {
        "engine": lambda: _engine(core),
        "sandbox": lambda: _sandbox(core),
    }
    if core.settings.database_url is not None or core.bus.is_expected:
        probes["bus"] = lambda: bus_reading(
            is_expected=core.bus.is_expected, is_connected=core.bus.is_connected, processes=core.bus.processes
        )
    publisher = core.publisher
    if publisher is not None:
        probes["broker"] = lambda: broker_reading(publisher)
    return probes


def _engine(core: Core) -> Reading:
    engine = core.engine
    if core.settings.engine == "celery":
        return Reading(ok=True, detail="the fleet's workers carry out tasks")
    if engine is None:
        return Reading(ok=False, detail="none here")
    return Reading(ok=engine.is_alive, detail=f"carries {engine.running} of {engine.slots}")


def _sandbox(core: Core) -> Reading:
    if core.settings.engine == "celery":
        return Reading(ok=True, detail="each worker has its own")
    if core.sandbox is None:
        return Reading(ok=False, detail="none here")
    return Reading(ok=True, detail=f"level {core.sandbox.level}")


def bus_reading(*, is_expected: bool, is_connected: bool, processes: int) -> Reading:
    """Signals between processes: Redis, or PostgreSQL itself."""
    if is_connected:
        return Reading(ok=True, detail=f"connected; {processes} processes heard of")
    return Reading(
        ok=True,
        is_degraded=is_expected,
        detail="away: waiters look into the rows" if is_expected else "none: waiters look into the rows",
    )


def broker_reading(publisher: Away) -> Reading:
    """The fleet's broker, as it took the last wake-ups."""
    return Reading(ok=True, is_degraded=publisher.is_away, detail=publisher.state)


@asynccontextmanager
async def telling_numbers(core: Core) -> AsyncGenerator[None]:
    """Of a process without the HTTP service: its own numbers can be read where the settings name a port."""
    port = core.settings.metrics_port
    if port is None:
        yield
        return
    # What answers costs memory, which a process that is not asked does without.
    from chargehand.serve import process_metrics  # noqa: PLC0415 - as said

    async with process_metrics.telling_numbers(port, lambda: core.telemetry.metrics.exposed(gauges_of(core))):
        yield


def gauges_of(core: Core) -> Iterable[Gauge]:
    """The numbers of this process that go up and down."""
    free, reserve = core.folder.free_bytes(), core.settings.disk_reserve_bytes
    version = {(chargehand.__version__,): 1.0}
    yield Gauge(name="chargehand_build_info", help="This version.", labels=("version",), values=version)
    yield Gauge(
        name="chargehand_disk_free_bytes", help="Free where the data folder is.", values={(): float(free)}
    )
    yield Gauge(
        name="chargehand_disk_reserve_bytes",
        help="Free space below which new tasks are refused.",
        values={(): float(reserve)},
    )
    engine, sandbox = core.engine, core.sandbox
    slots, busy = (engine.slots, engine.running) if engine is not None else (0, 0)
    yield Gauge(name="chargehand_slots", help="Tasks that this process carries at most.", values={(): slots})
    yield Gauge(name="chargehand_slots_busy", help="Tasks that this process carries now.", values={(): busy})
    if sandbox is not None:
        level = {(str(sandbox.level),): 1.0}
        yield Gauge(
            name="chargehand_sandbox_info", help="The sandbox level here.", labels=("level",), values=level
        )
