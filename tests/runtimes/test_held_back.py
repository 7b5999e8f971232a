"""The end of a step that is written with the beginning of the next, and by itself where none follows."""

from pathlib import Path

from chargehand.app.core import Core
from chargehand.domain.history import EventKind, StepStatus
from chargehand.domain.task import Status, Task
from tests import given
from tests.given import ME
from tests.invariants import violations
from tests.runtimes.test_approvals import TURNS, asked, asking
from tests.runtimes.test_model import DEFINITION, READ, WRITE, a_modelled_core


async def journal(core: Core, task: Task) -> list[tuple[str, StepStatus]]:
    return [(one.path, one.status) for one in await core.watch.steps(ME, task.id)]


async def test_each_step_of_a_run_ends_in_the_transaction_in_which_the_next_begins(tmp_path: Path) -> None:
    turns = [{"calls": [WRITE]}, {"calls": [READ]}, {"text": "Done."}]
    async with a_modelled_core(tmp_path, turns) as (core, _):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.status is Status.COMPLETED
        events = await core.watch.events(ME, ended.id)
        started = {one.data["path"]: one.at for one in events if one.kind == EventKind.STEP_STARTED}
        finished = {one.data["path"]: one.at for one in events if one.kind == EventKind.STEP_FINISHED}
        for path, following in (("0/0", "0/0.0"), ("0/0.0", "0/1"), ("0/1", "0/1.0"), ("0/1.0", "0/2")):
            assert finished[path] == started[following], path
        assert violations(core.settings.database_path) == []


async def test_what_a_tool_did_is_recorded_when_no_step_follows(tmp_path: Path) -> None:
    definition = DEFINITION.replace("tools:", "maxTurns: 1\ntools:")
    async with a_modelled_core(tmp_path, [{"calls": [WRITE]}], definition=definition) as (core, _):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.status is Status.FAILED
        assert await journal(core, ended) == [("0/0", StepStatus.DONE), ("0/0.0", StepStatus.DONE)]


async def test_what_a_tool_did_is_recorded_when_the_budget_refuses_the_next_request(tmp_path: Path) -> None:
    definition = DEFINITION.replace("tools:", "chargehand: {budget: {steps: 2}}\ntools:")
    async with a_modelled_core(tmp_path, [{"calls": [WRITE]}], definition=definition) as (core, _):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.reason == "budget_exhausted"
        assert await journal(core, ended) == [("0/0", StepStatus.DONE), ("0/0.0", StepStatus.DONE)]


async def test_an_answer_is_recorded_while_a_person_is_asked_about_its_call(tmp_path: Path) -> None:
    async with asking(tmp_path, turns=TURNS) as core:
        task, _ = await asked(core)

        assert await journal(core, task) == [
            ("0/0", StepStatus.DONE),
            ("0/0.0", StepStatus.DONE),
            ("0/1", StepStatus.DONE),
            ("0/1.0.approval", StepStatus.OPEN),
        ]
