"""Folders of attempts that follow snapshots: who finds what, who may publish, and what a hostile folder comes to."""

import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from chargehand.app.core import Core
from chargehand.domain.snapshot import FileEntry, Manifest
from chargehand.domain.task import Reason, Released, Task
from chargehand.domain.values import bytes_hash
from chargehand.engine.snapshot_places import SnapshotPlace, SnapshotPlaces
from chargehand.engine.working_folders import WorkingFolders, remove_leftovers
from chargehand.errors import ChargehandError, ContentDamaged, LeaseLost, NotFound, ToolError
from chargehand.runtimes.base import Suspension
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.snapshots import Snapshots
from chargehand.store import workspace_heads
from chargehand.store.blobs import FolderBlobs
from chargehand.tools import snapshot
from chargehand.tools.entries import Quota
from tests import given

not_on_windows = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has neither these modes nor links"
)


async def nothing(ctx: PlaybookContext) -> None:
    del ctx


class Counted(FolderBlobs):
    """A folder of blobs that counts what is put into it."""

    puts = 0

    async def put(self, data: bytes) -> str:
        self.puts += 1
        return await super().put(data)

    async def put_all(self, contents: Sequence[bytes]) -> list[str]:
        self.puts += len(contents)
        return await super().put_all(contents)


class Fleet:
    """A core whose tasks are claimed by hand, and hosts that each have working folders of their own."""

    def __init__(self, core: Core, folder: Path) -> None:
        self.core = core
        self.folder = folder
        self.blobs = Counted(folder / "store")
        self.snapshots = Snapshots(core.db, self.blobs)

    def host(self, name: str, quota: Quota | None = None) -> SnapshotPlaces:
        folders = WorkingFolders(self.folder / name)
        return SnapshotPlaces(self.snapshots, self.core.journal, folders, quota or Quota())

    async def task(self) -> Task:
        """In its second attempt: one that another host may have begun."""
        first = await self.first_attempt()
        await self.core.attempts.finish(first, Released())
        return (await given.claimed(self.core))[first.id]

    async def first_attempt(self) -> Task:
        return await given.a_running_task(self.core, "nothing")

    async def manifest(self, workspace_id: str) -> Manifest:
        head = await self.snapshots.head(workspace_id)
        assert head is not None
        return await self.snapshots.manifest(head.manifest)


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncGenerator[Fleet]:
    async with given.a_core(tmp_path, playbooks={"nothing": nothing}, with_engine=False) as core:
        yield Fleet(core, tmp_path)


def written(place: SnapshotPlace, **files: str) -> None:
    """`src__app` stands for src/app."""
    for name, text in files.items():
        path = place.workspace.folder.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def found(place: SnapshotPlace) -> dict[str, str]:
    top = place.workspace.folder
    return {
        path.relative_to(top).as_posix(): path.read_text("utf-8") if path.is_file() else "folder"
        for path in sorted(top.rglob("*"))
        if path.is_file() or (path.is_dir() and not any(path.iterdir()))
    }


async def at_work(host: SnapshotPlaces, task: Task, work: Callable[[SnapshotPlace], Awaitable[None]]) -> None:
    async with host.opened(task) as place:
        await work(place)


@asynccontextmanager
async def two_in_one(fleet: Fleet) -> AsyncGenerator[tuple[SnapshotPlace, SnapshotPlace]]:
    """Two tasks in one workspace, at work on two hosts at once."""
    first = await fleet.task()
    second = replace(await fleet.task(), workspace_id=first.id)
    async with fleet.host("a").opened(first) as one, fleet.host("b").opened(second) as other:
        yield one, other


