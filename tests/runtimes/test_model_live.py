"""What a model is saying is told to those who watch just now; who does not watch makes no work."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.history import Event
from chargehand.domain.task import Task
from chargehand.service.watch import Delta
from chargehand.testkit.server import scripted_models
from tests import given
from tests.given import ME
from tests.runtimes.test_model import BASE_PATHS, DEFINITION, MODELS, READ, WRITE, a_modelled_core

WELL = "All is well, and it was not easy. " * 20


async def watched(core: Core, task: Task) -> list[Event | Delta]:
    """Everything that a watcher is told, to the task's end."""
    async with asyncio.timeout(given.LIMIT_SECONDS):
        return [one async for one in core.watch.follow_live(ME, task.id) if one is not None]


async def submitted_and_watched(core: Core, agent_id: str = "writer") -> list[Event | Delta]:
    """As `watched`, from before the first request: the task is held back until somebody watches."""
    return await watched(core, await held_back(core, agent_id))


async def held_back(core: Core, agent_id: str) -> Task:
    """A task that begins a little later."""
    later = core.clock.now() + timedelta(seconds=0.3)
    return await given.a_task(core, agent_id, {"prompt": "Go."}, run_after=later)


def texts(told: list[Event | Delta], kind: str, path: str) -> str:
    pieces = [one.data for one in told if isinstance(one, Delta) and one.data["path"] == path]
    return "".join(str(one[kind]) for one in pieces if kind in one)


@pytest.mark.parametrize("provider", MODELS)
async def test_a_watcher_is_told_thinking_and_text_and_nothing_of_it_is_kept(
    tmp_path: Path, provider: str
) -> None:
    turns = [{"thinking": "Is it there?", "text": "I look.", "calls": [WRITE]}, {"text": WELL}]
    async with a_modelled_core(tmp_path, turns, provider=provider) as (core, models):
        told = await submitted_and_watched(core)

        assert texts(told, "thinking", "0/0") == "Is it there?"
        assert texts(told, "text", "0/0") == "I look."
        assert texts(told, "text", "0/1") == WELL
        assert sum(isinstance(one, Delta) for one in told) <= 6
        assert [one.is_streamed for one in models.log] == [True, True]
        events = [one for one in told if isinstance(one, Event)]
        assert [one.sequence for one in events] == list(range(1, len(events) + 1))
        assert all(one.kind != "model.delta" for one in events)


async def test_without_a_watcher_nothing_is_streamed(tmp_path: Path) -> None:
    async with a_modelled_core(tmp_path, [{"text": WELL}]) as (core, models):
        task = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert task.result == {"text": WELL.strip(), "model": MODELS["anthropic"]}
        assert [one.is_streamed for one in models.log] == [False]


async def test_a_watcher_is_told_that_a_cut_answer_begins_anew(tmp_path: Path) -> None:
    cut: dict[str, Any] = {"text": WELL, "fault": {"hang_midstream": True, "times": 1}}
    async with a_modelled_core(tmp_path, [cut], model_idle_seconds=0.4) as (core, _):
        told = await submitted_and_watched(core)

        said = [one.data for one in told if isinstance(one, Delta)]
        again = next(index for index, one in enumerate(said) if "restart" in one)
        before = "".join(str(one["text"]) for one in said[:again])
        after = "".join(str(one["text"]) for one in said[again + 1 :])
        assert said[again] == {"path": "0/0", "restart": True}
        assert before
        assert WELL.startswith(before)
        assert after == WELL


async def test_the_same_script_gives_the_same_events_in_every_protocol_streamed_and_not(
    tmp_path: Path,
) -> None:
    wrong: dict[str, Any] = {"name": "Read", "arguments": {"file_path": "no-such-file"}}
    turns: list[Any] = [
        {"thinking": "First I write.", "text": "So.", "calls": [WRITE, wrong]},
        {"calls": [READ]},
        # Beside the reading of a file, whose end might come first in one run and last in another.
        {"calls": [{"name": "TodoWrite", "arguments": {"todos": []}}]},
        {"text": WELL},
    ]
    async with scripted_models([{"turns": turns}]) as models:
        urls = {provider: models.url + BASE_PATHS[provider] for provider in MODELS}
        async with given.a_core(tmp_path, model_urls=urls) as core:
            found: dict[str, list[Any]] = {}
            for provider, model in MODELS.items():
                definition = DEFINITION.replace("name: writer", f"name: w-{provider}\nmodel: '{model}'")
                await core.agents.publish(ME, definition)
                told = await submitted_and_watched(core, f"w-{provider}")
                found[f"{provider}, streamed"] = [
                    _comparable(one, provider) for one in told if isinstance(one, Event)
                ]
                whole = await held_back(core, f"w-{provider}")
                await given.ended(core, whole)
                events = await core.watch.events(ME, whole.id)
                found[f"{provider}, whole"] = [_comparable(one, provider) for one in events]

        first = found["anthropic, whole"]
        assert len(first) >= 16
        assert {name: events for name, events in found.items() if events != first} == {}
        assert sorted(one.is_streamed for one in models.log) == [False] * 16 + [True] * 16


def _comparable(event: Event, provider: str) -> Any:
    """An event without what differs from run to run: ids, times, the name of agent and model."""
    data = {key: value for key, value in event.data.items() if key not in VARYING}
    return (
        event.sequence,
        event.kind,
        str(data).replace(MODELS[provider], "MODEL").replace(f"w-{provider}", "AGENT"),
    )


VARYING = {"agent_version", "duration_seconds", "worker", "until"}
