"""Long conversations with small models: what is left out, what is summed up, and that a restart changes neither."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart

from chargehand.app.core import Core
from chargehand.domain.history import EventKind
from chargehand.domain.task import Status, Task
from chargehand.models.choice import parsed
from chargehand.models.windows import UNKNOWN_WINDOW_TOKENS, window_tokens
from chargehand.runtimes.model_sizes import (
    BYTES_PER_TOKEN,
    calls_by_id,
    clipped,
    elided,
    part_text,
    text_tokens,
    told,
)
from chargehand.testkit.server import Scripted, scripted_models
from tests import given
from tests.given import ME
from tests.runtimes.test_model import DEFINITION

WINDOW = 12_000
BIG = "a line of some length\n" * 200
LARGE_WRITE = {"name": "Write", "arguments": {"file_path": "a.txt", "content": BIG}}
READ = {"name": "Read", "arguments": {"file_path": "a.txt"}}
SUMMING_UP = "You sum up the work"


def writes(count: int) -> list[dict[str, Any]]:
    """Turns whose calls are large, so that leaving results out does not help."""
    said: list[dict[str, Any]] = []
    for number in range(count):
        arguments = {"file_path": f"{number}.txt", "content": f"{number} " + "x" * 1200}
        said.append({"calls": [{"name": "Write", "arguments": arguments}]})
    return said


SUMMED_UP_TWICE: list[dict[str, Any]] = [
    {
        "match": {"system_contains": SUMMING_UP, "prompt_contains": "SUMMARY-1"},
        "turns": [{"text": "SUMMARY-2"}],
    },
    {"match": {"system_contains": SUMMING_UP}, "turns": [{"text": "SUMMARY-1"}]},
    {"match": {"prompt_contains": "SUMMARY-2"}, "turns": [*writes(14), {"text": "All is written."}]},
    {"match": {"prompt_contains": "SUMMARY-1"}, "turns": writes(60)},
    {"match": {}, "turns": writes(60)},
]
"""After a summary a request has four turns again, and so the script goes on with the fifth."""


@asynccontextmanager
async def a_small_model(folder: Path, models: Scripted, **options: Any) -> AsyncGenerator[Core, None]:
    options = {"model_context_tokens": WINDOW, **options}
    urls = {"anthropic": models.url}
    async with given.a_core(folder, model="anthropic:claude-test", model_urls=urls, **options) as core:
        await core.agents.publish(ME, DEFINITION)
        yield core


async def test_a_task_of_seventy_turns_with_large_results_ends_well(tmp_path: Path) -> None:
    turns = [{"calls": [LARGE_WRITE]}, *[{"calls": [READ]}] * 69, {"text": "Read it all."}]
    async with (
        scripted_models([{"turns": turns}]) as models,
        a_small_model(tmp_path, models, model_context_tokens=2 * WINDOW) as core,
    ):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Read on."}))

        assert ended.result == {"text": "Read it all.", "model": "anthropic:claude-test"}
        assert len(models.log) == 71
        sizes = [one.body_bytes for one in models.log]
        assert len(BIG) * 70 > 5 * max(sizes)
        assert max(sizes) < 2 * WINDOW * BYTES_PER_TOKEN
        shrunk = sum(after < before for before, after in pairwise(sizes))
        assert 1 <= shrunk < 35, "results are left out many at once, so that caches hold in between"


async def test_a_summary_takes_the_place_of_what_cannot_be_left_out(tmp_path: Path) -> None:
    async with scripted_models(SUMMED_UP_TWICE) as models, a_small_model(tmp_path, models) as core:
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Write on."}))

        assert (ended.status, ended.result) == (
            Status.COMPLETED,
            {"text": "All is written.", "model": "anthropic:claude-test"},
        )
        assert [one.conversation for one in models.log if one.conversation in (0, 1)] == [1, 0]
        statement = "SELECT path, kind FROM task_steps WHERE name = 'summary' ORDER BY started_at"
        first, second = given.rows(core, statement)
        assert (first[1], second[1]) == ("model", "model")
        assert first[0].endswith(".summary")
        assert first[0] != second[0]


async def test_a_restart_asks_what_an_undisturbed_run_asks_and_pays_no_summary_twice(tmp_path: Path) -> None:
    async with scripted_models(SUMMED_UP_TWICE) as models, a_small_model(tmp_path / "whole", models) as core:
        whole = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Write on."}))
        undisturbed = [one.messages_hash for one in models.log]
        [(summed_up,), _] = given.rows(
            core, "SELECT path FROM task_steps WHERE name = 'summary' ORDER BY started_at"
        )

    async with scripted_models(SUMMED_UP_TWICE) as models:
        task: Task | None = None
        # Never while a tool works: one that was cut is told as such, which an undisturbed run is not.
        for last in ("0/3.0", summed_up, "0/22.0", None):
            async with a_small_model(tmp_path / "cut", models, shutdown_grace_seconds=0) as core:
                task = task or await given.a_task(core, "writer", {"prompt": "Write on."})
                if last is not None:
                    await a_finished_step(core, task, last)
                    continue
                ended = await given.ended(core, task)
        assert ended.result == whole.result
        asked = [one.messages_hash for one in models.log if one.ended == "answered"]
        assert list(dict.fromkeys(asked)) == undisturbed
        assert [one.conversation for one in models.log if one.conversation in (0, 1)] == [1, 0]


async def test_a_smaller_window_after_a_restart_pays_for_no_summary_of_turns_that_were_answered(
    tmp_path: Path,
) -> None:
    async with scripted_models(SUMMED_UP_TWICE) as models:
        async with a_small_model(
            tmp_path, models, model_context_tokens=20 * WINDOW, shutdown_grace_seconds=0
        ) as core:
            task = await given.a_task(core, "writer", {"prompt": "Write on."})
            await a_finished_step(core, task, "0/25.0")
        async with a_small_model(tmp_path, models) as core:
            ended = await given.ended(core, task)

            assert ended.status is Status.COMPLETED
            statement = "SELECT path FROM task_steps WHERE name = 'summary'"
            turns = [int(path[2:].partition(".")[0]) for (path,) in given.rows(core, statement)]
            assert min(turns) > 25


async def a_finished_step(core: Core, task: Task, path: str) -> None:
    async for one in core.watch.follow(ME, task.id):
        if one is not None and one.kind == EventKind.STEP_FINISHED and one.data["path"] == path:
            return


async def test_a_provider_that_says_too_long_gets_a_summary_instead(tmp_path: Path) -> None:
    refused = {"fault": {"status": 400, "message": "prompt is too long: 250 tokens > 200 maximum"}}
    script: list[dict[str, Any]] = [
        {"match": {"system_contains": SUMMING_UP}, "turns": [{"text": "SUMMARY-1"}]},
        {"match": {"prompt_contains": "SUMMARY-1"}, "turns": [*writes(4), {"text": "Done."}]},
        {"match": {}, "turns": [*writes(8), refused]},
    ]
    async with (
        scripted_models(script) as models,
        a_small_model(tmp_path, models, model_context_tokens=100_000) as core,
    ):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Write on."}))

        assert ended.result == {"text": "Done.", "model": "anthropic:claude-test"}
        assert len(models.log) == 11


async def test_what_stays_too_long_fails_the_task_with_the_way_out(tmp_path: Path) -> None:
    refused = {"fault": {"status": 400, "message": "prompt is too long: 250 tokens > 200 maximum"}}
    async with scripted_models([{"turns": [refused]}]) as models, a_small_model(tmp_path, models) as core:
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.status is Status.FAILED
        assert ended.error is not None
        assert "a model with a larger context" in str(ended.error["message"])
        assert len(models.log) == 1


def test_an_elided_result_says_what_was_there_and_how_to_get_it_again() -> None:
    answer = ModelResponse(
        parts=[ToolCallPart("Read", {"file_path": "a.txt"}, "1"), ToolCallPart("Write", {}, "2")]
    )
    results = ModelRequest(
        parts=[
            ToolReturnPart("Read", "x" * 5000, "1"),
            ToolReturnPart("Write", "y" * 5000, "2"),
            ToolReturnPart("Read", "short", "3"),
        ]
    )
    read, write, short = [part_text(part) for part in elided(results, calls_by_id(answer)).parts]

    assert '5,000 characters that Read {"file_path":"a.txt"} returned. Call it again' in read
    assert "look at what it left" in write
    assert short == "short"
    assert "\n" not in read + write
    assert [part.tool_call_id for part in elided(results, {}).parts if isinstance(part, ToolReturnPart)] == [
        "1",
        "2",
        "3",
    ]


def test_texts_are_counted_by_their_bytes_and_cut_in_the_middle() -> None:
    assert text_tokens("") == 0
    assert text_tokens("abcd") == 2
    assert text_tokens("語") == 1
    cut = clipped("a" * 30_000 + "z", 1000)
    assert text_tokens(cut) <= 1000
    assert cut.startswith("aaa")
    assert cut.endswith("z")
    long = [ModelResponse(parts=[TextPart("x" * 9000)]), ModelResponse(parts=[TextPart("the end")])]
    assert text_tokens(told(long, 500)) <= 500
    assert told(long, 500).endswith("the end")


def test_a_window_is_the_operators_or_what_is_known_of_the_model() -> None:
    assert window_tokens(parsed("anthropic:claude-test"), 5000) == 5000
    assert window_tokens(parsed("anthropic:claude-sonnet-4-5"), None) == 200_000
    assert window_tokens(parsed("openai-chat:my-own"), None) == UNKNOWN_WINDOW_TOKENS
