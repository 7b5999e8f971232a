"""Children with workspaces of their own: what comes back, what does not, and that a kill changes nothing of it."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from chargehand.app.core import Core
from chargehand.domain.task import Task
from chargehand.domain.values import JsonValue
from chargehand.runtimes.model_delegation import child_told
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from chargehand.testkit.server import scripted_models
from tests import given
from tests.given import ME

WORKER = Path(__file__).parent / "isolation_worker.py"


async def life(folder: Path, fail_point: str) -> tuple[int, str]:
    """One run of the worker: how it ended and what it said."""
    environment = {**os.environ, "CHARGEHAND_FAIL_POINT": fail_point, "PYTHONPATH": str(Path.cwd())}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), str(folder), stdout=asyncio.subprocess.PIPE, env=environment
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    "fail_point",
    [
        "isolation.copied",
        "isolation.applied",
        "isolation.removing",
        "isolation.removed",
        "steps.after_effect:5",
        "journal.ended:5",
    ],
)
async def test_a_kill_around_the_copy_or_the_changes_loses_and_repeats_nothing(
    tmp_path: Path, fail_point: str
) -> None:
    killed, _ = await life(tmp_path, fail_point)
    status, said = await life(tmp_path, "")

    assert (killed, status) == (-9, 0)
    told = json.loads(said.splitlines()[-1])
    assert told["status"] == "completed"
    assert told["result"] == {"applied": ["edited.txt", "new/made.txt"], "conflicts": []}
    shared = tmp_path / "data" / "workspaces" / told["id"]
    files = {str(path.relative_to(shared)): path.read_text() for path in shared.rglob("*.txt")}
    assert files == {"kept.txt": "kept\n", "edited.txt": "after\n", "new/made.txt": "made\n"}


async def copies_gone(core: Core, root_id: str) -> None:
    """Return when nothing is left but the tree's own workspace."""
    async with asyncio.timeout(10):
        folder = core.settings.workspaces_dir
        while [path.name for path in folder.iterdir()] != [root_id]:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)


async def test_what_both_sides_changed_stays_and_is_told_with_the_childs_version(tmp_path: Path) -> None:
    async def parent(ctx: PlaybookContext) -> JsonValue:
        for name in ("both", "same"):
            await ctx.must("Write", file_path=name, content="base\n")
        orders = [
            Delegation(agent_id="child", task_data={"says": says}, labels={}, isolated=True)
            for says in ("one", "two")
        ]
        return list(await ctx.delegate(*orders))

    async def child(ctx: PlaybookContext) -> JsonValue:
        says = ctx.data["says"]
        seen = (await ctx.must("Read", file_path="both")).content
        # Both have copied before either brings anything back.
        await ctx.once("meet", barrier.wait)
        await ctx.must("Write", file_path="both", content=f"{says}\n")
        await ctx.must("Write", file_path="same", content="alike\n")
        await ctx.must("Write", file_path=f"only-{says}", content="x\n")
        return seen

    barrier = asyncio.Barrier(2)
    async with given.a_core(tmp_path, playbooks={"parent": parent, "child": child}) as core:
        ended = await given.ended(core, await given.a_task(core, "parent"))

        changes: list[Any] = [one["changes"] for one in cast("list[Any]", ended.result)]
        assert sorted(path for one in changes for path in one["applied"]) == [
            "both",
            "only-one",
            "only-two",
            "same",
            "same",
        ]
        [conflict] = [found for one in changes for found in one["conflicts"]]
        assert conflict["path"] == "both"
        shared = core.settings.workspaces_dir / ended.id
        [kept] = list((shared / ".chargehand" / "conflicts").rglob("both"))
        assert {kept.read_text(), (shared / "both").read_text()} == {"one\n", "two\n"}
        assert str(kept.relative_to(shared)) in conflict["why"]


async def test_a_child_that_fails_brings_nothing_back_and_its_children_share_its_copy(tmp_path: Path) -> None:
    async def parent(ctx: PlaybookContext) -> JsonValue:
        [told] = await ctx.delegate(Delegation(agent_id="child", task_data={}, labels={}, isolated=True))
        return [told["status"], "changes" in told]

    async def child(ctx: PlaybookContext) -> JsonValue:
        await ctx.delegate(Delegation(agent_id="grandchild", task_data={}, labels={}))
        read = await ctx.must("Read", file_path="deep.txt")
        raise RuntimeError(read.content)

    async def grandchild(ctx: PlaybookContext) -> JsonValue:
        await ctx.must("Write", file_path="deep.txt", content="deep\n")
        return None

    playbooks = {"parent": parent, "child": child, "grandchild": grandchild}
    async with given.a_core(tmp_path, playbooks=playbooks, lease_seconds=1) as core:
        ended = await given.ended(core, await given.a_task(core, "parent"))

        assert ended.result == ["failed", False]
        [failed] = await core.watch.children(ME, ended.id)
        assert "deep" in str(failed.error)
        assert not (core.settings.workspaces_dir / ended.id / "deep.txt").exists()
        await copies_gone(core, ended.id)


