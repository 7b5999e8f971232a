"""Where attempts of a fleet work: each in a folder of its own, which begins as the workspace's newest snapshot.

Rule: what an attempt has changed is published before its step, its wait or its outcome is written, fenced like every
write; so whoever goes on finds the workspace as of the last finished step, and what a dead or a slow worker has in its
folder counts for nothing. Several tasks in one workspace publish one after the other: each takes the newest snapshot,
puts its own changes on top, and tries again when another was quicker.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from chargehand.domain.history import StepKind, changes_path
from chargehand.domain.snapshot import FileEntry, Manifest, Parts, changes, merged
from chargehand.domain.task import Task
from chargehand.domain.values import JsonValue
from chargehand.engine.working_folders import WorkingFolder, WorkingFolders
from chargehand.errors import ContentDamaged, LeaseLost, ToolError, Unavailable
from chargehand.failpoint import fail_point
from chargehand.runtimes.base import Hands, Suspension
from chargehand.runtimes.delivery import PASSED_OVER
from chargehand.runtimes.isolation import has_own_workspace
from chargehand.service.journal import Journal
from chargehand.service.snapshots import Head, Snapshots
from chargehand.tools import snapshot
from chargehand.tools.own_snapshot import brought_back
from chargehand.tools.workspace import Quota, Workspace

log = structlog.stdlib.get_logger("chargehand.snapshots")

AT_ONCE = 16
"""Blobs that one attempt fetches at once."""

Answer = TypeVar("Answer")
Result = TypeVar("Result")


@dataclass(slots=True)
class SnapshotPlace:
    """The folder of one attempt."""

    snapshots: Snapshots
    task: Task
    workspace_id: str
    shared_id: str | None
    """Of a workspace of the task's own: the one it began as."""
    workspace: Workspace
    folder: WorkingFolder
    quota: Quota
    base: Manifest
    """What this folder and the head had in common last."""
    head: Head | None
    _not_taken: dict[Parts, FileEntry | None] = field(default_factory=dict[Parts, FileEntry | None])
    """What others have changed and could not be changed here, as it stood here."""
    _told: set[Parts] = field(default_factory=set[Parts])
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def keep(self) -> None:
        """Publish what has changed here and take in what others have published. LeaseLost."""
        async with self._turn:
            mine = await self._look()
            while not await self._publish(mine):
                continue

    async def leave(self) -> bool:
        """At the attempt's end: publish what has changed here, if anything has. Whether the folder is empty."""
        async with self._turn:
            mine = await self._look()
            if mine == self.base:
                return not mine.files and not mine.folders
            while not await self._publish(mine):
                continue
        return False

    async def bring_changes_back(self, hands: Hands) -> None:
        """See `Place`: manifests are compared, no file is touched here."""
        shared_id = self.shared_id
        if shared_id is None:
            return

        async def work() -> JsonValue:
            await self.keep()
            began_as = await self.snapshots.manifest(self.base.base or "")
            while True:
                head, theirs = await self._newest(shared_id)
                wanted, told = brought_back(
                    self.base, began_as, theirs, task_id=self.task.id, passed_over=PASSED_OVER
                )
                if wanted == theirs or await self._moved(shared_id, wanted, head):
                    return told.as_data()

        path = changes_path(hands.task.round)
        await hands.steps.run(path, StepKind.VALUE, "changes", {}, work, changes_files=False)

    async def restore(self) -> None:
        """Bring the folder, which nobody else uses yet, to the base."""
        if self.folder.is_new and self.base == Manifest():
            return
        snapshot.check_quota(self.base, self.quota)
        found = await in_thread(lambda: snapshot.look(self.workspace, self.folder.index, Manifest()))
        if found.unreadable:
            raise ToolError("an earlier attempt has left what cannot be read")
        await in_thread(lambda: snapshot.clear(self.workspace, found, self.base))
        missing = {
            parts: entry for parts, entry in self.base.files.items() if found.known.get(parts) != entry
        }
        for portion in snapshot.batches({parts: entry.size_bytes for parts, entry in missing.items()}):
            contents = await self._contents(missing[parts] for parts in portion)
            files = [(parts, missing[parts], contents[missing[parts].sha256]) for parts in portion]
            await in_thread(lambda files=files: snapshot.write_some(self.workspace, files, self.folder.index))
        await in_thread(lambda: snapshot.make_folders(self.workspace, self.base))

    async def _look(self) -> Manifest:
        """What the folder holds; what is new of it is stored."""
        index = self.folder.index
        found = await in_thread(lambda: snapshot.look(self.workspace, index, self.base))
        to_read = {entry.path.parts: entry for entry in found.to_read}
        for portion in snapshot.batches({parts: entry.size_bytes for parts, entry in to_read.items()}):
            entries = [to_read[parts] for parts in portion]
            contents = await in_thread(lambda entries=entries: snapshot.read_some(self.workspace, entries))
            fresh: dict[str, bytes] = {}
            for entry, data in contents:
                parts = entry.path.parts
                if isinstance(data, ToolError):
                    found.unreadable[parts] = data.message
                    continue
                read = found.known[parts] = snapshot.entry_of(entry, data, self.base)
                before = self.base.files.get(parts)
                if before is None or before.sha256 != read.sha256:
                    fresh[read.sha256] = data
            await self.snapshots.keep_all(list(fresh.values()))
            # Only now: what the index knows is not stored again.
            for entry, data in contents:
                if not isinstance(data, ToolError):
                    index.learn(entry, found.known[entry.path.parts].sha256, found.at_ns)
        self._tell_unreadable(found)
        index.keep_only(found.known)
        mine = found.manifest(self.base)
        # What could not be taken in and stands as it stood then is no change of my agent's.
        self._not_taken = {
            parts: before for parts, before in self._not_taken.items() if mine.files.get(parts) == before
        }
        return snapshot.with_files(mine, {parts: self.base.files.get(parts) for parts in self._not_taken})

    async def _publish(self, mine: Manifest) -> bool:
        """Whether the head now has what I have; False when somebody else moved it meanwhile."""
        head, theirs = self.head, self.base
        if await self.snapshots.head(self.workspace_id) != head:
            head, theirs = await self._newest(self.workspace_id)
        wanted = merged(self.base, mine, theirs)
        if wanted != theirs:
            snapshot.check_quota(wanted, self.quota)
            head = await self.snapshots.publish(self.task, self.workspace_id, wanted, seen=head)
            if head is None:
                return False
        await self._take_in(mine, wanted)
        self.base, self.head = wanted, head
        return True

    async def _take_in(self, mine: Manifest, wanted: Manifest) -> None:
        """Change here what others have changed; where my agent is at work meanwhile, its change stands."""
        theirs = changes(mine, wanted)
        written = {parts: entry for parts, entry in theirs.items() if entry is not None}
        for parts in theirs.keys() - written.keys():
            before = mine.files[parts]
            if not await _done(lambda p=parts, b=before: snapshot.remove_changed(self.workspace, p, b)):
                self._not_taken[parts] = before
        for parts in sorted(snapshot.folders_left_empty(mine, wanted), key=len, reverse=True):
            await _done(lambda p=parts: snapshot.remove_folders(self.workspace, [p]))
        for portion in snapshot.batches({parts: entry.size_bytes for parts, entry in written.items()}):
            contents = await self._contents(written[parts] for parts in portion)
            for parts in portion:
                before, entry = mine.files.get(parts), written[parts]
                change = (parts, before, entry, contents[entry.sha256])
                if not await _done(lambda c=change: snapshot.write_changed(self.workspace, *c)):
                    self._not_taken[parts] = before
        if wanted.folders - mine.folders:
            await _done(lambda: snapshot.make_folders(self.workspace, wanted))

    async def _newest(self, workspace_id: str) -> tuple[Head | None, Manifest]:
        head = await self.snapshots.head(workspace_id)
        return head, Manifest() if head is None else await self.snapshots.manifest(head.manifest)

    async def _moved(self, workspace_id: str, wanted: Manifest, seen: Head | None) -> bool:
        snapshot.check_quota(wanted, self.quota)
        return await self.snapshots.publish(self.task, workspace_id, wanted, seen=seen) is not None

    async def _contents(self, entries: Iterable[FileEntry]) -> dict[str, bytes]:
        wanted = {entry.sha256: entry.size_bytes for entry in entries}
        contents = dict(zip(wanted, await at_once(self.snapshots.content, list(wanted)), strict=True))
        if any(len(contents[digest]) != size_bytes for digest, size_bytes in wanted.items()):
            raise ContentDamaged("the manifest of a workspace cannot be used: a file has another size")
        return contents

    def _tell_unreadable(self, found: snapshot.Look) -> None:
        for parts, why in found.unreadable.items():
            if parts not in self._told:
                self._told.add(parts)
                log.warning("a file is not kept for other hosts", task_id=self.task.id, why=why)


