"""What a person tells a task: an open one hears it at its next turn, a finished one is followed by another."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, ToolReturnPart, UserPromptPart

from chargehand.app.core import Core
from chargehand.domain.access import Principal, Scope
from chargehand.domain.approval import Decision
from chargehand.domain.history import EventKind
from chargehand.domain.task import Status, Task
from chargehand.errors import Forbidden, IllegalMove, InvalidInput, TaskNotFound
from chargehand.models.requests import ModelRequests
from chargehand.runtimes.playbook import PlaybookContext
from tests import given
from tests.given import ME
from tests.runtimes.test_approvals import asked, asking
from tests.runtimes.test_model import DEFINITION, READ, WRITE, a_modelled_core
from tests.runtimes.test_model_output import SCHEMA, handing_in
from tests.runtimes.test_model_questions import ASKING, WHY, turns


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the user's side of each request said: the real request is sent all the same."""
    requests: list[list[str]] = []
    ask = ModelRequests.ask

    async def noting(
        self: ModelRequests, model: Any, conversation: Sequence[ModelMessage], *more: Any, **options: Any
    ) -> Any:
        requests.append(said_in(conversation))
        return await ask(self, model, conversation, *more, **options)

    monkeypatch.setattr(ModelRequests, "ask", noting)
    return requests


def said_in(conversation: Sequence[ModelMessage]) -> list[str]:
    return [
        str(part.content)
        for message in conversation
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart | ToolReturnPart)
    ]


async def an_asking_task(core: Core) -> Task:
    task = await given.a_task(core, "writer", {"prompt": "Go."})
    await given.event(core, task, EventKind.WAITING)
    return task


async def test_an_open_task_hears_it_at_its_next_turn_and_at_the_same_in_a_replay(
    tmp_path: Path, heard: list[list[str]]
) -> None:
    script = [*turns(WHY)[:1], {"calls": [{**turns(WHY)[0]["calls"][0]}]}, {"text": "Thanks."}]
    async with a_modelled_core(tmp_path, script, definition=ASKING) as (core, _):
        task = await an_asking_task(core)
        sent = await core.messages.send(ME, task.id, "Use tabs.")
        assert (sent.task.id, sent.is_new) == (task.id, False)
        assert (await core.watch.get(ME, task.id)).status is not Status.COMPLETED

        await core.tasks.answer(ME, task.id, "0/0.0.q0", "because")
        await given.event(core, task, EventKind.ASKED, count=2)
    async with a_modelled_core(tmp_path, script, definition=ASKING) as (core, models):
        await core.tasks.answer(ME, task.id, "0/1.0.q0", "again")

        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert [one.turn for one in models.log] == [2]
        answers = ["Why?\n→ because", "Use tabs.", "Why?\n→ again"]
        assert heard == [["Go."], ["Go.", *answers[:2]], ["Go.", *answers]]
        kinds = await given.kinds(core, task)
        assert [kinds.count(one) for one in (EventKind.MESSAGE_RECEIVED, EventKind.MESSAGE_TAKEN)] == [1, 1]


async def test_what_comes_while_the_last_word_is_said_makes_the_agent_go_on(
    tmp_path: Path, heard: list[list[str]]
) -> None:
    script = [{"text": "Done.", "delay_seconds": 0.5}, {"text": "Done with tabs."}]
    async with a_modelled_core(tmp_path, script) as (core, _):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        await given.event(core, task, EventKind.STEP_STARTED)
        await core.messages.send(ME, task.id, "Use tabs.")

        ended = await given.ended(core, task)

        assert ended.result == {"text": "Done with tabs.", "model": "anthropic:claude-test"}
        assert heard == [["Go."], ["Go.", "Use tabs."]]


async def test_an_attempt_that_has_ended_its_work_does_not_complete_over_a_message(tmp_path: Path) -> None:
    script = [{"text": "Done."}, {"text": "Done with tabs."}]
    async with a_modelled_core(tmp_path, script) as (core, _):
        finish = core.attempts.finish
        held = asyncio.Event()

        async def late(task: Task, outcome: Any) -> Task:
            if not held.is_set():
                held.set()
                await core.messages.send(ME, task.id, "Use tabs.")
            return await finish(task, outcome)

        core.attempts.finish = late  # type: ignore[method-assign]  # pyright: ignore[reportAttributeAccessIssue] - the moment between the two cannot be met otherwise
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.result == {"text": "Done with tabs.", "model": "anthropic:claude-test"}
        assert EventKind.RELEASED in await given.kinds(core, ended)


@pytest.mark.parametrize("late", [False, True])
async def test_what_comes_while_a_result_is_handed_in_is_heard_before_it_is_taken(
    tmp_path: Path, heard: list[list[str]], late: bool
) -> None:
    first, second = {"title": "A", "pages": 1}, {"title": "B", "pages": 2}
    script = [{**handing_in(first), "delay_seconds": 0 if late else 0.5}, handing_in(second)]
    async with a_modelled_core(tmp_path, script) as (core, _):
        finish, told = core.attempts.finish, asyncio.Event()

        async def finishing(task: Task, outcome: Any) -> Task:
            if late and not told.is_set():
                told.set()
                await core.messages.send(ME, task.id, "Use tabs.")
            return await finish(task, outcome)

        core.attempts.finish = finishing  # type: ignore[method-assign]  # pyright: ignore[reportAttributeAccessIssue] - the moment between the two cannot be met otherwise
        task = await given.a_task(core, "writer", {"prompt": "Go."}, output_schema=SCHEMA)
        if not late:
            await given.event(core, task, EventKind.STEP_STARTED)
            await core.messages.send(ME, task.id, "Use tabs.")

        assert (await given.ended(core, task)).result == second
        assert heard[-1][-1] == "Use tabs."
        assert len(heard) == 2


