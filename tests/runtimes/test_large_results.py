"""Calls and results that are too large, too deep or no text: told to the model, contained, no other task hurt."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chargehand.domain.task import Status
from chargehand.testkit.server import scripted_models
from chargehand.tools.sandbox import Sandbox
from tests import given
from tests.given import ME
from tests.runtimes.test_model import MODELS, WRITE, a_modelled_core

AGENT = """---
name: writer
description: Writes.
tools: Read, Write, Bash, Grep, TodoWrite
---
You write.
"""
MEGABYTES = 100
MAX_KEPT_BYTES = 8_000_000
"""What all of it may take in the database."""


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def bash(command: str) -> dict[str, Any]:
    return {"name": "Bash", "arguments": {"command": command}}


CALLS: list[tuple[dict[str, Any], str]] = [
    (bash(f"head -c {MEGABYTES}000000 /dev/zero | tr '\\0' a"), "more bytes were written and not kept"),
    (bash(f"head -c {MEGABYTES}000000 /dev/zero"), "more bytes were written and not kept"),
    (bash(f"truncate -s {MEGABYTES}M big; echo needle >> big; echo made"), "made"),
    ({"name": "Read", "arguments": {"file_path": "big"}}, "at most"),
    ({"name": "Grep", "arguments": {"pattern": "needle", "path": "big"}}, ""),
    (bash("printf 'a\\xff\\x00\\xed\\xa0\\x80b'"), "a"),
    ({"name": "Write", "arguments": {"file_path": "x", "content": "a" * 60_000}}, "x"),
    ({"name": "Write", "arguments": {"file_path": 7, "content": None}}, "not accepted"),
    ({"name": "W" * 120, "arguments": {}}, "There is no tool"),
]


@pytest.mark.parametrize("depth", [70, 150, 230, 400])
@pytest.mark.parametrize("provider", MODELS)
async def test_arguments_that_nest_too_deep_are_told_and_the_model_goes_on(
    tmp_path: Path, provider: str, depth: int
) -> None:
    deep = {"name": "Write", "arguments": {"file_path": "x", "content": nested(depth)}}
    turns = [{"calls": [deep]}, {"calls": [WRITE]}, {"text": "Done."}]
    async with a_modelled_core(tmp_path, turns, provider=provider) as (core, models):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert ended.status is Status.COMPLETED, ended.error
        assert (core.settings.workspaces_dir / ended.id / "notes.txt").read_text("utf-8") == "one\n"
        assert not (core.settings.workspaces_dir / ended.id / "x").exists()
        assert len(models.log) == 3


async def test_what_is_too_much_is_told_and_kept_small_and_others_go_on(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    script = [
        {"match": {"prompt_contains": "[other]"}, "turns": [{"calls": [CALLS[2][0]]}, {"text": "Well."}]},
        {"turns": [*({"calls": [call]} for call, _ in CALLS), {"text": "Done."}]},
    ]
    async with scripted_models(script) as models:
        options: dict[str, Any] = {"model": "anthropic:claude-test", "model_urls": {"anthropic": models.url}}
        async with given.a_core(tmp_path, sandbox=sandbox, **options) as core:
            await core.agents.publish(ME, AGENT)
            task = await given.a_task(core, "writer", {"prompt": "Go."})
            other = await given.a_task(core, "writer", {"prompt": "[other]"})
            async with asyncio.timeout(60):
                ended, well = await given.ended(core, task), await given.ended(core, other)

            assert well.status is Status.COMPLETED
            assert ended.status is Status.COMPLETED, ended.error
            found = {step.path: step.result for step in await core.watch.steps(ME, task.id)}
            told = [str(found.get(f"0/{turn}.0")) for turn in range(len(CALLS))]
            assert [
                (said, one[:300]) for (_, said), one in zip(CALLS, told, strict=True) if said not in one
            ] == []
            files = (tmp_path / "data").glob("chargehand.db*")
            assert sum(file.stat().st_size for file in files) < MAX_KEPT_BYTES
