"""Every fault of a provider, in every protocol: the task ends as its policy says, and others go on unhurt."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.history import EventKind
from chargehand.domain.task import Status, Task
from chargehand.testkit.server import Scripted, scripted_models
from tests import given
from tests.given import ME
from tests.runtimes.test_model import BASE_PATHS, DEFINITION, MODELS, READ, WRITE

BYTES = 200_000
FIRST_BYTE_SECONDS, IDLE_SECONDS, TOTAL_SECONDS = 3.0, 3.0, 8.0
"""Long enough that a busy machine makes none of them by itself."""
WELL = "All is well. " * 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault, and what it must come to: `said` in the error, or the task completes."""

    fault: Mapping[str, Any]
    said: str = ""
    requests: int = 2
    waits: bool = True
    google: "Case | None" = None
    """Where the protocol can have no such fault, what comes instead."""


def passing(**fault: Any) -> Case:
    """It comes once; the task waits and completes with the second request."""
    return Case(fault={**fault, "times": 1})


CASES = {
    "limited": passing(status=429, retry_after=30),
    "limited until a date": passing(status=429, retry_after=30, retry_after_as_date=True),
    "server error": passing(status=500),
    "unavailable": passing(status=503),
    "overloaded": passing(status=529),
    "hang before": passing(hang_before=True),
    "hang midstream": passing(hang_midstream=True),
    "cut midstream": passing(cut_midstream=True),
    "large": passing(huge_body_bytes=3_000_000),
    "endless": passing(endless=True),
    "bomb": passing(gzip_bomb_bytes=20_000_000),
    "drip": passing(drip_seconds=0.2),
    "garbage": passing(garbage=True),
    "other schema": passing(other_schema=True),
    "other type": passing(other_type=True),
    "empty": passing(empty=True),
    # Told to the model, which calls again. Gemini has arguments as JSON: a text there is another schema.
    "bad arguments": Case(
        fault={"bad_json_arguments": True, "times": 1},
        waits=False,
        google=Case(fault={"bad_json_arguments": True, "times": 1}, requests=3),
    ),
    "wrong key": Case(fault={"status": 401}, said="to a valid one", requests=1, waits=False),
    "unknown model": Case(fault={"status": 404}, said="has no model", requests=1, waits=False),
    "refused": Case(fault={"status": 400}, said="status 400", requests=1, waits=False),
    "redirect": Case(fault={"redirect": True}, said="is not followed", requests=1, waits=False),
    "always down": Case(fault={"status": 500}, said="after 8 tries: ", requests=8),
    "always large": Case(fault={"huge_body_bytes": 3_000_000}, said=f"more than {BYTES} bytes"),
}


def script() -> list[Any]:
    faulty = [
        {
            "match": {"prompt_contains": f"[{name}]"},
            "turns": [
                {"thinking": "Is it?", "text": WELL, "fault": case.fault}
                if name != "bad arguments"
                else {"calls": [WRITE], "fault": case.fault},
                {"text": WELL},
            ],
        }
        for name, case in CASES.items()
    ]
    unhurt = [{"calls": [call], "delay_seconds": 0.05} for call in (WRITE, READ) * 5]
    return [*faulty, {"match": {"prompt_contains": "[unhurt]"}, "turns": [*unhurt, {"text": "Done."}]}]


@asynccontextmanager
async def everything_at_once(
    folder: Path, provider: str, clock: given.TestClock
) -> AsyncGenerator[tuple[Core, Scripted, dict[str, Task]], None]:
    """One core in which a task for each fault, and one that must not be hurt, run at the same time."""
    async with scripted_models(script()) as models:
        opened = given.a_core(
            folder,
            clock=clock,
            slots=len(CASES) + 1,
            lease_seconds=3600,
            model=MODELS[provider],
            model_urls={provider: models.url + BASE_PATHS[provider]},
            model_first_byte_seconds=FIRST_BYTE_SECONDS,
            model_idle_seconds=IDLE_SECONDS,
            model_timeout_seconds=TOTAL_SECONDS,
            model_answer_bytes=BYTES,
            model_circuit_failures=1000,
        )
        async with opened as core:
            await core.agents.publish(ME, DEFINITION)
            names = [*CASES, "unhurt"]
            tasks = {name: await given.a_task(core, "writer", {"prompt": f"[{name}]"}) for name in names}
            yield core, models, tasks


async def all_ended(core: Core, tasks: Mapping[str, Task], clock: given.TestClock) -> dict[str, Task]:
    """All of them as they ended; time passes by itself."""

    async def have_ended() -> bool:
        clock.advance(70)
        return all([(await core.watch.get(ME, task.id)).status.is_final for task in tasks.values()])

    await given.eventually(have_ended)
    return {name: await core.watch.get(ME, task.id) for name, task in tasks.items()}


@pytest.mark.parametrize("is_watched", [False, True])
@pytest.mark.parametrize("provider", MODELS)
async def test_each_fault_ends_as_its_policy_says_and_hurts_no_other_task(
    tmp_path: Path, provider: str, is_watched: bool
) -> None:
    clock = given.TestClock()
    async with everything_at_once(tmp_path, provider, clock) as (core, models, tasks):
        watching = [asyncio.ensure_future(_watch(core, task)) for task in tasks.values() if is_watched]
        ended = await all_ended(core, tasks, clock)
        await asyncio.gather(*watching)

        found = {name: await _outcome(core, models, index, ended[name]) for index, name in enumerate(tasks)}
        unhurt = found.pop("unhurt")
        wanted = {
            name: _wanted(case.google if case.google and provider == "google" else case)
            for name, case in CASES.items()
        }
        shown = {
            name: (status, said if wanted[name][1] not in said else wanted[name][1], requests, waits)
            for name, (status, said, requests, waits) in found.items()
        }
        assert shown == wanted
        assert unhurt == (Status.COMPLETED, "", 11, False)
        if is_watched:
            assert any(one.is_streamed for one in models.log)
        else:
            assert not any(one.is_streamed for one in models.log)


def _wanted(case: Case) -> tuple[Status, str, int, bool]:
    return (Status.FAILED if case.said else Status.COMPLETED, case.said, case.requests, case.waits)


async def _outcome(
    core: Core, models: Scripted, conversation: int, task: Task
) -> tuple[Status, str, int, bool]:
    """How the task ended, with which words, after how many requests, and whether it waited in between."""
    requests = sum(one.conversation == conversation for one in models.log)
    waits = EventKind.WAITING in await given.kinds(core, task)
    return task.status, str((task.error or {}).get("message", "")), requests, waits


async def _watch(core: Core, task: Task) -> None:
    async for _ in core.watch.follow_live(ME, task.id):
        pass