async def test_a_copy_stays_while_a_task_below_is_still_being_stopped(tmp_path: Path) -> None:
    async def parent(ctx: PlaybookContext) -> JsonValue:
        return list(await ctx.delegate(Delegation(agent_id="child", task_data={}, labels={}, isolated=True)))

    async def child(ctx: PlaybookContext) -> JsonValue:
        return list(await ctx.delegate(Delegation(agent_id="grandchild", task_data={}, labels={})))

    async def grandchild(ctx: PlaybookContext) -> JsonValue:
        await ctx.must("Write", file_path="deep.txt", content="deep\n")
        started.set()
        try:
            return await ctx.once("never", asyncio.Event().wait)
        finally:
            stopping.set()
            await may_end.wait()

    started, stopping, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
    playbooks = {"parent": parent, "child": child, "grandchild": grandchild}
    async with given.a_core(tmp_path, playbooks=playbooks, lease_seconds=1) as core:
        root = await given.a_task(core, "parent")
        await started.wait()
        await core.tasks.cancel(ME, root.id)
        await stopping.wait()
        [ended] = await core.watch.children(ME, root.id)
        assert ended.status.value == "canceled"
        assert await core.upkeep.unused_copies([ended.id]) == set()
        assert (core.settings.workspaces_dir / ended.id / "deep.txt").exists()

        may_end.set()
        await copies_gone(core, root.id)


async def test_a_model_hands_out_isolated_work_and_is_told_what_came_back(tmp_path: Path) -> None:
    lead = (
        "---\nname: lead\ndescription: Leads.\ntools: Write, Agent\n"
        "chargehand: {delegates: [helper, loner]}\n---\nYou lead.\n"
    )
    helper = "---\nname: helper\ndescription: Helps.\ntools: Write\n---\nYou help.\n"
    loner = helper.replace("helper", "loner").replace("---\nYou", "isolation: worktree\n---\nYou")
    agent = {"prompt": "Do.", "subagent_type": "helper"}
    calls = [
        {"name": "Agent", "arguments": {**agent, "isolation": "remote"}},
        {"name": "Agent", "arguments": {**agent, "isolation": "worktree"}},
        {"name": "Agent", "arguments": {**agent, "subagent_type": "loner"}},
    ]
    write = {"name": "Write", "arguments": {"file_path": "a.txt", "content": "a\n"}}
    script = [
        {"match": {"system_contains": "You lead"}, "turns": [{"calls": calls}, {"text": "Led."}]},
        {
            "match": {"system_contains": "You help"},
            "turns": [{"calls": [write]}, *({"text": text} for text in ("Helped.", "More."))],
        },
    ]
    async with scripted_models(script) as models:
        urls = {"anthropic": models.url}
        async with given.a_core(tmp_path, model="anthropic:claude-test", model_urls=urls) as core:
            for text in (lead, helper, loner):
                await core.agents.publish(ME, text)
            ended = await given.ended(core, await given.a_task(core, "lead", {"prompt": "Go."}))

            assert ended.result == {"text": "Led.", "model": "anthropic:claude-test"}
            children = await core.watch.children(ME, ended.id)
            assert [(one.agent_id, one.workspace_id == one.id) for one in children] == [
                ("helper", True),
                ("loner", True),
            ]
            assert (core.settings.workspaces_dir / ended.id / "a.txt").read_text() == "a\n"
            [refused] = given.rows(
                core, "SELECT result FROM task_steps WHERE name = 'Agent' AND kind = 'tool'"
            )
            assert "or left out, not" in str(refused)
            told = [
                child_told(json.loads(row[0])[0])
                for row in given.rows(core, "SELECT result FROM task_steps WHERE kind = 'delegation'")
            ]
            assert told == 2 * [
                "Helped.\n\nIt worked in a copy of the workspace.\nApplied to this workspace: a.txt."
            ]
            # The copy goes; who goes on from there works where its changes are.
            sent = await core.messages.send(ME, children[0].id, "And now?")
            assert (sent.is_new, sent.task.workspace_id) == (True, ended.id)
            assert (await given.ended(core, sent.task)).status.value == "completed"


async def test_what_a_child_does_for_a_late_message_comes_back_too(tmp_path: Path) -> None:
    async def lead(ctx: PlaybookContext) -> JsonValue:
        order = Delegation(agent_id="helper", task_data={"prompt": "Do."}, labels={}, isolated=True)
        return list(await ctx.delegate(order))

    helper = "---\nname: helper\ndescription: Helps.\ntools: Write\n---\nYou help.\n"
    writes = [{"name": "Write", "arguments": {"file_path": name, "content": name}} for name in ("a", "b")]
    turns = [{"calls": writes[:1]}, {"text": "One."}, {"calls": writes[1:]}, {"text": "Both."}]
    async with scripted_models([{"turns": turns}]) as models:
        urls = {"anthropic": models.url}
        options: Any = {"model": "anthropic:claude-test", "model_urls": urls, "playbooks": {"lead": lead}}
        async with given.a_core(tmp_path, **options) as core:
            await core.agents.publish(ME, helper)
            await given.an_agent(core, "lead", playbook="lead", delegates=["helper"])
            finish, told = core.attempts.finish, asyncio.Event()

            async def finishing(task: Task, outcome: Any) -> Task:
                if task.agent_id == "helper" and not told.is_set():
                    told.set()
                    await core.messages.send(ME, task.id, "And b.")
                return await finish(task, outcome)

            core.attempts.finish = finishing  # type: ignore[method-assign]  # pyright: ignore[reportAttributeAccessIssue] - the moment between the two cannot be met otherwise
            ended = await given.ended(core, await given.a_task(core, "lead"))

            [child] = cast("list[Any]", ended.result)
            assert child["result"]["text"] == "Both."
            assert child["changes"] == {"applied": ["a", "b"], "conflicts": []}
            assert (core.settings.workspaces_dir / ended.id / "b").read_text() == "b"
