"""Carries attempts in the slots of one process: claims, renews, interrupts, gives back. Every engine has one.

Rule: never more attempts than slots. What a claim was promised by is the rows; `wake` only says when to look.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta

import structlog

from chargehand.clock import Clock
from chargehand.domain.queues import EVERY_AGENT, AgentScope
from chargehand.domain.task import Task
from chargehand.engine.runner import Runner
from chargehand.errors import StorageFull, Unavailable
from chargehand.service.attempts import Attempts

log = structlog.stdlib.get_logger("chargehand.engine")

AFTER_FAULT = timedelta(seconds=1)
LEASE_MARGIN = 0.1
"""The part of a lease by which a worker that cannot renew stops before others may take its tasks."""


class Carrier:
    """The attempts that this process carries."""

    def __init__(
        self,
        *,
        attempts: Attempts,
        runner: Runner,
        clock: Clock,
        slots: int,
        worker: str,
        scope: AgentScope = EVERY_AGENT,
    ) -> None:
        self.slots = slots
        self.worker = worker
        self.runner = runner
        self._attempts = attempts
        self._clock = clock
        self._scope = scope
        self._ready = asyncio.Event()
        self._carried: dict[str, tuple[Task, asyncio.Task[None]]] = {}
        self._sure_until: dict[str, float] = {}
        """By task: until when, by the monotonic clock, nobody else can have its lease."""
        self._passed: list[asyncio.Future[None]] = []
        self._renew_at = 0.0
        self._wants_more = False
        """Whether the last claim took all that it could, or all that a limit let it, so that more may be ready."""
        self._ended = 0
        """Attempts that were carried and are not any more."""

    @property
    def running(self) -> int:
        """Attempts carried right now."""
        return len(self._carried)

    @property
    def free(self) -> int:
        """Slots in which nothing is carried."""
        return self.slots - len(self._carried)

    @property
    def lease(self) -> timedelta:
        """How long a claim or a renewal lasts."""
        return self._attempts.lease

    def attempts_carried(self) -> dict[str, int]:
        """The number of each attempt, by task."""
        return {task.id: task.attempt for task, _ in self._carried.values()}

    def carries(self, task_id: str) -> bool:
        """Whether an attempt of this task is in hand."""
        return task_id in self._carried

    def includes(self, agent_id: str) -> bool:
        """Whether it claims this agent's tasks."""
        return self._scope.includes(agent_id)

    def wake(self) -> None:
        """Tasks may be ready."""
        self._ready.set()

    async def passed(self) -> None:
        """Return after a look for ready tasks that begins from now on; while no slot is free there is none."""
        done = asyncio.get_running_loop().create_future()
        self._passed.append(done)
        self.wake()
        await done

    def cancel(self, task_ids: Iterable[str]) -> None:
        """Stop attempts whose tasks were canceled; repeating it does not disturb one that is stopping."""
        for task_id in task_ids:
            held = self._carried.get(task_id)
            if held is not None:
                self._interrupt(held[1])

    def _interrupt(self, carried: asyncio.Task[None]) -> None:
        if carried in self.runner.interrupted:
            return
        self.runner.interrupted.add(carried)
        # Not at once: a task that is canceled before its first step never runs, and so writes no outcome.
        asyncio.get_running_loop().call_soon(carried.cancel)

    async def stop(self, grace_seconds: float, claiming: asyncio.Task[None], hurry: asyncio.Event) -> None:
        """Begin nothing more; let running steps end for so long; give the rest back. No attempt is spent.

        `claiming` is the task of `claim_loop`; `hurry`, once it is set, ends the grace.
        """
        self.runner.stopping.set()
        self.wake()
        # It ends by itself: cut off between a claim's commit and its answer, it would lose what it claimed.
        await asyncio.wait([claiming])
        if self._carried:
            all_ended = asyncio.ensure_future(asyncio.wait(self._running_tasks()))
            hurried = asyncio.ensure_future(hurry.wait())
            await asyncio.wait(
                [all_ended, hurried], timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            all_ended.cancel()
            hurried.cancel()
        for one in self._running_tasks():
            self._interrupt(one)
        await asyncio.gather(*self._running_tasks(), return_exceptions=True)
        await self._attempts.drain()

    def _running_tasks(self) -> list[asyncio.Task[None]]:
        return [one for _, one in self._carried.values()]

    async def claim_loop(self) -> None:
        """Claim when told that something is ready, and when a slot comes free while there may be more."""
        while not self.runner.stopping.is_set():
            await self._ready.wait()
            if self.runner.stopping.is_set():
                break
            self._ready.clear()
            passed: Sequence[asyncio.Future[None]] = ()
            free, begun_at = self.free, self._clock.monotonic()
            if free > 0:
                passed, self._passed = self._passed, []
            ended = self._ended
            claimed = await self._claim(free) if free > 0 else []
            self._wants_more = len(claimed) >= free or self._attempts.is_held_back
            for task in claimed:
                self._carry(task, begun_at)
            _tell(passed)
            if self._wants_more and self._ended > ended:
                # While the claim waited for the writer.
                self._ready.set()
        _tell(self._passed)

    async def _claim(self, free: int) -> list[Task]:
        try:
            return await self._attempts.claim(self.worker, limit=free, scope=self._scope)
        except (StorageFull, Unavailable) as error:
            log.warning("nothing can be claimed now; trying again", error=error.message)
            await self._pause()
            return []
        except Exception:
            log.exception("claiming failed; trying again")
            await self._pause()
            return []

    async def _pause(self) -> None:
        await self._clock.sleep_until(self._clock.now() + AFTER_FAULT, self.runner.stopping)
        self._ready.set()

    def _carry(self, task: Task, begun_at: float) -> None:
        before = self._carried.get(task.id)
        if before is not None:
            self._lose(task.id)
        carried = asyncio.create_task(self.runner.carry(task), name=f"task {task.id}")
        self._carried[task.id] = (task, carried)
        self._sure_until[task.id] = self._lasts_from(begun_at)
        carried.add_done_callback(lambda done: self._dropped(task, done))

    def _lasts_from(self, begun_at: float) -> float:
        """The database's lease ends later than this: it was taken after `begun_at`."""
        return begun_at + self.lease.total_seconds() * (1 - LEASE_MARGIN)

    def _dropped(self, task: Task, done: asyncio.Task[None]) -> None:
        self._ended += 1
        self.runner.interrupted.discard(done)
        self.runner.lost.discard((task.id, task.attempt))
        held = self._carried.get(task.id)
        if held is not None and held[1] is done:
            del self._carried[task.id], self._sure_until[task.id]
        if not done.cancelled() and (error := done.exception()) is not None:
            # The row still says running; its lease runs out and the sweeper gives the task back.
            log.error("an attempt could not be ended", task_id=task.id, exc_info=error)
        if self._wants_more:
            self._ready.set()

    def _lose(self, task_id: str) -> None:
        """Stop an attempt that another worker may carry by now: it writes no outcome."""
        task, carried = self._carried[task_id]
        self.runner.lost.add((task.id, task.attempt))
        self._interrupt(carried)

    async def renew(self) -> None:
        """Prolong the leases, when it is time; stop what is lost and what somebody wants canceled."""
        now = self._clock.monotonic()
        carried = self.attempts_carried()
        if not carried or now < self._renew_at:
            return
        self._renew_at = now + self.lease.total_seconds() / 4
        lost, canceled = await self._attempts.renew(self.worker, carried)
        for task_id, attempt in carried.items():
            held = self._carried.get(task_id)
            if held is None or held[0].attempt != attempt:
                continue
            if task_id in lost:
                self._lose(task_id)
                continue
            self._sure_until[task_id] = self._lasts_from(now)
            if task_id in canceled:
                self._interrupt(held[1])

    def drop_unsure(self) -> list[str]:
        """Stop attempts whose leases could not be renewed for so long that another worker may have them by now."""
        now = self._clock.monotonic()
        unsure = [task_id for task_id, until in self._sure_until.items() if until <= now]
        for task_id in unsure:
            self._lose(task_id)
        return unsure


def _tell(waiting: Sequence[asyncio.Future[None]]) -> None:
    for one in waiting:
        if not one.done():
            one.set_result(None)
