"""Agents run by a model, against the scripted model server: the loop, its journal, and what goes wrong."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.history import EventKind
from chargehand.domain.task import Status
from chargehand.errors import RuntimeMissing
from chargehand.testkit.server import Scripted, scripted_models
from tests import given
from tests.given import ME

MODELS = {
    "anthropic": "anthropic:claude-test",
    "openai": "openai:gpt-test",
    "openai-chat": "openai-chat:gpt-test",
    "google": "google:gemini-test",
}
BASE_PATHS = {"anthropic": "", "openai": "/v1", "openai-chat": "/v1", "google": ""}
WRITE = {"name": "Write", "arguments": {"file_path": "notes.txt", "content": "one\n"}}
READ = {"name": "Read", "arguments": {"file_path": "notes.txt"}}
DEFINITION = """---
name: writer
description: Writes notes.
tools: Read, Write, Edit, TodoWrite
---
You write notes.
"""


@asynccontextmanager
async def a_modelled_core(
    folder: Path,
    turns: Sequence[Any],
    *,
    provider: str = "anthropic",
    definition: str = DEFINITION,
    **options: Any,
) -> AsyncGenerator[tuple[Core, Scripted], None]:
    """A core whose models are the script: one conversation, or (a list of mappings with `turns`) several."""
    script = turns if "turns" in turns[0] else [{"turns": list(turns)}]
    async with scripted_models(script) as models:
        urls = {provider: models.url + BASE_PATHS[provider]}
        async with given.a_core(folder, model=MODELS[provider], model_urls=urls, **options) as core:
            await core.agents.publish(ME, definition)
            yield core, models


@pytest.mark.parametrize("provider", MODELS)
async def test_a_model_writes_reads_and_says_what_it_did(tmp_path: Path, provider: str) -> None:
    turns = [{"calls": [WRITE]}, {"thinking": "is it there?", "calls": [READ]}, {"text": "Noted."}]
    async with a_modelled_core(tmp_path, turns, provider=provider) as (core, models):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Note one."}))

        assert ended.result == {"text": "Noted.", "model": MODELS[provider]}
        assert (core.settings.workspaces_dir / ended.id / "notes.txt").read_text("utf-8") == "one\n"
        assert [one.turn for one in models.log] == [0, 1, 2]
        steps = [
            (one.data["path"], one.data["kind"], one.data["name"])
            for one in await core.watch.events(ME, ended.id)
            if one.kind == EventKind.STEP_FINISHED
        ]
        assert steps == [
            ("0/0", "model", "model"),
            ("0/0.0", "tool", "Write"),
            ("0/1", "model", "model"),
            ("0/1.0", "tool", "Read"),
            ("0/2", "model", "model"),
        ]


async def test_wrong_tools_and_arguments_are_told_to_the_model_which_goes_on(tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = [
        {"name": "Wriite", "arguments": {}},
        {"name": "Write", "arguments": {"path": "x"}},
        {"name": "Write", "arguments": {"file_path": "../../outside", "content": "x"}},
        {"name": "Agent", "arguments": {"prompt": "x", "subagent_type": "nobody"}},
        {"name": "Write", "arguments": {"file_path": "a", "content": "NUL \u0000"}},
    ]
    async with a_modelled_core(tmp_path, [{"calls": calls}, {"text": "I give up."}]) as (core, _):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.status is Status.COMPLETED
        told = [
            str(result[0])
            for result in given.rows(core, "SELECT result FROM task_steps WHERE kind = 'tool' ORDER BY path")
        ]
        parts = ["Did you mean Write", "not accepted", "outside", "does not list the tool Agent"]
        assert [part for part, one in zip(parts, told[:4], strict=True) if part not in one] == []
        assert (core.settings.workspaces_dir / ended.id / "a").read_text("utf-8") == "NUL ?"
        assert not (tmp_path / "outside").exists()
        assert not list(core.settings.workspaces_dir.rglob("outside"))


async def test_a_provider_that_limits_is_asked_again_when_it_allows_and_no_worker_waits(
    tmp_path: Path,
) -> None:
    clock = given.TestClock()
    limited = {"text": "There.", "fault": {"status": 429, "retry_after": 30, "times": 2}}
    async with a_modelled_core(tmp_path, [limited], clock=clock, slots=1) as (core, models):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        for number in (1, 2):
            waiting = await given.event(core, task, EventKind.WAITING, count=number)
            assert waiting.data["reason"] == "timer"
            assert len(models.log) == number
            clock.advance(40)

        assert (await given.ended(core, task)).result == {"text": "There.", "model": "anthropic:claude-test"}
        assert [one.ended for one in models.log] == ["fault: status", "fault: status", "answered"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"status": 401}, "set ANTHROPIC_API_KEY to a valid one"),
        ({"status": 404}, "has no model 'claude-test'"),
        ({"status": 400}, "anthropic:claude-test"),
    ],
)
async def test_what_another_try_cannot_mend_ends_the_task_at_once(
    tmp_path: Path, fault: Any, said: str
) -> None:
    async with a_modelled_core(tmp_path, [{"fault": fault}]) as (core, models):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert (ended.status, ended.reason) == (Status.FAILED, "agent_error")
        assert ended.error is not None
        assert said in str(ended.error["message"])
        assert len(models.log) == 1


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 529}, {"garbage": True}, {"empty": True}])
async def test_a_provider_that_never_answers_fails_the_task_after_bounded_tries(
    tmp_path: Path, fault: Any
) -> None:
    clock = given.TestClock()
    async with a_modelled_core(tmp_path, [{"fault": fault}], clock=clock) as (core, models):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        for number in range(1, 8):
            await given.event(core, task, EventKind.WAITING, count=number)
            clock.advance(80)

        ended = await given.ended(core, task)
        assert ended.error is not None
        assert "after 8 tries" in str(ended.error["message"])
        assert len(models.log) == 8


async def test_a_provider_that_hangs_is_given_up_after_the_time_for_an_answer(tmp_path: Path) -> None:
    hangs = {"text": "There.", "fault": {"hang_before": True, "times": 1}}
    async with a_modelled_core(tmp_path, [hangs], model_timeout_seconds=0.3) as (core, models):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.status is Status.COMPLETED
        assert len(models.log) == 2


async def test_a_model_hands_work_to_two_agents_at_once_with_one_worker(tmp_path: Path) -> None:
    lead = "---\nname: lead\ndescription: Leads.\ntools: Task\nchargehand:\n  delegates: [writer]\n---\nYou lead.\n"
    orders = [
        {"name": "Agent", "arguments": {"prompt": f"Part {n}.", "subagent_type": "writer"}} for n in "ab"
    ]
    refused = {"name": "Agent", "arguments": {"prompt": "Part c.", "subagent_type": "lead"}}
    script = [
        {
            "match": {"system_contains": "You lead"},
            "turns": [{"calls": [*orders, refused]}, {"text": "Both done."}],
        },
        {"match": {"system_contains": "You write"}, "turns": [{"text": "My part is done."}]},
    ]
    async with a_modelled_core(tmp_path, script, slots=1) as (core, models):
        await core.agents.publish(ME, lead)

        ended = await given.ended(core, await given.a_task(core, "lead", {"prompt": "Lead."}))

        assert ended.result == {"text": "Both done.", "model": "anthropic:claude-test"}
        children = given.rows(core, "SELECT agent_id, status FROM agent_tasks WHERE parent_id = ?", ended.id)
        assert children == [("writer", "completed")] * 2
        assert len(models.log) == 4


async def test_a_definition_without_a_configured_model_is_refused_with_the_setting(tmp_path: Path) -> None:
    async with given.a_core(tmp_path) as core:
        await core.agents.publish(ME, DEFINITION)

        with pytest.raises(RuntimeMissing, match="CHARGEHAND_MODEL"):
            await given.a_task(core, "writer", {"prompt": "Go."})


async def test_the_patterns_and_the_turns_of_a_definition_hold(tmp_path: Path) -> None:
    definition = DEFINITION.replace("tools: Read, Write,", "tools: Read, Write(notes/*), ").replace(
        "tools:", "maxTurns: 2\ntools:"
    )
    allowed = {"name": "Write", "arguments": {"file_path": "notes/a.txt", "content": "a"}}
    turns = [{"calls": [WRITE, allowed]}, {"calls": [allowed]}, {"text": "Never said."}]
    async with a_modelled_core(tmp_path, turns, definition=definition) as (core, models):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.error is not None
        assert "within 2 turns" in str(ended.error["message"])
        assert len(models.log) == 2
        workspace = core.settings.workspaces_dir / ended.id
        assert (workspace / "notes" / "a.txt").exists()
        assert not (workspace / "notes.txt").exists()


async def test_a_retry_by_a_person_pays_for_no_answer_again(tmp_path: Path) -> None:
    wrong = {"name": "Read", "arguments": {"file_path": "not-there.txt"}}
    refused = {"text": "There.", "fault": {"status": 400, "times": 1}}
    async with a_modelled_core(tmp_path, [{"calls": [wrong]}, {"calls": [WRITE]}, refused]) as (core, models):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        assert (await given.ended(core, task)).status is Status.FAILED

        await core.tasks.retry(ME, task.id)

        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert [one.turn for one in models.log] == [0, 1, 2, 2]


async def test_a_retry_after_a_provider_was_down_has_all_its_tries_again(tmp_path: Path) -> None:
    clock = given.TestClock()
    down = {"text": "There.", "fault": {"status": 500, "times": 10}}
    async with a_modelled_core(tmp_path, [down], clock=clock) as (core, models):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        for number in range(1, 8):
            await given.event(core, task, EventKind.WAITING, count=number)
            clock.advance(80)
        assert (await given.ended(core, task)).status is Status.FAILED

        await core.tasks.retry(ME, task.id)
        for number in (8, 9):
            await given.event(core, task, EventKind.WAITING, count=number)
            clock.advance(80)

        assert (await given.ended(core, task)).status is Status.COMPLETED
        assert len(models.log) == 11


async def test_an_agent_that_does_not_list_the_tool_hands_out_nothing(tmp_path: Path) -> None:
    definition = DEFINITION.replace("---\nYou write", "chargehand:\n  delegates: [writer]\n---\nYou write")
    order = {"name": "Agent", "arguments": {"prompt": "Part.", "subagent_type": "writer"}}
    async with a_modelled_core(tmp_path, [{"calls": [order]}, {"text": "No."}], definition=definition) as (
        core,
        _,
    ):
        await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert given.rows(core, "SELECT count(*) FROM agent_tasks") == [(1,)]
