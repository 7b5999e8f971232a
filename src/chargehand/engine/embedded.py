"""The embedded engine: N attempts at once in this process, woken by the commit that makes a task ready.

It alone holds the data folder, so at its start it knows that no other worker lives and takes back at once
what a dead one held.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from chargehand.clock import Clock
from chargehand.domain.task import FOREVER, Task
from chargehand.engine.runner import Runner
from chargehand.errors import StorageFull, Unavailable
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
        self._interrupted: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._renew_at = 0.0
        self._is_full = False
        """Whether the last claim took all that it could, so that more may be ready."""
        self._looks_at = FOREVER

    @property
    def running(self) -> int:
        """Attempts carried right now."""
        return len(self._carried)

    @property
    def is_alive(self) -> bool:
        """Whether both loops go on."""
        return bool(self._loops) and not any(loop.done() for loop in self._loops)

    def wake(self, due: datetime | None = None) -> None:
        """Tasks may be ready; `due`: or something is, earlier perhaps than what the engine sleeps for."""
        self._ready.set()
        if due is not None and due < self._looks_at:
            self._due.set()

    def cancel(self, task_ids: Sequence[str]) -> None:
        """Stop attempts whose tasks were canceled; repeating it does not disturb one that is stopping."""
        for task_id in task_ids:
            held = self._carried.get(task_id)
            if held is not None:
                self._interrupt(held[1])

    def _interrupt(self, carried: asyncio.Task[None]) -> None:
        if carried in self._interrupted:
            return
        self._interrupted.add(carried)
        # Not at once: a task that is canceled before its first step never runs, and so writes no outcome.
        asyncio.get_running_loop().call_soon(carried.cancel)

    async def start(self, *, is_alone: bool = True) -> None:
        """Take back what a dead worker held, then begin. `is_alone`: nobody else works on this database."""
        await self._upkeep.sweep(of_any_worker=is_alone)
        await self._runner.copies.look()
        self._ready.set()
        self._loops = [asyncio.create_task(self._claim_loop()), asyncio.create_task(self._tend_loop())]

    async def stop(self, grace_seconds: float) -> None:
        """Begin nothing more; let running steps end for so long; give the rest back. No attempt is spent."""
        self._runner.stopping.set()
        self.wake()
        # It ends by itself: cut off between a claim's commit and its answer, it would lose what it claimed.
        await asyncio.wait(self._loops[:1])
        if self._carried:
            await asyncio.wait(self._running_tasks(), timeout=grace_seconds)
        for one in self._running_tasks():
            self._interrupt(one)
        await asyncio.gather(*self._running_tasks(), return_exceptions=True)
        await self._attempts.drain()
        self._loops[1].cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._runner.copies.close()

    def _running_tasks(self) -> list[asyncio.Task[None]]:
        return [one for _, one in self._carried.values()]

    async def _claim_loop(self) -> None:
        """Claim when told that something is ready, and when a slot comes free while there may be more."""
        while not self._runner.stopping.is_set():
            await self._ready.wait()
            if self._runner.stopping.is_set():
                return
            self._ready.clear()
            free = self.slots - len(self._carried)
            claimed = await self._claim(free) if free > 0 else []
            self._is_full = len(claimed) >= free
            for task in claimed:
                self._carry(task)
            if self._is_full and len(self._carried) < self.slots:
                # Slots came free while the claim waited for the writer.
                self._ready.set()

    async def _claim(self, free: int) -> list[Task]:
        try:
            return await self._attempts.claim(self.worker, limit=free)
        except (StorageFull, Unavailable) as error:
            log.warning("nothing can be claimed now; trying again", error=error.message)
            await self._pause()
            return []
        except Exception:
            log.exception("claiming failed; trying again")
            await self._pause()
            return []

    async def _pause(self) -> None:
        await self._clock.sleep_until(self._clock.now() + AFTER_FAULT, self._runner.stopping)
        self._ready.set()

    def _carry(self, task: Task) -> None:
        before = self._carried.get(task.id)
        if before is not None:
            self._interrupt(before[1])
        carried = asyncio.create_task(self._runner.carry(task), name=f"task {task.id}")
        self._carried[task.id] = (task, carried)
        carried.add_done_callback(lambda done: self._dropped(task, done))

    def _dropped(self, task: Task, done: asyncio.Task[None]) -> None:
        self._interrupted.discard(done)
        held = self._carried.get(task.id)
        if held is not None and held[1] is done:
            del self._carried[task.id]
        if not done.cancelled() and (error := done.exception()) is not None:
            # The row still says running; its lease runs out and the sweeper gives the task back.
            log.error("an attempt could not be ended", task_id=task.id, exc_info=error)
        if self._is_full:
            self._ready.set()

    async def _tend_loop(self) -> None:
        while True:
            self._due.clear()
            # Awake, it takes every hint; asleep, only those of something earlier than what it sleeps for.
            self._looks_at = FOREVER
            due = await self._tend()
            await asyncio.sleep(LEAST_SECONDS_BETWEEN_SWEEPS)
            self._looks_at = self._clock.now() + self._attempts.lease / 3
            self._looks_at = min(due or self._looks_at, self._looks_at)
            await self._clock.sleep_until(self._looks_at, self._due)
            # A delayed task may be due by now; and once in a while we look without having been told.
            self._ready.set()

    async def _tend(self) -> datetime | None:
        try:
            await self._renew()
            await self._runner.copies.sweep(but_not=self._carried)
            return await self._upkeep.sweep(but_not=self._attempts_carried())
        except (StorageFull, Unavailable) as error:
            log.warning("no upkeep is possible now; trying again", error=error.message)
            return self._clock.now() + AFTER_FAULT
        except Exception:
            log.exception("upkeep failed; trying again")
            return self._clock.now() + AFTER_FAULT

    def _attempts_carried(self) -> dict[str, int]:
        return {task.id: task.attempt for task, _ in self._carried.values()}

    async def _renew(self) -> None:
        now = self._clock.monotonic()
        carried = self._attempts_carried()
        if not carried or now < self._renew_at:
            return
        self._renew_at = now + self._attempts.lease.total_seconds() / 4
        lost, canceled = await self._attempts.renew(self.worker, carried)
        for task_id in lost | canceled:
            held = self._carried.get(task_id)
            if held is not None and held[0].attempt == carried[task_id]:
                self._interrupt(held[1])
