"""Other models in order when one finally fails, and a provider that is left alone: what the journal says of it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.history import EventKind
from chargehand.domain.task import Reason, Status
from chargehand.errors import RuntimeMissing
from chargehand.testkit.server import Scripted, scripted_models
from tests import given
from tests.given import ME
from tests.listening import listening
from tests.runtimes.test_model import BASE_PATHS, DEFINITION, MODELS, WRITE

CLAUDE, GPT = MODELS["anthropic"], MODELS["openai"]


@asynccontextmanager
async def two_providers(
    folder: Path, claude: Sequence[Any], gpt: Sequence[Any], *, definition: str = DEFINITION, **options: Any
) -> AsyncGenerator[tuple[Core, Scripted], None]:
    """A core whose agent asks claude-test, and gpt-test when that fails; each says its turns."""
    script = [
        {"match": {"model": "claude-*"}, "turns": list(claude)},
        {"match": {"model": "gpt-*"}, "turns": list(gpt)},
    ]
    async with scripted_models(script) as models:
        urls = {provider: models.url + BASE_PATHS[provider] for provider in ("anthropic", "openai")}
        settings: dict[str, Any] = {"model": CLAUDE, "model_fallbacks": [GPT], **options}
        async with given.a_core(folder, model_urls=urls, **settings) as core:
            await core.agents.publish(ME, definition)
            yield core, models


def asked(models: Scripted) -> list[tuple[str | None, int | None]]:
    return [(one.model, one.turn) for one in models.log]


def answered_by(core: Core) -> list[str]:
    found = given.rows(core, "SELECT result ->> '$.model' FROM task_steps WHERE kind = 'model' ORDER BY path")
    return [str(one) for (one,) in found]


async def test_a_model_that_there_is_not_is_replaced_for_the_rest_of_the_task(tmp_path: Path) -> None:
    none = [{"fault": {"status": 404}}]
    async with two_providers(tmp_path, none, [{"calls": [WRITE]}, {"text": "Done."}]) as (core, models):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.result == {"text": "Done.", "model": GPT}
        assert asked(models) == [("claude-test", 0), ("gpt-test", 0), ("gpt-test", 1)]
        assert answered_by(core) == [GPT, GPT]


async def test_a_provider_that_is_down_is_replaced_when_its_tries_are_used_up(tmp_path: Path) -> None:
    clock = given.TestClock()
    down = [{"calls": [WRITE]}, {"fault": {"status": 503}}]
    wait = {"text": "Done.", "fault": {"status": 429, "times": 1}}
    async with two_providers(tmp_path, down, [{"text": "-"}, wait], clock=clock) as (core, models):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        for number in range(1, 9):
            await given.event(core, task, EventKind.WAITING, count=number)
            clock.advance(80)

        ended = await given.ended(core, task)
        assert ended.result == {"text": "Done.", "model": GPT}
        assert asked(models) == [
            ("claude-test", 0),
            *[("claude-test", 1)] * 8,
            *[("gpt-test", 1)] * 2,
        ]
        assert answered_by(core) == [CLAUDE, GPT]


async def test_when_none_answers_each_says_why(tmp_path: Path) -> None:
    async with two_providers(tmp_path, [{"fault": {"status": 404}}], [{"fault": {"status": 400}}]) as (
        core,
        _,
    ):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.error is not None
        said = str(ended.error["message"])
        assert "has no model 'claude-test'; openai:gpt-test: status 400" in said


async def test_a_wrong_key_is_told_and_never_covered_up_by_another_model(tmp_path: Path) -> None:
    async with two_providers(tmp_path, [{"fault": {"status": 401}}], [{"text": "-"}]) as (core, models):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.error is not None
        assert "set ANTHROPIC_API_KEY to a valid one" in str(ended.error["message"])
        assert asked(models) == [("claude-test", 0)]


async def test_a_definition_names_its_own_fallbacks(tmp_path: Path) -> None:
    definition = DEFINITION.replace("---\nYou", f"chargehand:\n  fallback_models: ['{GPT}']\n---\nYou")
    none = [{"fault": {"status": 404}}]
    async with two_providers(
        tmp_path, none, [{"text": "Done."}], definition=definition, model_fallbacks=["google:never-asked"]
    ) as (core, _):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.result == {"text": "Done.", "model": GPT}


async def test_a_fallback_without_a_key_is_refused_before_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    async with two_providers(
        tmp_path, [{"text": "-"}], [{"text": "-"}], model_fallbacks=["google:gemini-x"]
    ) as (core, _):
        with pytest.raises(RuntimeMissing, match="set GOOGLE_API_KEY"):
            await given.a_task(core, "writer", {"prompt": "Go."})


async def test_a_provider_that_keeps_failing_is_left_alone_and_its_tasks_wait_without_a_worker(
    tmp_path: Path,
) -> None:
    clock = given.TestClock()
    down = [{"text": "Done.", "fault": {"status": 500, "times": 1}}]
    options: dict[str, Any] = {"clock": clock, "model_fallbacks": [], "model_circuit_failures": 2, "slots": 1}
    async with two_providers(tmp_path, down, [{"text": "-"}], **options) as (core, models):
        tasks = [await given.a_task(core, "writer", {"prompt": f"Task {n}."}) for n in range(4)]
        for task in tasks:
            assert (await given.event(core, task, EventKind.WAITING)).data["reason"] == Reason.TIMER
        assert len(models.log) == 2
        told = [
            str(one[0]) for one in given.rows(core, "SELECT arguments FROM task_steps WHERE kind = 'timer'")
        ]
        assert sum("is left alone" in one for one in told) == 2

        async def have_ended() -> bool:
            clock.advance(40)
            return all([(await core.watch.get(ME, one.id)).status is Status.COMPLETED for one in tasks])

        await given.eventually(have_ended)


async def test_a_provider_that_is_left_alone_is_replaced_at_once(tmp_path: Path) -> None:
    down = [{"fault": {"status": 500}}]
    options: dict[str, Any] = {"clock": given.TestClock(), "model_circuit_failures": 1}
    async with two_providers(tmp_path, down, [{"text": "Done."}], **options) as (core, models):
        first = await given.a_task(core, "writer", {"prompt": "One."})
        await given.event(core, first, EventKind.WAITING)

        second = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Two."}))

        assert second.result == {"text": "Done.", "model": GPT}
        assert asked(models) == [("claude-test", 0), ("gpt-test", 0)]


async def test_those_above_the_limit_of_a_provider_wait_in_line_and_can_be_canceled(tmp_path: Path) -> None:
    asked: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        await asked.put(writer)

    async with listening(hang) as port:
        urls = {"anthropic": f"http://127.0.0.1:{port}"}
        options: dict[str, Any] = {"model": CLAUDE, "model_concurrency": 1, "model_timeout_seconds": 30}
        async with given.a_core(tmp_path, model_urls=urls, **options) as core:
            await core.agents.publish(ME, DEFINITION)
            first = await given.a_task(core, "writer", {"prompt": "One."})
            async with asyncio.timeout(given.LIMIT_SECONDS):
                await asked.get()
            second = await given.a_task(core, "writer", {"prompt": "Two."})
            await given.event(core, second, EventKind.STEP_STARTED)

            for task in (second, first):
                await core.tasks.cancel(ME, task.id)
                assert (await given.ended(core, task)).status is Status.CANCELED

            # The second never asked.
            assert asked.empty()
