"""Ended trees of tasks are deleted once they are old enough, and what nothing refers to any more is removed.

Rule: rows first, in small transactions; then what only they referred to. A kill in between leaves folders and blobs
that the next sweep finds: it goes by what is there, not by what was just deleted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from chargehand.clock import Clock
from chargehand.domain.access import Principal, Scope
from chargehand.domain.audit import Action
from chargehand.domain.retention import Pruned, PruneOrder, Swept
from chargehand.domain.values import JsonObject
from chargehand.failpoint import fail_point
from chargehand.service.audit_records import Actor, actor_of, append, record
from chargehand.service.references import HeadReferences, named_content
from chargehand.store import retention
from chargehand.store.blobs import REFRESHED_AFTER, Blobs, StoredBlob
from chargehand.store.database import Database, retried

BY_ITSELF = Actor(id="retention", kind="service")
TREES_AT_ONCE = 200
ROWS_AT_ONCE = 2_000
"""Events and tasks in one transaction, unless a single tree has more: tens of milliseconds of the writer's time."""
TURN_SECONDS = 1.0
"""After so long an answer is given; the caller goes on from there."""
YOUNGEST_BLOB = 2 * REFRESHED_AFTER
_CANDIDATES_AT_ONCE = 100_000
_REMOVED_AT_ONCE = 500
_WORKSPACES_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceFolders:
    """The folders on this host, as a port: the ids that have one, and removing what there is of one."""

    listed: Callable[[], Collection[str]]
    remove: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What `chargehand prune` and the hourly duty do. Any number of them may go on at once."""

    db: Database
    blobs: Blobs
    clock: Clock
    folders: WorkspaceFolders
    heads: HeadReferences | None = None
    keep: timedelta | None = None
    """How long ended trees are kept; None: for ever."""

    async def prune(self, who: Principal, order: PruneOrder) -> Pruned:
        """Delete ended trees of the key's tenant for about a second; `after` in the answer says where to go on."""
        who.require(Scope.ADMIN)
        order.check()
        return await self._turn(order, actor_of(who), tenant=who.tenant)

    async def sweep(self, who: Principal) -> Swept:
        """Remove the workspaces and the content that no row of any tenant names any more."""
        who.require(Scope.ADMIN_SERVICE)
        swept = await self._sweep()
        await self._note_sweep(who, swept)
        return swept

    @retried
    async def _note_sweep(self, who: Principal, swept: Swept) -> None:
        """After it: removing files is no transaction."""
        async with self.db.write(who.tenant) as tx:
            await record(tx, who, Action.STORAGE_SWEPT, "", dict(asdict(swept)))

    async def duty(self) -> Pruned:
        """Once an hour: what the setting says, of all tenants, turn by turn; then what nothing refers to."""
        done = Pruned()
        if self.keep is None:
            return done
        order = PruneOrder(older_than=self.keep)
        order.check()
        while True:
            done = done.with_more(await self._turn(order, BY_ITSELF, tenant=None))
            if done.after is None:
                await self._sweep()
                return done
            order = replace(order, after=done.after)

    async def _turn(self, order: PruneOrder, actor: Actor, *, tenant: str | None) -> Pruned:
        before = self.clock.now() - order.older_than
        until = self.clock.monotonic() + TURN_SECONDS
        done = Pruned(after=order.after)
        while True:
            left = TREES_AT_ONCE if order.most_trees is None else order.most_trees - done.trees
            some = await self._some(
                replace(order, after=done.after), actor, tenant, before, limit=min(left, TREES_AT_ONCE)
            )
            done = done.with_more(some)
            if done.after is None or done.trees == order.most_trees or self.clock.monotonic() >= until:
                return done

    async def _some(
        self, order: PruneOrder, actor: Actor, tenant: str | None, before: datetime, *, limit: int
    ) -> Pruned:
        """The next trees: as many as one transaction may hold."""
        async with self.db.read() as tx:
            roots = await retention.ended_roots(tx, order, tenant=tenant, before=before, limit=limit)
            trees = await retention.sizes(tx, roots) if roots else []
        taken: list[retention.Tree] = []
        rows = 0
        for tree in trees:
            rows += tree.tasks + tree.events
            if taken and rows > ROWS_AT_ONCE:
                break
            taken.append(tree)
        if not taken:
            return Pruned()
        is_last = len(roots) < limit and len(taken) == len(trees)
        gone = (
            {tree.root_id for tree in taken}
            if order.is_dry_run
            else await self._delete([tree.root_id for tree in taken], actor, before)
        )
        return Pruned(
            trees=len(gone),
            tasks=sum(tree.tasks for tree in taken if tree.root_id in gone),
            events=sum(tree.events for tree in taken if tree.root_id in gone),
            after=None if is_last else taken[-1].root_id,
        )

    @retried
    async def _delete(self, root_ids: list[str], actor: Actor, before: datetime) -> set[str]:
        async with self.db.write() as tx:
            held = await retention.hold_ended(tx, root_ids, before=before)
            for root_id, rows in held.items():
                await retention.delete_tree(tx, root_id, rows)
                fail_point("retention.tree_deleted")
            trees = Counter(rows[0].tenant for rows in held.values())
            # In one order, so that two that do so never wait for each other.
            for tenant in sorted(trees):
                details: JsonObject = {"trees": trees[tenant], "ended_before": before.isoformat()}
                await append(tx, tenant, actor, Action.TASKS_PRUNED, "", details=details)
        fail_point("retention.deleted")
        return set(held)

    async def _sweep(self) -> Swept:
        workspaces = await self._sweep_workspaces()
        blobs, size = 0, 0
        some: list[StoredBlob] = []
        old = self.clock.now() - YOUNGEST_BLOB
        async for blob in self.blobs.listed():
            if blob.stored_at < old:
                some.append(blob)
            if len(some) == _CANDIDATES_AT_ONCE:
                more, more_bytes = await self._remove_unnamed(some)
                blobs, size, some = blobs + more, size + more_bytes, []
        more, more_bytes = await self._remove_unnamed(some)
        return Swept(workspaces=workspaces, blobs=blobs + more, blob_bytes=size + more_bytes)

    async def _sweep_workspaces(self) -> int:
        """Listed before the rows are looked at: a folder is made after its task's row."""
        ids = sorted(await asyncio.to_thread(self.folders.listed))
        removed = 0
        for start in range(0, len(ids), _WORKSPACES_AT_ONCE):
            some = ids[start : start + _WORKSPACES_AT_ONCE]
            async with self.db.read() as tx:
                used = await retention.used_workspaces(tx, some)
            for one in some:
                if one not in used:
                    await asyncio.to_thread(self.folders.remove, one)
                    fail_point("retention.workspace_removed")
                    removed += 1
        return removed

    async def _remove_unnamed(self, some: list[StoredBlob]) -> tuple[int, int]:
        """Of these blobs, all of them old, remove those that no row names.

        Nothing is lost to a put of the same bytes meanwhile. A put that finds a blob younger than a day leaves it as
        it is; its row is written in the same minutes, and these here are twice as old, so that row is there to be
        seen now. A put that finds an older one makes it young, or makes it anew, and `remove` spares the young.
        """
        if not some:
            return 0, 0
        unnamed = {blob.sha256: blob for blob in some}
        async for digests in named_content(self.db, self.heads):
            for digest in digests:
                unnamed.pop(digest, None)
        gone = list(unnamed.values())
        for start in range(0, len(gone), _REMOVED_AT_ONCE):
            part = [blob.sha256 for blob in gone[start : start + _REMOVED_AT_ONCE]]
            await self.blobs.remove(part, older_than=REFRESHED_AFTER)
            fail_point("retention.blobs_removed")
        return len(gone), sum(blob.size_bytes for blob in gone)
