"""A model asks a person and goes on with the answer, over a restart."""

from pathlib import Path
from typing import Any

import pytest

from chargehand.domain.approval import Decision
from chargehand.domain.history import EventKind
from chargehand.domain.task import Status
from tests import given
from tests.given import ME
from tests.runtimes.test_model import DEFINITION, WRITE, a_modelled_core

ASKING = DEFINITION.replace("tools: Read,", "tools: AskUserQuestion, Read,")
COLOR: dict[str, Any] = {
    "question": "Which color?",
    "options": [{"label": "red", "description": "hot"}, {"label": "blue"}],
}
WHY = {"question": "Why?"}
WRONG: list[list[Any]] = [
    [],
    [COLOR] * 5,
    ["Why?"],
    [{"question": " "}],
    [{"question": "Q", "options": "a"}],
    [{"question": "Q", "options": [{}]}],
]


def turns(*questions: object) -> list[dict[str, Any]]:
    call = {"name": "AskUserQuestion", "arguments": {"questions": list(questions)}}
    return [{"calls": [call]}, {"text": "Thanks."}]


async def test_the_answers_come_back_to_the_model_after_a_restart(tmp_path: Path) -> None:
    async with a_modelled_core(tmp_path, turns(COLOR, WHY), definition=ASKING) as (core, _):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        waiting = await given.event(core, task, EventKind.WAITING)
        assert waiting.data["reason"] == "question"
        await core.tasks.answer(ME, task.id, "0/0.0.q1", "because")
    async with a_modelled_core(tmp_path, turns(COLOR, WHY), definition=ASKING) as (core, models):
        await core.tasks.answer(ME, task.id, "0/0.0.q0", "neither: green")

        assert (await given.ended(core, task)).status is Status.COMPLETED
        asked = [one.data for one in await core.watch.events(ME, task.id) if one.kind == EventKind.ASKED]
        assert [one["choices"] for one in asked] == [[], []]
        offered = "(one of these, or an answer of your own)\n- red: hot\n- blue"
        assert asked[0]["question"] == f"Which color?\n{offered}"
        assert [one.turn for one in models.log] == [1]


@pytest.mark.parametrize("questions", WRONG)
async def test_questions_that_are_none_ask_nobody(tmp_path: Path, questions: list[Any]) -> None:
    async with a_modelled_core(tmp_path, turns(*questions), definition=ASKING) as (core, _):
        task = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert task.status is Status.COMPLETED
        assert EventKind.ASKED not in await given.kinds(core, task)


async def test_an_agent_that_does_not_list_the_tool_asks_nobody(tmp_path: Path) -> None:
    async with a_modelled_core(tmp_path, turns(WHY)) as (core, _):
        task = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert EventKind.ASKED not in await given.kinds(core, task)


@pytest.mark.parametrize("was_denied", [True, False])
async def test_what_the_policy_said_of_a_question_holds_in_a_replay_under_another(
    tmp_path: Path, was_denied: bool
) -> None:
    deny, nothing = "- {tool: AskUserQuestion, action: deny}\n", "- {tool: Bash, action: deny}\n"
    ask = "- {tool: Write, action: ask}\n"
    policies = [policy + ask for policy in ([deny, nothing] if was_denied else [nothing, deny])]
    script = [*turns(WHY)[:1], {"calls": [WRITE]}, {"text": "Done."}]
    file = tmp_path / "policy.yaml"
    file.write_text(policies[0], encoding="utf-8")
    async with a_modelled_core(tmp_path, script, definition=ASKING, policy_file=file) as (core, _):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        if not was_denied:
            await given.event(core, task, EventKind.ASKED)
            await core.tasks.answer(ME, task.id, "0/0.0.q0", "because")
        await given.event(core, task, EventKind.APPROVAL_REQUESTED)
    file.write_text(policies[1], encoding="utf-8")
    async with a_modelled_core(tmp_path, script, definition=ASKING, policy_file=file) as (core, _):
        [approval] = (await core.approvals.page(ME, status="open")).items
        await core.approvals.decide(ME, approval.id, Decision(approve=True))

        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert (await given.kinds(core, task)).count(EventKind.ASKED) == int(not was_denied)
        results = given.rows(core, "SELECT kind, result FROM task_steps WHERE path LIKE '0/0.0%'")
        [(kind, result)] = results
        assert kind == ("tool" if was_denied else "question")
        assert ("was not run" in result) is was_denied