async def test_a_finished_task_is_followed_by_one_that_goes_on_from_it(
    tmp_path: Path, heard: list[list[str]]
) -> None:
    script = [
        {"calls": [WRITE]},
        {"text": "Noted."},
        {"calls": [READ]},
        {"text": "It says one."},
        {"text": "Bye."},
    ]
    async with a_modelled_core(tmp_path, script) as (core, models):
        first = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Note one."}))

        sent = await core.messages.send(ME, first.id, "What does it say?")
        second = await given.ended(core, sent.task)

        assert sent.is_new
        assert (second.follows_id, second.context_id) == (first.id, first.context_id)
        assert second.result == {"text": "It says one.", "model": "anthropic:claude-test"}
        assert [one.turn for one in models.log] == [0, 1, 2, 3]
        assert heard[2][0] == "Note one."
        assert heard[2][-1] == "What does it say?"
        third = await given.ended(core, (await core.messages.send(ME, second.id, "Bye.")).task)
        assert third.result == {"text": "Bye.", "model": "anthropic:claude-test"}
        assert [path.name for path in core.settings.workspaces_dir.iterdir()] == [first.id]


async def test_a_follower_knows_which_call_came_to_what_also_beside_a_result(
    tmp_path: Path, heard: list[list[str]]
) -> None:
    bad = handing_in({"title": "A"})["calls"]
    script = [{"calls": [*bad, WRITE]}, handing_in({"title": "A", "pages": 1}), {"text": "More."}]
    async with a_modelled_core(tmp_path, script) as (core, _):
        first = await given.a_task(core, "writer", {"prompt": "Go."}, output_schema=SCHEMA)
        await given.ended(core, first)
        sent = await core.messages.send(ME, first.id, "Go on.")
        await given.ended(core, sent.task)

        [written] = [step for step in await core.watch.steps(ME, first.id) if step.name == "Write"]
        assert isinstance(written.result, dict)
        nothing = "(nothing is recorded of what this came to)"
        assert heard[2][1:3] == [nothing, written.result["content"]]


async def test_a_retry_hears_again_what_the_discarded_turn_had_heard(
    tmp_path: Path, heard: list[list[str]]
) -> None:
    script = [
        {"calls": [WRITE], "delay_seconds": 0.5},
        {"text": "Done.", "fault": {"status": 400, "times": 1}},
    ]
    async with a_modelled_core(tmp_path, script) as (core, _):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        await given.event(core, task, EventKind.STEP_STARTED)
        await core.messages.send(ME, task.id, "Use tabs.")
        assert (await given.ended(core, task)).status is Status.FAILED

        await core.tasks.retry(ME, task.id)

        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert [one.count("Use tabs.") for one in heard] == [0, 1, 1]


async def test_messages_that_nobody_may_send_or_nobody_hears_are_refused(tmp_path: Path) -> None:
    async def nothing(context: PlaybookContext) -> None:
        await context.sleep(3600)

    reader = Principal(id="r", tenant=ME.tenant, scopes=frozenset({Scope.TASKS_READ}))
    stranger = Principal(id="s", tenant="elsewhere", scopes=frozenset({Scope.ADMIN}))
    async with a_modelled_core(tmp_path, turns(WHY), definition=ASKING, playbooks={"nothing": nothing}) as (
        core,
        _,
    ):
        task = await an_asking_task(core)
        played = await given.a_task(core, "nothing")

        with pytest.raises(TaskNotFound):
            await core.messages.send(stranger, task.id, "x")
        with pytest.raises(Forbidden, match="tasks:write"):
            await core.messages.send(reader, task.id, "x")
        for text in (" ", "x" * 100_001, "\x00", "\ud800"):
            with pytest.raises(InvalidInput):
                await core.messages.send(ME, task.id, text)
        with pytest.raises(IllegalMove, match="only a model takes messages"):
            await core.messages.send(ME, played.id, "x")
        assert given.rows(core, "SELECT count(*) FROM task_messages") == [(0,)]


async def test_a_repair_round_knows_what_was_told_before_it(tmp_path: Path, heard: list[list[str]]) -> None:
    block = (
        "chargehand:\n  deliverables:\n    - name: notes\n      path: notes.txt\n"
        "      checks: [{contains: one}]\n---\nYou write"
    )
    wrong = {"name": "Write", "arguments": {"file_path": "notes.txt", "content": "two"}}
    script = [
        {"match": {"prompt_contains": "failed"}, "turns": [{"calls": [WRITE]}, {"text": "Repaired."}]},
        {"turns": [{"calls": [wrong], "delay_seconds": 0.5}, {"text": "Done."}]},
    ]
    definition = DEFINITION.replace("---\nYou write", block)
    async with a_modelled_core(tmp_path, script, definition=definition) as (core, _):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        await given.event(core, task, EventKind.STEP_STARTED)
        await core.messages.send(ME, task.id, "Use tabs.")

        ended = await given.ended(core, task)

        assert (ended.status, ended.round) == (Status.COMPLETED, 1)
        assert [said[1:2] for said in heard if "failed" in said[0]] == [["Use tabs."]] * 2


async def test_the_model_is_told_that_a_person_changed_the_arguments(
    tmp_path: Path, heard: list[list[str]]
) -> None:
    async with asking(tmp_path) as core:
        task, approval = await asked(core)
        edited = {**approval.arguments, "new_string": "y"}
        await core.approvals.decide(
            ME, approval.id, Decision(approve=True, arguments=edited, reason="y fits")
        )
        await given.ended(core, task)

        assert "A person changed the arguments before this was run (y fits)" in heard[-1][-1]
        assert '"new_string":"y"' in heard[-1][-1]
