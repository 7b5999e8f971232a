"""Calls that wait for a person: days and restarts between, each decision bound to its call and taken once."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from chargehand.app.core import Core
from chargehand.domain.access import Principal, Scope
from chargehand.domain.approval import Approval, ApprovalStatus, Decision
from chargehand.domain.history import EventKind, StepStatus
from chargehand.domain.task import Status, Task
from chargehand.domain.values import JsonObject
from chargehand.errors import ApprovalNotFound, ApprovalStale, Forbidden, IllegalMove, InvalidInput
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service import endings
from chargehand.service.endings import Hints
from chargehand.service.ports import NoEngine
from chargehand.store.signals import Signals
from chargehand.store.tables import TaskStep
from tests import given
from tests.given import ME
from tests.runtimes.test_model import DEFINITION, a_modelled_core
from tests.workspaces import files_of

pytestmark = pytest.mark.usefixtures("database")

DAY = 86_400
OTHER = Principal(id="other", tenant="elsewhere", scopes=frozenset({Scope.ADMIN}))
WRITE_X = {"name": "Write", "arguments": {"file_path": "notes.txt", "content": "x"}}
EDIT_X = {"file_path": "notes.txt", "old_string": "x", "new_string": "xx"}
DOUBLE = {"name": "Edit", "arguments": EDIT_X}
"""Done twice it leaves another text than done once."""
TURNS = [{"calls": [WRITE_X]}, {"calls": [DOUBLE]}, {"text": "Done."}]
ASK_EDIT = "- tool: Edit\n  action: ask\n  reason: notes are precious\n"
YES, NO = Decision(approve=True), Decision(approve=False, reason="not today")


@asynccontextmanager
async def asking(
    folder: Path, *, turns: Sequence[Any] = TURNS, policy: str = ASK_EDIT, **options: Any
) -> AsyncGenerator[Core, None]:
    """A core whose operator has this policy, with an agent that says these turns."""
    file = folder / "policy.yaml"
    file.write_text(policy, encoding="utf-8")
    async with a_modelled_core(folder, turns, policy_file=file, **options) as (core, _):
        yield core


async def waiting_for(core: Core, task: Task | str, count: int = 1) -> list[Approval]:
    """The open approvals of a task that waits for them, oldest first."""
    task_id = task if isinstance(task, str) else task.id
    waiting = await given.event(core, task_id, EventKind.WAITING, count=count)
    assert waiting.data["reason"] == "approval"
    page = await core.approvals.page(ME, status="open", task_id=task_id)
    return page.items[::-1]


async def asked(core: Core) -> tuple[Task, Approval]:
    task = await given.a_task(core, "writer", {"prompt": "Go."})
    [approval] = await waiting_for(core, task)
    return task, approval


def notes(core: Core, task: Task | str) -> str:
    task_id = task if isinstance(task, str) else task.id
    return files_of(core.settings.data_dir, task_id)["notes.txt"]


async def told(core: Core, task: Task, path: str) -> str:
    """What the model was told at a step."""
    [step] = [step for step in await core.watch.steps(ME, task.id) if step.path == path]
    assert isinstance(step.result, dict)
    return str(step.result["content"])


async def test_an_approval_after_two_restarts_and_three_days_goes_on_and_acts_once(tmp_path: Path) -> None:
    clock = given.TestClock()
    async with asking(tmp_path, clock=clock, slots=1) as core:
        task, approval = await asked(core)
        assert approval.tool == "Edit"
        assert "notes are precious" in approval.why
        assert core.engine is not None
        assert core.engine.running == 0
        clock.advance(DAY)
    async with asking(tmp_path, clock=clock) as core:
        clock.advance(DAY)
        assert (await core.watch.get(ME, task.id)).reason == "approval"
        assert notes(core, task) == "x"
    async with asking(tmp_path, clock=clock) as core:
        clock.advance(DAY)

        await core.approvals.decide(ME, approval.id, YES)

        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert notes(core, task) == "xx"
        begun = [
            one.data["path"]
            for one in await core.watch.events(ME, task.id)
            if one.kind == EventKind.STEP_STARTED
        ]
        assert begun == ["0/0", "0/0.0", "0/1", "0/1.0", "0/2"]


@pytest.mark.parametrize(("default", "left"), [("deny", "x"), ("approve", "xx")])
@pytest.mark.parametrize("by_rule", [True, False])
async def test_one_that_expires_takes_its_default(
    tmp_path: Path, default: str, left: str, by_rule: bool
) -> None:
    clock = given.TestClock()
    policy = ASK_EDIT + (f"  default: {default}\n" if by_rule else "")
    setting = {} if by_rule else {"approval_default": default}
    async with asking(tmp_path, policy=policy, clock=clock, **setting) as core:
        task, approval = await asked(core)
        clock.advance(7 * DAY - 1)
        assert (await core.approvals.get(ME, approval.id)).status is ApprovalStatus.OPEN
        clock.advance(1)

        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert notes(core, task) == left
        expired = await core.approvals.get(ME, approval.id)
        assert (expired.status, expired.decided_by) == (ApprovalStatus.EXPIRED, None)
        if default == "deny":
            assert "nobody decided in time" in await told(core, task, "0/1.0")


async def test_an_attempt_that_comes_before_the_sweep_takes_the_default_once(tmp_path: Path) -> None:
    clock = given.TestClock()
    async with asking(tmp_path, clock=clock) as core:
        task, approval = await asked(core)
    async with asking(tmp_path, clock=clock, with_engine=False) as core:
        async with core.db.write() as tx:
            await endings.wake(tx, Hints(Signals(), NoEngine()), task.id)
        running = (await given.claimed(core))[task.id]
        [step] = [one for one in await core.watch.steps(ME, task.id) if one.path == approval.path]
        clock.advance(8 * DAY)

        closed = await core.journal.take_default(running, step)

        assert closed.status is StepStatus.DONE
        assert await core.journal.take_default(running, step) == closed
        assert (await given.kinds(core, task)).count(EventKind.APPROVAL_DECIDED) == 1


async def test_a_decision_that_comes_too_late_takes_the_default(tmp_path: Path) -> None:
    clock = given.TestClock()
    async with asking(tmp_path, clock=clock) as core:
        task, approval = await asked(core)
    clock.advance(8 * DAY)
    async with asking(tmp_path, clock=clock, with_engine=False) as core:
        with pytest.raises(IllegalMove, match="expired at"):
            await core.approvals.decide(ME, approval.id, YES)
        assert (await core.approvals.get(ME, approval.id)).status is ApprovalStatus.EXPIRED
    async with asking(tmp_path, clock=clock) as core:
        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert notes(core, task) == "x"


async def test_edited_arguments_are_what_is_run_and_the_model_is_told(tmp_path: Path) -> None:
    async with asking(tmp_path) as core:
        task, approval = await asked(core)
        edited = {**approval.arguments, "new_string": "y"}

        decided = await core.approvals.decide(
            ME, approval.id, Decision(approve=True, arguments=edited, reason="y is better")
        )

        assert decided.status is ApprovalStatus.EDITED
        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert notes(core, task) == "y"
        # The journal holds what was run.
        steps = {step.path: step for step in await core.watch.steps(ME, task.id)}
        assert steps["0/1.0"].arguments == edited


async def test_an_edit_that_python_takes_for_equal_is_an_edit(tmp_path: Path) -> None:
    edit = {"name": "Edit", "arguments": {**EDIT_X, "replace_all": False}}
    async with asking(tmp_path, turns=[{"calls": [WRITE_X]}, {"calls": [edit]}, {"text": "Done."}]) as core:
        task, approval = await asked(core)
        changed = {**approval.arguments, "replace_all": 0}
        decided = await core.approvals.decide(ME, approval.id, Decision(approve=True, arguments=changed))

        assert (decided.status, decided.edited_arguments) == (ApprovalStatus.EDITED, changed)
        await given.ended(core, task)
        with pytest.raises(IllegalMove):
            await core.approvals.decide(ME, approval.id, YES)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"file_path": "deploy/run.sh"}, r"would not be run.*deny Write\(deploy/\*\*\).*Nothing was decided"),
        ({"file_path": "private/a"}, r"the definition denies Edit\(private/\*\*\)"),
        ({"cmd": "ls"}, r"does not take these arguments: cmd: .*It takes: .*file_path \(required\)"),
        ({"new_string": 7}, "new_string: Input should be a valid string"),
    ],
)
async def test_an_edit_that_would_not_run_is_refused_and_the_approval_stays_open(
    tmp_path: Path, changes: JsonObject, told: str
) -> None:
    policy = ASK_EDIT + "- tool: Write(deploy/**)\n  action: deny\n"
    async with asking(tmp_path, policy=policy) as core:
        denying = "disallowedTools: Edit(private/**)\ntools:"
        await core.agents.publish(ME, DEFINITION.replace("tools:", denying, 1))
        task, approval = await asked(core)
        edited = {**approval.arguments, **changes}

        with pytest.raises(InvalidInput, match=told):
            await core.approvals.decide(ME, approval.id, Decision(approve=True, arguments=edited))

        assert (await core.approvals.get(ME, approval.id)).status is ApprovalStatus.OPEN
        await core.approvals.decide(ME, approval.id, YES)
        await given.ended(core, task)
        assert notes(core, task) == "xx"


async def test_an_edited_call_is_held_against_a_policy_that_came_later(tmp_path: Path) -> None:
    async with asking(tmp_path) as core:
        task, approval = await asked(core)
        edited = {**approval.arguments, "file_path": "deploy/run.sh"}
    async with asking(tmp_path, with_engine=False) as core:
        await core.approvals.decide(ME, approval.id, Decision(approve=True, arguments=edited))
    async with asking(tmp_path, policy=ASK_EDIT + "- tool: Write(deploy/**)\n  action: deny\n") as core:
        await given.ended(core, task)
        assert "deny Write(deploy/**)" in await told(core, task, "0/1.0")
        assert notes(core, task) == "x"


async def test_a_denial_is_told_with_its_reason_and_the_agent_goes_on(tmp_path: Path) -> None:
    async with asking(tmp_path) as core:
        task, approval = await asked(core)

        await core.approvals.decide(ME, approval.id, NO)

        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert "a person denied it: not today" in await told(core, task, "0/1.0")
        assert notes(core, task) == "x"
        assert EventKind.APPROVAL_DECIDED in await given.kinds(core, task)


async def test_a_second_decision_is_refused_unless_it_is_the_same(tmp_path: Path) -> None:
    async with asking(tmp_path) as core:
        _, approval = await asked(core)
        first = await core.approvals.decide(ME, approval.id, NO)

        assert await core.approvals.decide(ME, approval.id, NO) == first
        for other in (YES, replace(NO, reason="never"), replace(YES, arguments={"file_path": "a"})):
            with pytest.raises(IllegalMove, match="denied; only an open one"):
                await core.approvals.decide(ME, approval.id, other)


async def test_who_may_not_decide_does_not(tmp_path: Path) -> None:
    worker = Principal(id="w", tenant=ME.tenant, scopes=frozenset({Scope.TASKS_READ, Scope.TASKS_WRITE}))
    async with asking(tmp_path) as core:
        task, approval = await asked(core)

        with pytest.raises(ApprovalNotFound):
            await core.approvals.decide(OTHER, approval.id, YES)
        with pytest.raises(ApprovalNotFound):
            await core.approvals.get(OTHER, approval.id)
        assert (await core.approvals.page(OTHER)).items == []
        with pytest.raises(Forbidden, match="approvals:decide"):
            await core.approvals.decide(worker, approval.id, YES)
        with pytest.raises(ApprovalStale, match="look again"):
            await core.approvals.decide(ME, approval.id, replace(YES, arguments_hash="0" * 64))
        with pytest.raises(InvalidInput, match="a denial takes no `arguments`"):
            await core.approvals.decide(ME, approval.id, replace(NO, arguments={}))

        assert (await core.watch.get(ME, task.id)).status is Status.WAITING
        await core.approvals.decide(ME, approval.id, replace(YES, arguments_hash=approval.arguments_hash))
        await given.ended(core, task)


async def test_the_approval_of_a_canceled_task_is_withdrawn_and_asked_again_on_retry(tmp_path: Path) -> None:
    async with asking(tmp_path) as core:
        task, approval = await asked(core)

        await core.tasks.cancel(ME, task.id)

        assert (await core.approvals.get(ME, approval.id)).status is ApprovalStatus.WITHDRAWN
        with pytest.raises(IllegalMove, match="withdrawn"):
            await core.approvals.decide(ME, approval.id, YES)
        await core.tasks.retry(ME, task.id)
        [again] = await waiting_for(core, task, count=2)
        assert again.id != approval.id
        await core.approvals.decide(ME, again.id, YES)
        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert notes(core, task) == "xx"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_two_of_one_answer_are_decided_alone_and_in_any_order(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    calls = [{"name": "Write", "arguments": {"file_path": f"{name}.txt", "content": name}} for name in "abc"]
    policy = "".join(f"- tool: Write({name}.txt)\n  action: ask\n" for name in "ac")
    async with asking(tmp_path, turns=[{"calls": calls}, {"text": "Done."}], policy=policy) as core:
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        both = await waiting_for(core, task)
        assert [one.path for one in both] == ["0/0.0.approval", "0/0.2.approval"]
        # What needed no approval was done meanwhile.
        assert [*files_of(core.settings.data_dir, task.id)] == ["b.txt"]

        await core.approvals.decide(ME, both[order[0]].id, YES)
        await waiting_for(core, task, count=2)
        await core.approvals.decide(ME, both[order[1]].id, NO)

        assert (await given.ended(core, task)).status is Status.COMPLETED
        done = {"a.txt", "c.txt"} - {str(both[order[1]].arguments["file_path"])}
        assert set(files_of(core.settings.data_dir, task.id)) == {"b.txt", *done}


async def test_waiting_for_a_person_does_not_use_up_the_time_that_a_task_may_take(tmp_path: Path) -> None:
    clock = given.TestClock()
    async with asking(tmp_path, clock=clock) as core:
        task, approval = await asked(core)
        before = task.deadline_at
        clock.advance(3 * DAY)
        await core.approvals.decide(ME, approval.id, YES)

        ended = await given.ended(core, task)

        assert before is not None
        assert ended.deadline_at == before + timedelta(days=3)


async def test_what_was_approved_is_good_for_nothing_else(tmp_path: Path) -> None:
    async with asking(tmp_path) as core:
        task, approval = await asked(core)
    async with asking(tmp_path, with_engine=False) as core:
        await core.approvals.decide(ME, approval.id, YES)
        async with core.db.write() as tx:
            at = TaskStep.path == "0/1.0.approval"
            result = await tx.connection.scalar(select(TaskStep.result).where(at))
            assert isinstance(result, dict)
            changed: JsonObject = {**result, "arguments": {"file_path": "other"}}
            await tx.connection.execute(update(TaskStep).where(at).values(result=changed))
    async with asking(tmp_path) as core:
        ended = await given.ended(core, task)

        assert (ended.status, ended.reason) == (Status.FAILED, "journal_mismatch")
        assert notes(core, task) == "x"


async def test_a_definition_asks_and_denies_for_itself_and_never_loosens(tmp_path: Path) -> None:
    own = (
        "chargehand:\n  policy:\n    - {tool: Edit, action: allow}\n"
        "    - {tool: 'Write(secret/**)', action: deny, reason: private}\n---\nYou write"
    )
    definition = DEFINITION.replace("---\nYou write", own)
    secret = {"name": "Write", "arguments": {"file_path": "secret/a", "content": "x"}}
    turns = [{"calls": [WRITE_X, secret]}, *TURNS[1:]]
    async with asking(tmp_path, turns=turns, definition=definition) as core:
        task, approval = await asked(core)

        assert "operator" in approval.why
        assert "deny Write(secret/**) (private)" in await told(core, task, "0/0.1")
        await core.approvals.decide(ME, approval.id, YES)
        await given.ended(core, task)


async def test_plan_mode_changes_nothing(tmp_path: Path) -> None:
    definition = DEFINITION.replace("tools:", "permissionMode: plan\ntools:")
    async with asking(tmp_path, policy="[]", definition=definition) as core:
        task = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert "permissionMode is plan" in await told(core, task, "0/0.0")
        assert files_of(core.settings.data_dir, task.id) == {}


@pytest.mark.parametrize("mode", ["acceptEdits", "bypassPermissions"])
async def test_no_permission_mode_loosens_the_operators_policy(tmp_path: Path, mode: str) -> None:
    definition = DEFINITION.replace("tools:", f"permissionMode: {mode}\ntools:")
    async with asking(tmp_path, definition=definition) as core:
        await asked(core)


async def test_a_delegation_is_asked_about(tmp_path: Path) -> None:
    definition = DEFINITION.replace("tools: Read,", "tools: Task, Read,").replace(
        "---\nYou write", "chargehand:\n  delegates: [writer]\n---\nYou write"
    )
    order = {"name": "Agent", "arguments": {"prompt": "Part.", "subagent_type": "writer"}}
    turns = [{"calls": [order]}, {"text": "Done."}]
    policy = "- tool: Agent(writer)\n  action: ask\n"
    async with asking(tmp_path, turns=turns, policy=policy, definition=definition) as core:
        task, approval = await asked(core)
        assert approval.tool == "Agent"

        await core.approvals.decide(ME, approval.id, NO)

        await given.ended(core, task)
        assert given.rows(core, "SELECT count(*) FROM agent_tasks") == [(1,)]


async def test_the_policy_holds_for_playbooks_too(tmp_path: Path) -> None:
    async def write(context: PlaybookContext) -> str:
        denied = await context.tool("Write", file_path="deploy/a", content="x")
        written = await context.tool("Write", file_path="notes.txt", content="x")
        return f"{denied.is_error} {written.is_error}"

    policy = (
        "- {tool: Write(deploy/**), action: deny}\n- {tool: Write(notes.txt), action: ask, agent: write}\n"
    )
    async with asking(tmp_path, policy=policy, playbooks={"write": write}) as core:
        task = await given.a_task(core, "write")
        [approval] = await waiting_for(core, task)

        await core.approvals.decide(ME, approval.id, YES)

        assert (await given.ended(core, task)).result == "True False"
        assert notes(core, task) == "x"


async def test_a_decision_that_was_journaled_outlives_a_change_of_the_policy(tmp_path: Path) -> None:
    clock = given.TestClock()
    turns = [{"calls": [WRITE_X]}, {"calls": [DOUBLE]}, {"text": "Done."}]
    deny_write = "- tool: Write\n  action: deny\n"
    async with asking(tmp_path, turns=turns, clock=clock) as core:
        task, approval = await asked(core)
    async with asking(tmp_path, turns=turns, policy=deny_write, clock=clock) as core:
        await core.approvals.decide(ME, approval.id, YES)

        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert notes(core, task) == "xx"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo x > deploy/run", "deny Write(deploy/**)"),
        ("ls && rm -rf x", "deny Bash(rm:*)"),
        ("echo x | tee deploy/run", "deny Write(deploy/**)"),
        ("cd deploy && echo x > run", "deny Write(deploy/**)"),
        ("cp run deploy", "deny Write(deploy/**)"),
        ("mv deploy/run x", "deny Write(deploy/**)"),
        ("echo x >& deploy/run", "deny Write(deploy/**)"),
        ("X=1", "runs no commands"),
        ("ls > notes.txt", "runs no commands"),
    ],
)
async def test_a_command_line_is_judged_in_its_parts_with_what_it_writes(
    tmp_path: Path, command: str, said: str
) -> None:
    policy = "- {tool: Write(deploy/**), action: deny}\n- {tool: 'Bash(rm:*)', action: deny}\n"
    turns = [{"calls": [{"name": "Bash", "arguments": {"command": command}}]}, {"text": "Done."}]
    definition = DEFINITION.replace("tools: Read,", "tools: Bash, Read,")
    async with asking(tmp_path, turns=turns, policy=policy, definition=definition) as core:
        task = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert said in await told(core, task, "0/0.0")
