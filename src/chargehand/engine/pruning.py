"""Once an hour, what CHARGEHAND_RETENTION_DAYS says: ended trees go, beside everything else.

Rule: it may go on in any number of processes; each passes over what another has in hand, and removes the workspaces
that lie on its own host.
"""

import asyncio
from datetime import timedelta

import structlog

from chargehand.clock import Clock
from chargehand.errors import ChargehandError
from chargehand.service.retention import Retention

log = structlog.stdlib.get_logger("chargehand.retention")

BETWEEN = timedelta(hours=1)
FIRST_AFTER = timedelta(minutes=1)
"""A start has more pressing things to do."""


class Pruning:
    """The loop. `start` and `stop` bound its life; without the setting there is none."""

    def __init__(self, retention: Retention, clock: Clock) -> None:
        self._retention = retention
        self._clock = clock
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if anything is to go at all."""
        if self._retention.keep is not None:
            self._loop = asyncio.create_task(self._go_round())

    async def stop(self) -> None:
        """End with the transaction that is open."""
        self._stopping.set()
        self._wake.set()
        if self._loop is not None:
            await self._loop

    async def _go_round(self) -> None:
        pause = FIRST_AFTER
        while not self._stopping.is_set():
            await self._clock.sleep_until(self._clock.now() + pause, self._wake)
            self._wake.clear()
            pause = BETWEEN
            if not self._stopping.is_set():
                await self._once()

    async def _once(self) -> None:
        try:
            done = await self._retention.duty(self._stopping)
        except ChargehandError as error:
            log.warning("nothing can be pruned now; trying again in an hour", error=error.message)
        except Exception:
            log.exception("pruning failed; trying again in an hour")
        else:
            if done.trees:
                log.info("pruned", trees=done.trees, tasks=done.tasks, events=done.events)