async def test_another_host_finds_what_was_published_and_nothing_else(fleet: Fleet) -> None:
    task = await fleet.task()

    async def cut_off(place: SnapshotPlace) -> None:
        written(place, kept="1", src__app="2")
        (place.workspace.folder / "src" / "app").chmod(0o755)
        (place.workspace.folder / "empty").mkdir()
        await place.keep()
        written(place, kept="half of a step", leftover="x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await at_work(fleet.host("a"), task, cut_off)

    async with fleet.host("b").opened(task) as place:
        assert found(place) == {"kept": "1", "src/app": "2", "empty": "folder"}
        assert os.name == "nt" or os.access(place.workspace.folder / "src" / "app", os.X_OK)


async def test_what_the_first_attempt_publishes_is_there_for_the_next(fleet: Fleet) -> None:
    task = await fleet.first_attempt()
    async with fleet.host("a").opened(task) as place:
        assert found(place) == {}
        written(place, kept="1")
    async with fleet.host("b").opened(replace(task, attempt=2)) as place:
        assert found(place) == {"kept": "1"}


async def test_only_what_changed_is_stored_and_nothing_is_when_nothing_did(fleet: Fleet) -> None:
    async with fleet.host("a").opened(await fleet.task()) as place:
        written(place, **{f"file{number}": f"{number}" for number in range(20)})
        await place.keep()
        first = fleet.blobs.puts
        written(place, file7="changed")
        await place.keep()
        second = fleet.blobs.puts
        (place.workspace.folder / "file3").touch()
        await place.keep()

    assert (first, second - first, fleet.blobs.puts - second) == (21, 2, 0)


async def test_a_file_changed_at_once_to_another_of_the_same_size_is_seen(fleet: Fleet) -> None:
    async with fleet.host("a").opened(await fleet.task()) as place:
        for number in range(10):
            written(place, file=f"{number}")
            await place.keep()

            assert (await fleet.manifest(place.workspace_id)).files["file",].sha256 == bytes_hash(
                f"{number}".encode()
            )


async def test_removed_files_and_folders_are_removed_for_the_next_attempt_also_in_its_old_folder(
    fleet: Fleet,
) -> None:
    task, host = await fleet.task(), fleet.host("a")

    async def waits(place: SnapshotPlace) -> None:
        written(place, deep__down__file="1", kept="1")
        raise Suspension(Reason.TIMER)

    with pytest.raises(Suspension):
        await at_work(host, task, waits)
    [parked] = host.folders.workspaces.glob("worker-*/*")
    async with fleet.host("b").opened(task) as elsewhere:
        (elsewhere.workspace.folder / "deep" / "down" / "file").unlink()
        (elsewhere.workspace.folder / "deep" / "down").rmdir()
        (elsewhere.workspace.folder / "deep").rmdir()

    async with host.opened(task) as again:
        assert again.folder.path == parked
        assert found(again) == {"kept": "1"}


async def test_a_worker_whose_lease_is_lost_moves_no_head(fleet: Fleet) -> None:
    task = await fleet.task()
    taken_over: dict[str, Task] = {}

    async def stopped_for_too_long(place: SnapshotPlace) -> None:
        written(place, file="of the first")
        await place.keep()
        await fleet.core.upkeep.sweep(of_any_worker=True)
        taken_over.update(await given.claimed(fleet.core, worker="worker-2"))
        written(place, file="of the zombie")

    with pytest.raises(LeaseLost):
        await at_work(fleet.host("a"), task, stopped_for_too_long)

    async with fleet.host("b").opened(taken_over[task.id]) as next_one:
        assert found(next_one) == {"file": "of the first"}
    assert list((fleet.folder / "a").rglob("file")) == []


async def test_tasks_in_one_workspace_on_two_hosts_each_keep_their_own_and_get_the_others(
    fleet: Fleet,
) -> None:
    async with two_in_one(fleet) as (one, other):
        written(one, mine="1", both="1", folder__x="1")
        await one.keep()
        written(other, yours="2", both="2")
        await other.keep()

        assert found(other) == {"mine": "1", "yours": "2", "both": "2", "folder/x": "1"}
        (one.workspace.folder / "folder" / "x").unlink()
        (one.workspace.folder / "folder").rmdir()
        await one.keep()
        assert found(one) == {"mine": "1", "yours": "2", "both": "2"}
        await other.keep()
        assert found(other) == found(one)


async def test_who_loses_the_race_for_the_head_tries_again_on_top_of_the_winner(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Snapshots.publish
    async with two_in_one(fleet) as (one, other):
        written(one, one="1")
        written(other, other="2")

        async def overtaken(self: Snapshots, *args: object, **named: object) -> object:
            monkeypatch.setattr(Snapshots, "publish", publish)
            await other.keep()
            return await publish(self, *args, **named)  # type: ignore[arg-type] - handed on as it came

        monkeypatch.setattr(Snapshots, "publish", overtaken)
        await one.keep()

        assert found(one) == {"one": "1", "other": "2"}
        assert set((await fleet.manifest(one.workspace_id)).files) == {("one",), ("other",)}


@not_on_windows
async def test_links_are_neither_followed_nor_kept(fleet: Fleet, tmp_path: Path) -> None:
    task = await fleet.task()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret", encoding="utf-8")
    host = fleet.host("a")
    async with host.opened(task) as place:
        top = place.workspace.folder
        written(place, file="1")
        (top / "out").symlink_to(tmp_path / "secret")
        (top / "key").symlink_to(tmp_path / "secret" / "key")
        os.mkfifo(top / "pipe")
        await place.keep()
        (top / "file").unlink()
        (top / "file").symlink_to(tmp_path / "secret" / "key")

    assert (await fleet.manifest(task.id)).files == {}
    async with host.opened(task) as again:
        assert again.folder is place.folder
        assert list(again.workspace.folder.iterdir()) == []
    assert (tmp_path / "secret" / "key").read_text("utf-8") == "secret"


async def test_what_cannot_be_read_stays_as_it_was_and_is_not_taken_for_removed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await fleet.task()
    async with fleet.host("a").opened(task) as place:
        written(place, grows="1", free="1")
        await place.keep()
        monkeypatch.setattr(snapshot, "MAX_FILE_BYTES", 3)
        written(place, grows="too large", free="2", new="too large")

    manifest = await fleet.manifest(task.id)
    assert {parts: entry.sha256 for parts, entry in manifest.files.items()} == {
        ("grows",): bytes_hash(b"1"),
        ("free",): bytes_hash(b"2"),
    }


@pytest.mark.parametrize("parts", [("..", "..", "escaped"), ("sub/../../escaped",), ("",)])
async def test_a_manifest_that_leads_out_writes_nothing(fleet: Fleet, parts: tuple[str, ...]) -> None:
    task = await fleet.task()
    digest = await fleet.blobs.put(b"content")
    hostile = Manifest({("a",): FileEntry(digest, 7, False), parts: FileEntry(digest, 7, False)})
    await fleet.snapshots.publish(task, task.id, hostile, seen=None)

    with pytest.raises(ContentDamaged, match="the manifest of a workspace cannot be used"):
        async with fleet.host("a").opened(task):
            pass

    assert not list(fleet.folder.rglob("escaped"))
    assert not list(fleet.folder.rglob("a/worker-*/*/a"))


@not_on_windows
async def test_what_stands_in_the_way_of_anothers_files_is_neither_followed_nor_taken_for_their_end(
    fleet: Fleet, tmp_path: Path
) -> None:
    async with two_in_one(fleet) as (one, other):
        (tmp_path / "outside").mkdir()
        (other.workspace.folder / "folder").symlink_to(tmp_path / "outside")
        (other.workspace.folder / "file").symlink_to(tmp_path / "outside" / "file")
        written(one, folder__x="1", file="1")
        await one.keep()
        await other.keep()

    assert list((tmp_path / "outside").iterdir()) == []
    assert set((await fleet.manifest(one.workspace_id)).files) == {("file",), ("folder", "x")}


@pytest.mark.parametrize("quota", [Quota(max_bytes=10), Quota(max_files=3)])
async def test_more_than_a_workspace_may_hold_is_neither_published_nor_fetched(
    fleet: Fleet, quota: Quota
) -> None:
    task = await fleet.task()

    async def too_much(place: SnapshotPlace) -> None:
        written(place, a="12345", b="12345", c__d="12345")

    with pytest.raises(ToolError, match=r"the workspace has .* it may hold"):
        await at_work(fleet.host("a", quota), task, too_much)
    assert await fleet.snapshots.head(task.id) is None
    await at_work(fleet.host("b"), task, too_much)

    with pytest.raises(ToolError, match=r"the workspace has .* it may hold"):
        async with fleet.host("a", quota).opened(task):
            pass


async def test_damaged_and_missing_content_ends_the_attempt_with_what_is_wrong(fleet: Fleet) -> None:
    task = await fleet.task()
    async with fleet.host("a").opened(task) as place:
        written(place, file="content")
    stored = fleet.blobs.path(bytes_hash(b"content"))
    wrongs: list[type[ChargehandError]] = []

    for spoil in (lambda: stored.write_bytes(b"Content"), stored.unlink):
        spoil()
        with pytest.raises((ContentDamaged, NotFound)) as wrong:
            async with fleet.host("b").opened(task):
                pass
        wrongs.append(wrong.type)

    assert wrongs == [ContentDamaged, NotFound]
    assert list((fleet.folder / "b").rglob("file")) == []


async def test_what_could_not_be_stored_is_stored_the_next_time(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fleet.host("a").opened(await fleet.task()) as place:
        written(place, file="content")
        with monkeypatch.context() as broken:
            broken.setattr(Counted, "put_all", _fails)
            with pytest.raises(ContentDamaged, match="made up"):
                await place.keep()
        await place.keep()

    assert await fleet.blobs.get(bytes_hash(b"content")) == b"content"


async def _fails(self: Counted, contents: Sequence[bytes]) -> list[str]:
    raise ContentDamaged("made up")


async def test_everything_that_heads_refer_to_is_listed_until_their_tasks_are_gone(fleet: Fleet) -> None:
    one, other = await fleet.task(), await fleet.task()
    for task, text in ((one, "1"), (other, "2")):
        async with fleet.host("a").opened(task) as place:
            written(place, file=text, shared="both")
    needed = [digests async for digests in fleet.snapshots.referred_to()]

    assert len(needed) == 2
    stored = {blob.sha256 async for blob in fleet.blobs.listed()}
    assert needed[0] | needed[1] == stored
    assert {bytes_hash(b"1"), bytes_hash(b"2"), bytes_hash(b"both")} < stored


async def test_the_head_of_a_workspace_that_no_task_works_in_is_forgotten_and_no_other(fleet: Fleet) -> None:
    task = await fleet.task()
    for workspace_id in (task.id, "of-a-task-that-is-gone"):
        await fleet.snapshots.publish(task, workspace_id, Manifest(), seen=None)

    async with fleet.core.db.write() as tx:
        await workspace_heads.forget_unused(tx, [task.id, "of-a-task-that-is-gone"])

    assert await fleet.snapshots.head(task.id) is not None
    assert await fleet.snapshots.head("of-a-task-that-is-gone") is None


async def test_folders_of_dead_processes_are_removed_and_those_of_living_ones_are_not(
    tmp_path: Path,
) -> None:
    folders = WorkingFolders(tmp_path)
    mine = folders.made("workspace").path
    dead = mine.parent.with_name(mine.parent.name.replace(f"-{os.getpid()}-", "-4194999-"))
    (dead / "workspace-1").mkdir(parents=True)
    (tmp_path / "01a2-a-workspace-of-one-host").mkdir()

    remove_leftovers(tmp_path)

    assert not dead.exists()
    assert mine.exists()
    assert (tmp_path / "01a2-a-workspace-of-one-host").exists()
    folders.close()
    assert not mine.parent.exists()