async def _done(work: Callable[[], None]) -> bool:
    try:
        await in_thread(work)
    except ToolError as error:
        log.info("what another task has changed is not taken in", error=error.message)
        return False
    return True


@dataclass(frozen=True, slots=True)
class SnapshotPlaces:
    """Opens a folder of its own for each attempt."""

    snapshots: Snapshots
    journal: Journal
    folders: WorkingFolders
    quota: Quota

    @asynccontextmanager
    async def opened(self, task: Task) -> AsyncGenerator[SnapshotPlace, None]:
        """A folder that begins as the head; what it holds at the end is published, unless a step was cut off."""
        place = await self._prepared(task)
        is_worth_parking = False
        try:
            try:
                yield place
            except Suspension:
                is_worth_parking = not await place.leave()
                raise
            except LeaseLost:
                raise
            except Exception:
                await place.leave()
                raise
            is_worth_parking = not await place.leave()
        finally:
            place.workspace.close()
            await in_thread(lambda: self._left(place, is_worth_parking))

    async def close(self) -> None:
        """Remove the folders."""
        await asyncio.to_thread(self.folders.close)

    def _left(self, place: SnapshotPlace, is_worth_parking: bool) -> None:
        if is_worth_parking:
            place.folder.is_new = False
            self.folders.park(place.workspace_id, place.folder)
        else:
            self.folders.remove(place.folder)

    async def _prepared(self, task: Task) -> SnapshotPlace:
        workspace_id = task.workspace_id or task.root_id
        shared_id = await self.journal.parent_workspace(task) if has_own_workspace(task) else None
        # Before a tree's first attempt nothing was published, and the look is spared.
        is_first = task.attempt == 1 and workspace_id == task.id and shared_id is None
        head = None if is_first else await self.snapshots.head(workspace_id)
        if head is None and shared_id is not None:
            head = await self._begun_as(task, workspace_id, shared_id)
        base = Manifest() if head is None else await self.snapshots.manifest(head.manifest)
        parked = self.folders.parked(workspace_id)
        for folder in (parked, None):
            if folder is None:
                folder = await self._made(workspace_id)
            workspace = Workspace(folder.path, quota=self.quota)
            place = SnapshotPlace(
                self.snapshots, task, workspace_id, shared_id, workspace, folder, self.quota, base, head
            )
            try:
                await place.restore()
            except BaseException as error:
                workspace.close()
                await in_thread(lambda folder=folder: self.folders.remove(folder))
                if folder is parked and isinstance(error, ToolError | OSError):
                    continue  # What was left in it is in the way; a new one has nothing.
                raise
            fail_point("snapshots.restored")
            return place
        raise AssertionError("a new folder is used, or its fault raised")

    async def _made(self, workspace_id: str) -> WorkingFolder:
        try:
            return await in_thread(lambda: self.folders.made(workspace_id))
        except OSError as error:
            raise Unavailable(f"the workspace {workspace_id} cannot be made: {error.strerror}") from error

    async def _begun_as(self, task: Task, workspace_id: str, shared_id: str) -> Head | None:
        """A workspace of the task's own begins as the shared one; it costs a manifest."""
        shared = await self.snapshots.head(shared_id)
        manifest = Manifest() if shared is None else await self.snapshots.manifest(shared.manifest)
        base = shared.manifest if shared else await self.snapshots.keep(manifest.to_bytes())
        own = Manifest(manifest.files, manifest.folders, base)
        return await self.snapshots.publish(task, workspace_id, own, seen=None)


async def in_thread(work: Callable[[], Answer]) -> Answer:
    """Do it in a thread. A cancel waits for its end: the folder is not let go while a thread is in it."""
    running = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def at_once(work: Callable[[Answer], Awaitable[Result]], items: list[Answer]) -> list[Result]:
    """The answers for all, a few at a time."""
    found: list[Result] = []
    for start in range(0, len(items), AT_ONCE):
        found += await asyncio.gather(*map(work, items[start : start + AT_ONCE]))
    return found
