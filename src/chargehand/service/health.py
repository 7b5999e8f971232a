"""Whether the service can take tasks and carry them out."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from chargehand.clock import Clock
from chargehand.errors import ChargehandError
from chargehand.store.database import Database

log = structlog.stdlib.get_logger("chargehand.health")

DATABASE_SECONDS = 5.0
FRESH_SECONDS = 1.0
"""How long an answer is given again, so that asking often costs nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one check found."""

    ok: bool
    detail: str
    is_degraded: bool = False
    """It can work, yet slower or with less than was set up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What all checks found."""

    checks: Mapping[str, Reading]

    @property
    def ok(self) -> bool:
        return all(reading.ok for reading in self.checks.values())


class Health:
    """The checks of this process. `probes` are those of the rooms above: engine, sandbox, bus, broker."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        check_space: Callable[[], None],
        probes: Mapping[str, Callable[[], Reading]],
    ) -> None:
        self._db = db
        self._clock = clock
        self._check_space = check_space
        self._probes = dict(probes)
        self._asking = asyncio.Lock()
        self._writing: asyncio.Task[Reading] | None = None
        self._last: tuple[float, Readiness] | None = None

    async def ready(self) -> Readiness:
        """Read every check; who asks at the same moment shares one reading."""
        async with self._asking:
            if self._last is not None and self._clock.monotonic() - self._last[0] < FRESH_SECONDS:
                return self._last[1]
            checks = {"database": await self._database(), "disk": self._disk()}
            checks |= {name: probe() for name, probe in self._probes.items()}
            readiness = Readiness(checks=checks)
            self._last = (self._clock.monotonic(), readiness)
            return readiness

    async def _database(self) -> Reading:
        """What a beginning write finds. A canceled one would hang as long as the database does, so none is."""
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        done, _ = await asyncio.wait((self._writing,), timeout=DATABASE_SECONDS)
        if not done:
            return Reading(ok=False, detail=f"did not answer within {DATABASE_SECONDS:g} s")
        reading, self._writing = self._writing.result(), None
        return reading

    async def _write(self) -> Reading:
        """Beginning to write is what fails when the file is read-only, locked or gone."""
        try:
            async with self._db.write():
                return Reading(ok=True, detail="takes transactions")
        except ChargehandError as error:
            # The log's own, because it may name the server.
            log.warning("the database takes no transactions now", error=error.message)
            return Reading(ok=False, detail="takes no transactions now; the log says why")

    def _disk(self) -> Reading:
        try:
            self._check_space()
        except ChargehandError as error:
            return Reading(ok=False, detail=error.message)
        return Reading(ok=True, detail="more than the reserve is free")
