"""A model asks a person and goes on with the answer, over a restart."""

from pathlib import Path
from typing import Any

import pytest

from chargehand.domain.history import EventKind
from chargehand.domain.task import Status
from tests import given
from tests.given import ME
from tests.runtimes.test_model import DEFINITION, a_modelled_core

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
        await core.tasks.answer(ME, task.id, "0/0.0.q0", "blue")

        assert (await given.ended(core, task)).status is Status.COMPLETED
        asked = [one.data for one in await core.watch.events(ME, task.id) if one.kind == EventKind.ASKED]
        assert [one["choices"] for one in asked] == [["red", "blue"], []]
        assert asked[0]["question"] == "Which color?\n- red: hot"
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
