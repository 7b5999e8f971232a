"""Snapshots of workspaces: bytes and manifest first, then the head, moved in one fenced transaction.

Rule: what a head names is stored before the head says so, and only the attempt that carries its task moves it.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from chargehand.domain.snapshot import Manifest
from chargehand.domain.task import Task
from chargehand.failpoint import fail_point
from chargehand.service.attempts import held_or_lost
from chargehand.store import workspace_heads
from chargehand.store.blobs import Blobs
from chargehand.store.database import Database, retried
from chargehand.store.workspace_heads import Head

__all__ = ["Head", "Snapshots"]

_HEADS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Snapshots:
    """What workers do with the heads of workspaces."""

    db: Database
    blobs: Blobs

    async def head(self, workspace_id: str) -> Head | None:
        """Where the workspace stands; None while nothing was published."""
        async with self.db.glance() as tx:
            return await workspace_heads.get(tx, workspace_id)

    async def manifest(self, digest: str) -> Manifest:
        """A stored manifest. NotFound, ContentDamaged."""
        return Manifest.from_bytes(await self.blobs.get(digest))

    async def content(self, digest: str) -> bytes:
        """The bytes of a file."""
        return await self.blobs.get(digest)

    async def keep(self, data: bytes) -> str:
        """Store the bytes of a file, or a manifest; their hash."""
        return await self.blobs.put(data)

    async def keep_all(self, contents: Sequence[bytes]) -> None:
        """Store the bytes of many files."""
        await self.blobs.put_all(contents)

    async def publish(
        self, task: Task, workspace_id: str, manifest: Manifest, *, seen: Head | None
    ) -> Head | None:
        """Move the head from what was seen to this; None when somebody was quicker. LeaseLost as everywhere."""
        digest = await self.keep(manifest.to_bytes())
        fail_point("snapshots.kept")
        head = await self._move(task, workspace_id, digest, seen)
        fail_point("snapshots.published")
        return head

    @retried
    async def _move(self, task: Task, workspace_id: str, digest: str, seen: Head | None) -> Head | None:
        async with self.db.write() as tx:
            # Held until the commit: nobody takes the task over between this look and the move.
            await held_or_lost(tx, task)
            return await workspace_heads.move(tx, workspace_id, digest, seen=seen, by=task)

    async def referred_to(self) -> AsyncIterator[set[str]]:
        """Every blob that a head needs (manifests, what they list, what they began as), a workspace at a time.

        For whoever removes blobs that nobody refers to: list the blobs first, leave out those younger than twice
        REFRESHED_AFTER (store/blobs.py), and only then ask here. A blob that is put later than that is young.
        """
        last = ""
        while True:
            async with self.db.read() as tx:
                heads = await workspace_heads.after(tx, last, limit=_HEADS_AT_ONCE)
            if not heads:
                return
            for head in heads:
                manifest = await self.manifest(head.manifest)
                needed = {head.manifest} | manifest.refers_to()
                if manifest.base is not None:
                    needed |= (await self.manifest(manifest.base)).refers_to()
                yield needed
            last = heads[-1].workspace_id
