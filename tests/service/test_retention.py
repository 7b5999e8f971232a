"""Ended trees go with all that belongs to them, and nothing else does."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.deliverable import Deliverable, DeliveredFile
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.retention import PruneOrder
from chargehand.domain.task import Completed, Failed, Reason, Status, Task, TaskError
from chargehand.domain.values import bytes_hash
from chargehand.errors import Forbidden, InvalidInput, NotFound, TaskNotFound
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service import retention
from chargehand.service.audit_records import Actor
from chargehand.service.journal import Delegation
from chargehand.store import messages, tasks
from tests import given
from tests.given import ME, TestClock
from tests.invariants import violations

DAY = 86_400
OLD = PruneOrder(older_than=timedelta(days=30))
CONTENT_TABLES = (
    "agent_tasks",
    "task_events",
    "task_steps",
    "task_labels",
    "idempotency_keys",
    "task_messages",
    "task_deliverables",
    "approvals",
    "workspace_heads",
)
TREES = 7
PROGRAM = Path(__file__).with_name("prune_worker.py")


async def idle(ctx: PlaybookContext) -> None:
    del ctx


async def an_ended_task(core: Core, number: int, *, files: tuple[bytes, ...] = ()) -> Task:
    task = await given.a_running_task(
        core, "idle", {"n": number}, labels={"n": str(number)}, idempotency_key=f"key-{number}"
    )
    async with core.db.write() as tx:
        await messages.add(tx, task.id, "hello", by=ME.id)
    if files:
        await deliver(core, task, files)
    (core.settings.workspaces_dir / task.id / "deep").mkdir(parents=True)
    return await core.attempts.finish(task, Completed(result={"n": number}))


async def deliver(core: Core, task: Task, files: tuple[bytes, ...]) -> None:
    for content in files:
        await core.deliveries.keep(content)
    one = Deliverable(
        task_id=task.id,
        name="book",
        path="book",
        is_folder=True,
        sha256=bytes_hash(b"".join(files)),
        size_bytes=sum(map(len, files)),
        files=tuple(
            DeliveredFile(path=f"{n}", sha256=bytes_hash(content), size_bytes=len(content))
            for n, content in enumerate(files)
        ),
        evidence=(),
        stored_at=task.created_at,
    )
    await core.deliveries.store(task, [one])


async def a_tree(core: Core) -> tuple[Task, Task]:
    """A root that waits for a child."""
    root = await given.a_running_task(core, "idle")
    step = core.journal.new_step(root, "0/0", StepKind.DELEGATION, "delegate", {}, StepStatus.OPEN)
    await core.journal.delegate(root, step, [Delegation(agent_id="idle", task_data={}, labels={})])
    [child] = [task for task in (await given.claimed(core)).values() if task.parent_id == root.id]
    return root, child


async def prune_all(core: Core, order: PruneOrder = OLD) -> int:
    trees, after = 0, None
    while True:
        done = await core.retention.prune(ME, PruneOrder(older_than=order.older_than, after=after))
        trees, after = trees + done.trees, done.after
        if after is None:
            return trees


def counts(core: Core) -> dict[str, int]:
    return {table: given.rows(core, f"SELECT count(*) FROM {table}")[0][0] for table in CONTENT_TABLES}  # noqa: S608 - names above


def age_blobs(core: Core, days: float) -> None:
    old = time.time() - days * DAY
    for path in core.settings.blobs_dir.glob("*/*"):
        os.utime(path, (old, old))


async def test_what_ended_long_ago_goes_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        old = [await an_ended_task(core, number) for number in range(TREES)]
        clock.advance(29 * DAY)
        young = await an_ended_task(core, 99)
        clock.advance(2 * DAY)

        pruned = await core.retention.prune(ME, OLD)
        swept = await core.retention.sweep(ME)

        assert (pruned.trees, pruned.tasks, pruned.after) == (TREES, TREES, None)
        assert pruned.events > TREES
        assert swept.workspaces == TREES
        assert [path.name for path in core.settings.workspaces_dir.iterdir()] == [young.id]
        assert counts(core)["agent_tasks"] == 1
        for table in ("task_events", "task_labels", "idempotency_keys", "task_messages"):
            tasks = given.rows(core, f"SELECT DISTINCT task_id FROM {table}")  # noqa: S608 - names above
            assert tasks == [(young.id,)]
        with pytest.raises(TaskNotFound):
            await core.watch.events(ME, old[0].id)
        again = await given.a_task(core, "idle", {"n": 0}, idempotency_key="key-0")
        assert again.id != old[0].id
        assert violations(core.settings.database_path) == []


async def test_others_have_their_turn_between_two_trees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, seen = TestClock(), list[str]()
    delete_tree = retention.retention.delete_tree

    async def noted(tx: Any, root_id: str, rows: Any) -> None:
        seen.append("tree")
        await delete_tree(tx, root_id, rows)

    async def another() -> None:
        while True:
            seen.append("another")
            await asyncio.sleep(0)

    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        for number in range(TREES):
            await an_ended_task(core, number)
        clock.advance(31 * DAY)
        monkeypatch.setattr(retention.retention, "delete_tree", noted)
        beside = asyncio.create_task(another())
        assert await prune_all(core) == TREES
        beside.cancel()

    assert seen.count("tree") == TREES
    assert ("tree", "tree") not in set(itertools.pairwise(seen))


async def test_a_dry_run_counts_the_same_and_changes_nothing(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        for number in range(TREES):
            await an_ended_task(core, number)
        clock.advance(31 * DAY)
        before = counts(core)

        told = await core.retention.prune(ME, PruneOrder(older_than=OLD.older_than, is_dry_run=True))

        assert counts(core) == before
        done = await core.retention.prune(ME, OLD)
        assert (told.trees, told.tasks, told.events) == (done.trees, done.tasks, done.events)


async def test_a_tree_stays_while_anything_in_it_is_open_or_goes_on_from_it(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        root, child = await a_tree(core)
        error = TaskError(reason=Reason.AGENT_ERROR, message="no more")
        await core.attempts.finish(root, Failed(error=error))  # its child is still to be stopped
        talked_to = await an_ended_task(core, 1)
        follower = await given.a_task(core, "idle", follows_id=talked_to.id, workspace_id=talked_to.id)
        clock.advance(31 * DAY)

        assert await prune_all(core) == 0

        await core.tasks.cancel(ME, follower.id)
        await core.upkeep.sweep()
        assert child.id not in {task.id for task in (await given.claimed(core)).values()}
        clock.advance(31 * DAY)
        assert await prune_all(core) == 3
        assert set(counts(core).values()) == {0}


async def test_what_was_deleted_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        talked_to = await an_ended_task(core, 1)
        clock.advance(31 * DAY)
        current = core.agents.current

        async def after_a_prune(self: object, who: Principal, agent_id: str) -> AgentDefinition:
            assert await prune_all(core) == 1
            return await current(who, agent_id)

        monkeypatch.setattr(type(core.agents), "current", after_a_prune)
        with pytest.raises(TaskNotFound, match=talked_to.id):
            await given.a_task(core, "idle", follows_id=talked_to.id)

        assert set(counts(core).values()) == {0}


async def test_what_is_followed_since_prune_looked_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        talked_to, other = await an_ended_task(core, 1), await an_ended_task(core, 2)
        clock.advance(31 * DAY)
        delete = retention.Retention._delete  # pyright: ignore[reportPrivateUsage] - between its look and its hold

        async def after_a_message(
            self: retention.Retention, root_ids: list[str], actor: Actor, before: datetime
        ) -> set[str]:
            await given.a_task(core, "idle", follows_id=talked_to.id)
            return await delete(self, root_ids, actor, before)

        monkeypatch.setattr(retention.Retention, "_delete", after_a_message)
        assert await prune_all(core) == 1

        assert (await core.watch.get(ME, talked_to.id)).status is Status.COMPLETED
        with pytest.raises(TaskNotFound):
            await core.watch.get(ME, other.id)


async def test_what_is_about_to_be_followed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    if database == "sqlite":
        pytest.skip("its one writer keeps prune out while a task is stored")
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        talked_to = await an_ended_task(core, 1)
        clock.advance(31 * DAY)
        insert = tasks.insert_tasks

        async def after_a_prune(*args: Any, **kwargs: Any) -> None:
            assert await prune_all(core) == 0
            await insert(*args, **kwargs)

        monkeypatch.setattr(tasks, "insert_tasks", after_a_prune)
        await given.a_task(core, "idle", follows_id=talked_to.id)

        assert (await core.watch.get(ME, talked_to.id)).status is Status.COMPLETED


async def test_only_what_the_order_names_goes(tmp_path: Path) -> None:
    clock = TestClock()
    playbooks = {"idle": idle, "other": idle}
    async with given.a_core(tmp_path, playbooks=playbooks, clock=clock, with_engine=False) as core:
        completed = await an_ended_task(core, 1)
        failed = await given.a_running_task(core, "other")
        await core.attempts.finish(failed, Failed(error=TaskError(reason=Reason.AGENT_ERROR, message="no")))
        clock.advance(31 * DAY)

        stranger = Principal(id="s", tenant="another", scopes=frozenset({Scope.ADMIN}))
        age = OLD.older_than
        assert (await core.retention.prune(stranger, OLD)).trees == 0
        for order, left in (
            (PruneOrder(older_than=timedelta(days=32)), {completed.id, failed.id}),
            (PruneOrder(older_than=age, statuses=frozenset({Status.CANCELED})), {completed.id, failed.id}),
            (PruneOrder(older_than=age, agent_id="other"), {completed.id}),
            (PruneOrder(older_than=age, statuses=frozenset({Status.COMPLETED})), set[str]()),
        ):
            await core.retention.prune(ME, order)
            assert {row[0] for row in given.rows(core, "SELECT id FROM agent_tasks")} == left


async def test_a_limit_holds_and_the_answer_says_where_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 1)  # one tree a transaction
    monkeypatch.setattr(retention, "TURN_SECONDS", -1.0)  # one transaction an answer
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        for number in range(TREES):
            await an_ended_task(core, number)
        clock.advance(31 * DAY)

        first = await core.retention.prune(ME, OLD)
        second = await core.retention.prune(ME, PruneOrder(older_than=OLD.older_than, after=first.after))
        assert (first.trees, second.trees) == (1, 1)
        assert first.after is not None
        assert second.after is not None
        assert first.after < second.after

        monkeypatch.setattr(retention, "TURN_SECONDS", 60.0)
        some = await core.retention.prune(ME, PruneOrder(older_than=OLD.older_than, most_trees=3))
        assert some.trees == 3
        assert counts(core)["agent_tasks"] == TREES - 5


async def test_content_goes_when_nothing_names_it_and_it_is_old(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        await an_ended_task(core, 1, files=(b"mine", b"shared"))
        clock.advance(31 * DAY)
        await an_ended_task(core, 2, files=(b"theirs", b"shared"))
        await core.deliveries.keep(b"on its way into a row")
        await prune_all(core)
        kept = {bytes_hash(one) for one in (b"theirs", b"shared")}

        # The clock of the test stands in summer; the files are as old as the machine says.
        clock.jump(time.time() - clock.now().timestamp())
        assert (await core.retention.sweep(ME)).blobs == 0
        age_blobs(core, 1.5)
        assert (await core.retention.sweep(ME)).blobs == 0
        age_blobs(core, 3)
        await core.deliveries.keep(b"on its way into a row")  # again, and so it is young
        swept = await core.retention.sweep(ME)

        assert (swept.blobs, swept.blob_bytes) == (1, len(b"mine"))
        there = {path.name for path in core.settings.blobs_dir.glob("*/*")}
        assert there == kept | {bytes_hash(b"on its way into a row")}


async def test_snapshots_that_cannot_be_read_keep_every_blob(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        digest = await core.deliveries.keep(b"perhaps of a snapshot")
        age_blobs(core, 30)
        clock.jump(time.time() - clock.now().timestamp())
        blind = core.retention.__class__(
            db=core.db,
            blobs=core.retention.blobs,
            clock=clock,
            folders=core.retention.folders,
            heads=None,
        )
        async with core.db.write() as tx:
            await tx.connection.exec_driver_sql("INSERT INTO workspace_heads VALUES ('w', 'm', 1, 't', 1, 0)")

        with pytest.raises(Exception, match="snapshots"):
            await blind.sweep(ME)

        assert (await core.retention.blobs.get(digest)) == b"perhaps of a snapshot"


async def test_two_prunes_at_once_and_a_worker_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 1)
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock) as core:
        ended = [await given.ended(core, await given.a_task(core, "idle")) for _ in range(40)]
        clock.advance(31 * DAY)

        async def submit() -> list[Task]:
            return [await given.ended(core, await given.a_task(core, "idle")) for _ in range(20)]

        one, other, fresh = await asyncio.gather(prune_all(core), prune_all(core), submit())

        assert len(ended) <= one + other
        assert counts(core)["agent_tasks"] == len(fresh) == 20
        assert violations(core.settings.database_path) == []


async def test_the_setting_makes_old_trees_go_by_themselves(tmp_path: Path) -> None:
    clock = TestClock()
    opened = given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, retention_days=30.0)
    async with opened as core:
        task = await given.ended(core, await given.a_task(core, "idle"))
        clock.advance(31 * DAY)

        async def is_gone() -> bool:
            return given.rows(core, "SELECT 1 FROM agent_tasks WHERE id = ?", task.id) == []

        await given.eventually(is_gone)


async def test_what_is_refused(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, with_engine=False) as core:
        reader = Principal(id="r", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.TASKS_WRITE}))
        with pytest.raises(Forbidden):
            await core.retention.prune(reader, OLD)
        administrator = Principal(id="a", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.ADMIN}))
        for who in (reader, administrator):
            with pytest.raises(Forbidden, match="admin:service"):
                await core.retention.sweep(who)
        for order in (
            PruneOrder(older_than=timedelta(seconds=59)),
            PruneOrder(older_than=timedelta(days=40_000)),
            PruneOrder(older_than=timedelta(days=1), most_trees=0),
            PruneOrder(older_than=timedelta(days=1), statuses=frozenset()),
            PruneOrder(older_than=timedelta(days=1), statuses=frozenset({Status.RUNNING})),
        ):
            with pytest.raises(InvalidInput):
                await core.retention.prune(ME, order)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(
    "point",
    [
        "retention.tree_deleted:2",
        "store.before_commit:2",
        "retention.deleted:1",
        "retention.workspace_removed:2",
        "blobs.going:1",
        "retention.blobs_removed:1",
    ],
)
async def test_killed_anywhere_it_goes_on_and_loses_nothing(tmp_path: Path, point: str) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        for number in range(TREES):
            await an_ended_task(core, number, files=(b"shared", str(number).encode()))
        clock.advance(31 * DAY)
        young = await an_ended_task(core, 99, files=(b"shared",))
        age_blobs(core, 30)

    killed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(PROGRAM), str(tmp_path), clock.now().isoformat()],
        env={**os.environ, "CHARGEHAND_FAIL_POINT": point},
        check=False,
        capture_output=True,
        text=True,
    )

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    database = tmp_path / "data" / "chargehand.db"
    assert violations(database) == []
    async with given.a_core(tmp_path, playbooks={"idle": idle}, clock=clock, with_engine=False) as core:
        await prune_all(core)
        clock.jump(time.time() - clock.now().timestamp())
        await core.retention.sweep(ME)
        assert given.rows(core, "SELECT id FROM agent_tasks") == [(young.id,)]
        assert [path.name for path in core.settings.workspaces_dir.iterdir()] == [young.id]
        assert [path.name for path in core.settings.blobs_dir.glob("*/*")] == [bytes_hash(b"shared")]
        assert await core.retention.blobs.get(bytes_hash(b"shared")) == b"shared"
        with pytest.raises(NotFound):
            await core.retention.blobs.get(bytes_hash(b"1"))
    assert violations(database) == []
