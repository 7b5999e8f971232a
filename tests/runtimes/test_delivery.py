"""Deliverables: looked for, checked in the sandbox, repaired within bounds, stored with the evidence."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.history import EventKind, StepKind, StepStatus
from chargehand.domain.task import Status, Task
from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.tools.sandbox import Sandbox
from tests import given
from tests.given import ME, TestClock
from tests.invariants import violations


def report(*checks: dict[str, Any], path: str = "report.txt") -> dict[str, Any]:
    return {"name": "report", "path": path, "checks": list(checks)}


async def delivered_by(core: Core, *promises: dict[str, Any], **block: Any) -> Task:
    """The ended task of the playbook `it` with these promises."""
    await given.an_agent(core, "it", playbook="it", deliverables=list(promises), **block)
    return await given.ended(core, await given.a_task(core, "it"))


def evidence(task: Task) -> list[dict[str, Any]]:
    assert task.error is not None
    details: Any = task.error["details"]
    return details["evidence"]


def writes(*rounds: dict[str, str]) -> given.PlaybookBody:
    """A playbook that writes these files, round by round."""

    async def it(ctx: PlaybookContext) -> JsonValue:
        for path, content in rounds[min(ctx.round, len(rounds) - 1)].items():
            await ctx.must("Write", file_path=path, content=content)
        return [[one.check, one.output] for one in ctx.failures]

    return it


async def test_a_file_is_delivered_with_its_hash_and_the_evidence(tmp_path: Path) -> None:
    body = writes({"report.txt": '{"a": 1}'})
    async with given.a_core(tmp_path, playbooks={"it": body}) as core:
        task = await delivered_by(core, report({"json": True}, {"contains": '"a"'}))

        found = await core.watch.deliverable(ME, task.id, "report")
        assert (found.path, found.is_folder, found.size_bytes) == ("report.txt", False, 8)
        assert found.sha256 == hashlib.sha256(b'{"a": 1}').hexdigest()
        assert await core.watch.content(found.sha256) == b'{"a": 1}'
        assert [(one.check, one.passed) for one in found.evidence] == [
            ("exists", True),
            ("is JSON", True),
            ('"a"', True),
        ]
        kinds = await given.kinds(core, task)
        assert kinds.count("deliverable.checked") == 3
        assert kinds[-2:] == ["deliverable.stored", "task.completed"]
        assert violations(core.settings.database_path) == []


async def test_a_folder_is_delivered_file_by_file_without_caches(tmp_path: Path) -> None:
    body = writes({"out/a.txt": "a", "out/b/c.txt": "c", "out/__pycache__/x.pyc": "x", "out/.venv/y": "y"})
    async with given.a_core(tmp_path, playbooks={"it": body}) as core:
        task = await delivered_by(core, report(path="out"))

        found = await core.watch.deliverable(ME, task.id, "report")
        assert (found.is_folder, found.size_bytes) == (True, 2)
        assert [file.path for file in found.files] == ["a.txt", "b/c.txt"]


@pytest.mark.parametrize(
    ("files", "check", "said"),
    [
        ({}, {}, "report.txt does not exist, or is an empty folder"),
        ({"report.txt": ""}, {}, "report.txt is empty"),
        ({"report.txt": "{"}, {"json": True}, "report.txt is not JSON"),
        ({"report.txt": "[" * 100_000}, {"json": True}, "report.txt is not JSON"),
        ({"report.txt": "no"}, {"contains": "yes"}, "report.txt does not hold 'yes'"),
    ],
)
async def test_a_deliverable_that_is_not_acceptable_fails_the_task_with_the_evidence(
    tmp_path: Path, files: dict[str, str], check: dict[str, Any], said: str
) -> None:
    async with given.a_core(tmp_path, playbooks={"it": writes(files)}) as core:
        task = await delivered_by(core, report(*([check] if check else [])), repair_rounds=0)

        assert (task.status, task.reason) == (Status.FAILED, "checks_failed")
        [found] = evidence(task)
        assert said in found["output"]
        assert await core.watch.deliverables(ME, task.id) == []
        assert violations(core.settings.database_path) == []


async def test_the_agent_is_told_what_failed_and_repairs_it(tmp_path: Path) -> None:
    body = writes({"report.txt": "first"}, {"report.txt": "second"}, {"report.txt": "third"})
    async with given.a_core(tmp_path, playbooks={"it": body}) as core:
        task = await delivered_by(core, report({"contains": "third"}), repair_rounds=2)

        assert task.status is Status.COMPLETED
        assert task.result == [["third", "report.txt does not hold 'third'"]]
        repairs = [one.data for one in await core.watch.events(ME, task.id) if one.kind == EventKind.REPAIR]
        assert [data["round"] for data in repairs] == [1, 2]
        found = await core.watch.deliverable(ME, task.id, "report")
        assert await core.watch.content(found.sha256) == b"third"


async def test_rounds_have_an_end(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"it": writes({"report.txt": "wrong"})}) as core:
        task = await delivered_by(core, report({"contains": "right"}), repair_rounds=2)

        assert (task.status, task.reason, task.round) == (Status.FAILED, "checks_failed", 2)
        steps = await core.watch.steps(ME, task.id)
        assert [step.path for step in steps if step.kind is StepKind.TOOL] == ["0/0", "1/0", "2/0"]
        assert [(one["check"], one["passed"]) for one in evidence(task)] == [("right", False)]


async def test_a_retry_of_a_task_whose_checks_failed_begins_with_its_first_round(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"it": writes({"report.txt": "wrong"})}) as core:
        task = await delivered_by(core, report({"contains": "right"}))
        # As a person would mend it by hand; the step that wrote the file went well and is kept.
        (core.settings.workspaces_dir / task.id / "report.txt").write_text("right", encoding="utf-8")

        await core.tasks.retry(ME, task.id)

        again = await given.ended(core, task)
        assert (again.status, again.round) == (Status.COMPLETED, 0)
        assert [step.path for step in await core.watch.steps(ME, task.id)] == [
            "0/0",
            "0/check.0.0",
            "0/check.0.1",
        ]


async def test_checks_run_in_the_sandbox_in_the_workspace(tmp_path: Path, sandbox: Sandbox) -> None:
    checks = [
        {"name": "in the workspace", "run": "test -f report.txt && ! test -e /etc/shadow"},
        {"name": "no secrets", "run": "! env | grep -q CHARGEHAND"},
    ]
    async with given.a_core(tmp_path, playbooks={"it": writes({"report.txt": "x"})}, sandbox=sandbox) as core:
        task = await delivered_by(core, report(*checks))

        assert task.status is Status.COMPLETED


async def test_a_check_that_fails_shows_the_end_of_what_it_printed(tmp_path: Path, sandbox: Sandbox) -> None:
    check = {"run": "seq 1 5000; echo the reason >&2; exit 3"}
    async with given.a_core(tmp_path, playbooks={"it": writes({"report.txt": "x"})}, sandbox=sandbox) as core:
        task = await delivered_by(core, report(check), repair_rounds=0)

    [found] = evidence(task)
    assert (found["exit_code"], found["passed"]) == (3, False)
    assert found["output"].rstrip().endswith("the reason")
    assert len(found["output"]) == 4000


async def test_a_check_that_does_not_end_is_ended(tmp_path: Path, sandbox: Sandbox) -> None:
    check = {"run": "sleep 60", "timeout_seconds": 1}
    async with given.a_core(tmp_path, playbooks={"it": writes({"report.txt": "x"})}, sandbox=sandbox) as core:
        task = await delivered_by(core, report(check), repair_rounds=0)

    [found] = evidence(task)
    assert found["exit_code"] is None
    assert "[ended by timeout after" in found["output"]


async def test_without_a_sandbox_a_check_is_an_error_and_nothing_is_run_outside(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"it": writes({"report.txt": "x"})}) as core:
        task = await delivered_by(core, report({"run": "true"}))

        assert (task.status, task.reason) == (Status.FAILED, "sandbox_unavailable")


async def test_checks_that_ran_before_the_worker_died_are_not_run_again(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    clock = TestClock()

    async def it(ctx: PlaybookContext) -> JsonValue:
        await ctx.must("Write", file_path="report.txt", content="x")
        return None

    check = {"run": "echo ran >> checks.txt"}
    definition = {"playbook": "it", "deliverables": [report(check)]}
    async with given.a_core(tmp_path, playbooks={"it": it}, clock=clock, with_engine=False) as core:
        await given.an_agent(core, "it", **definition)
        dead = await given.a_running_task(core, "it")
        found: JsonValue = {"deliverable": "report", "check": "exists", "passed": True, "output": "earlier"}
        arguments: Any = {"deliverable": "report", "path": "report.txt"}
        exists: Any = {"name": "exists", "timeout_seconds": 120.0}
        step = core.journal.new_step(
            dead,
            "0/check.0.0",
            StepKind.CHECK,
            "check:report",
            {**arguments, "check": exists},
            StepStatus.RUNNING,
        )
        await core.journal.begin(dead, step)
        await core.journal.end(dead, step, found)

    async with given.a_core(tmp_path, playbooks={"it": it}, clock=clock, sandbox=sandbox) as core:
        task = await given.ended(core, dead)

        delivered = await core.watch.deliverable(ME, task.id, "report")
        assert delivered.evidence[0].output == "earlier"
        checks = core.settings.workspaces_dir / task.id / "checks.txt"
        assert checks.read_text("utf-8") == "ran\n"


async def test_a_delivery_that_is_repeated_after_a_crash_is_told_once(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"it": writes({"report.txt": "x"})}) as core:
        task = await delivered_by(core, report())
        stored = await core.watch.deliverables(ME, task.id)

    async with given.a_core(
        tmp_path, playbooks={"it": writes({"report.txt": "x"})}, with_engine=False
    ) as core:
        await given.an_agent(core, "it", playbook="it", deliverables=[report()])
        again = await given.a_running_task(core, "it")
        mine = [replace(one, task_id=again.id) for one in stored]
        await core.deliveries.store(again, mine)
        await core.deliveries.store(again, [replace(one, stored_at=core.clock.now()) for one in mine])
        await core.deliveries.store(again, [replace(one, path="elsewhere.txt") for one in mine])

        assert (await given.kinds(core, again)).count("deliverable.stored") == 2
        assert [one.path for one in await core.watch.deliverables(ME, again.id)] == ["elsewhere.txt"]


async def test_bash_in_flight_when_its_worker_died_is_reported_and_never_run_again(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    async def it(ctx: PlaybookContext) -> JsonValue:
        result = await ctx.tool("Bash", command="echo ran >> effect.txt")
        again = await ctx.tool("Bash", command="cat effect.txt 2>/dev/null; echo looked")
        return [result.is_error, result.details.get("code"), result.content, again.content]

    async with given.a_core(tmp_path, playbooks={"it": it}, with_engine=False) as core:
        dead = await given.a_running_task(core, "it")
        arguments: Any = {"command": "echo ran >> effect.txt"}
        step = core.journal.new_step(dead, "0/0", StepKind.TOOL, "Bash", arguments, StepStatus.RUNNING)
        await core.journal.begin(dead, step)

    async with given.a_core(tmp_path, playbooks={"it": it}, sandbox=sandbox) as core:
        task = await given.ended(core, dead)

        told = "The worker died while Bash was running. Whether it took effect is unknown: look first."
        assert task.result == [True, "outcome_unknown", told, "looked"]
        assert violations(core.settings.database_path) == []


async def test_a_write_in_flight_when_its_worker_died_is_repeated(tmp_path: Path) -> None:
    async with given.a_core(
        tmp_path, playbooks={"it": writes({"a.txt": "content"})}, with_engine=False
    ) as core:
        dead = await given.a_running_task(core, "it")
        arguments: Any = {"file_path": "a.txt", "content": "content"}
        step = core.journal.new_step(dead, "0/0", StepKind.TOOL, "Write", arguments, StepStatus.RUNNING)
        await core.journal.begin(dead, step)
        workspace = core.settings.workspaces_dir / dead.id
        workspace.mkdir(parents=True)
        (workspace / "a.txt").write_text("content", encoding="utf-8")  # the write had come through

    async with given.a_core(tmp_path, playbooks={"it": writes({"a.txt": "content"})}) as core:
        assert (await given.ended(core, dead)).status is Status.COMPLETED


async def test_a_tool_that_the_definition_does_not_list_is_an_error_for_the_agent(tmp_path: Path) -> None:
    async def it(ctx: PlaybookContext) -> JsonValue:
        return (await ctx.tool("Grep", pattern="x")).content

    async with given.a_core(tmp_path, playbooks={"it": it}) as core:
        task = await given.ended(core, await given.a_task(core, "it"))

        assert "There is no tool 'Grep'" in str(task.result)
