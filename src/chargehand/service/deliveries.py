"""Deliverables that passed their checks: bytes first, then the rows and their events in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chargehand.domain.deliverable import Deliverable
from chargehand.domain.history import EventKind
from chargehand.domain.task import Task
from chargehand.domain.values import JsonObject
from chargehand.errors import TenantStorageFull
from chargehand.failpoint import fail_point
from chargehand.service.attempts import held_or_lost
from chargehand.service.endings import Hints
from chargehand.service.tenant_storage import TenantStorage
from chargehand.store import deliverables, history
from chargehand.store.blobs import Blobs
from chargehand.store.database import Database, retried


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What workers do with deliverables."""

    db: Database
    blobs: Blobs
    hints: Hints
    storage: TenantStorage | None = None
    """Who knows how much each tenant may store; None: nobody asks."""

    async def require_room(self, task: Task, more_bytes: int) -> None:
        """TenantStorageFull when the task's tenant may not store so many bytes more for this task.

        What an attempt before this one stored already, a worker's death ago, is replaced and takes no more room.
        """
        if self.storage is None or not more_bytes:
            return
        try:
            await self.storage.check(task.tenant, more_bytes)
        except TenantStorageFull:
            async with self.db.read(task.tenant) as tx:
                stored = sum(one.size_bytes for one in await deliverables.of_task(tx, task.id))
            if not stored:
                raise
            if more_bytes > stored:
                await self.storage.check(task.tenant, more_bytes - stored)

    async def keep(self, data: bytes) -> str:
        """Store the bytes of one file; their hash. Repeating it costs nothing."""
        return await self.blobs.put(data)

    @retried
    async def store(self, task: Task, delivered: Sequence[Deliverable]) -> None:
        """Store the manifests; the bytes they name were kept before. LeaseLost as everywhere.

        One that an attempt before this one stored already, a worker's death ago, is not told again.
        """
        fail_point("deliveries.bytes_kept")
        async with self.db.write() as tx:
            await held_or_lost(tx, task)
            stored = {
                replace(one, stored_at=task.created_at) for one in await deliverables.of_task(tx, task.id)
            }
            fresh = [one for one in delivered if replace(one, stored_at=task.created_at) not in stored]
            for one in fresh:
                await deliverables.store(tx, one)
            await history.append(tx, [(task.id, EventKind.DELIVERED, _told(one)) for one in fresh])
            self.hints.changed(tx, task.id)
        if self.storage is not None:
            self.storage.stored(task.tenant, sum(one.size_bytes for one in fresh))
        fail_point("deliveries.stored")


def _told(one: Deliverable) -> JsonObject:
    return {
        "name": one.name,
        "sha256": one.sha256,
        "size_bytes": one.size_bytes,
        "files": len(one.files),
        "checks_passed": len(one.evidence),
    }
