"""The embedded engine: N attempts at once in this process, woken by the commit that makes a task ready.

It alone holds the data folder, so at its start it knows that no other worker lives and takes back at once
what a dead one held.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from chargehand.clock import Clock
from chargehand.domain.task import Task
from chargehand.engine.runner import Runner
from chargehand.errors import ChargehandError
from chargehand.service.attempts import Attempts
from chargehand.service.upkeep import Upkeep

log = structlog.stdlib.get_logger("chargehand.engine")

LEAST_SECONDS_BETWEEN_SWEEPS = 0.05
AFTER_FAULT = timedelta(seconds=1)


class EmbeddedEngine:
    """Claims, carries, renews and sweeps. `start` and `stop` bound its life."""

    def __init__(
        self, *, attempts: Attempts, upkeep: Upkeep, runner: Runner, clock: Clock, slots: int, worker: str
    ) -> None:
        self.slots = slots
        self.worker = worker
        self._attempts = attempts
        self._upkeep = upkeep
        self._runner = runner
        self._clock = clock
        self._ready = asyncio.Event()
        self._due = asyncio.Event()
        self._carried: dict[str, tuple[Task, asyncio.Task[None]]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._renew_at = 0.0

    @property
    def running(self) -> int:
        """Attempts carried right now."""
        return len(self._carried)

    @property
    def is_alive(self) -> bool:
        """Whether both loops go on."""
        return bool(self._loops) and not any(loop.done() for loop in self._loops)

    def wake(self) -> None:
        """Tasks may be ready, or something is due at another time than before."""
        self._ready.set()
        self._due.set()

    def cancel(self, task_ids: Sequence[str]) -> None:
        """Stop attempts whose tasks were canceled."""
        for task_id in task_ids:
            if task_id in self._carried:
                self._interrupt(self._carried[task_id][1])

    @staticmethod
    def _interrupt(carried: asyncio.Task[None]) -> None:
        # Not at once: a task that is canceled before its first step never runs, and so writes no outcome.
        asyncio.get_running_loop().call_soon(carried.cancel)

    async def start(self) -> None:
        """Take back what a dead worker held, then begin."""
        await self._upkeep.sweep(of_any_worker=True)
        self._loops = [asyncio.create_task(self._claim_loop()), asyncio.create_task(self._tend_loop())]

    async def stop(self, grace_seconds: float) -> None:
        """Begin nothing more; let running steps end for so long; give the rest back. No attempt is spent."""
        self._runner.stopping.set()
        self._loops[0].cancel()
        if self._carried:
            await asyncio.wait(self._running_tasks(), timeout=grace_seconds)
        for one in self._running_tasks():
            self._interrupt(one)
        await asyncio.gather(*self._running_tasks(), return_exceptions=True)
        self._loops[1].cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    def _running_tasks(self) -> list[asyncio.Task[None]]:
        return [one for _, one in self._carried.values()]

    async def _claim_loop(self) -> None:
        while True:
            self._ready.clear()
            free = self.slots - len(self._carried)
            claimed = await self._claim(free) if free else []
            for task in claimed:
                self._carry(task)
            if not claimed:
                await self._ready.wait()

    async def _claim(self, free: int) -> list[Task]:
        try:
            return await self._attempts.claim(self.worker, limit=free)
        except ChargehandError:
            log.exception("claiming failed; trying again")
            await self._clock.sleep_until(self._clock.now() + AFTER_FAULT, asyncio.Event())
            self._ready.set()
            return []

    def _carry(self, task: Task) -> None:
        carried = asyncio.create_task(self._runner.carry(task), name=f"task {task.id}")
        self._carried[task.id] = (task, carried)
        carried.add_done_callback(lambda done: self._dropped(task, done))

    def _dropped(self, task: Task, done: asyncio.Task[None]) -> None:
        held = self._carried.get(task.id)
        if held is not None and held[1] is done:
            del self._carried[task.id]
        if not done.cancelled() and (error := done.exception()) is not None:
            # The row still says running; its lease runs out and the sweeper gives the task back.
            log.error("an attempt could not be ended", task_id=task.id, exc_info=error)
        self._ready.set()

    async def _tend_loop(self) -> None:
        """Renew first, then sweep: after a stall of this process its own leases are not taken for dead."""
        while True:
            self._due.clear()
            due = await self._tend()
            if due is not None and due <= self._clock.now():
                self._ready.set()
            await asyncio.sleep(LEAST_SECONDS_BETWEEN_SWEEPS)
            latest = self._clock.now() + self._attempts.lease / 3
            await self._clock.sleep_until(min(due or latest, latest), self._due)

    async def _tend(self) -> datetime | None:
        try:
            await self._renew()
            return await self._upkeep.sweep()
        except ChargehandError:
            log.exception("upkeep failed; trying again")
            return self._clock.now() + AFTER_FAULT

    async def _renew(self) -> None:
        now = self._clock.monotonic()
        carried = {task.id: task.attempt for task, _ in self._carried.values()}
        if not carried or now < self._renew_at:
            return
        self._renew_at = now + self._attempts.lease.total_seconds() / 4
        lost, canceled = await self._attempts.renew(self.worker, carried)
        for task_id in lost | canceled:
            held = self._carried.get(task_id)
            if held is not None and held[0].attempt == carried[task_id]:
                self._interrupt(held[1])
