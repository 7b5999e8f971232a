"""What a model agent costs here: CPU per turn, a resume, memory per run, runs at once; beside pydantic-ai's Agent.

    python bench/model_steps.py [--quick]

The model is a function in this process, the same for both sides, so that the loop is measured and not HTTP; only
the last part asks a scripted model server, in a process of its own. A turn is one answer of the model and the no-op
tool call that it asks for; here each of the two is a step of the journal on SQLite with synchronous=FULL. Absolute
figures depend on the machine and on what else runs there; the ratios are what to read.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import structlog
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage, UsageLimits

from chargehand.app.core import Core, open_core
from chargehand.domain.access import LOCAL_OPERATOR as ME
from chargehand.domain.history import Step
from chargehand.domain.task import Status, Task, TaskOrder
from chargehand.engine.embedded import EmbeddedEngine
from chargehand.service.journal import Journal
from chargehand.service.watch import Delta
from chargehand.settings import Settings
from chargehand.tools.base import FunctionTool, ToolContext, ToolResult
from chargehand.tools.catalogue import catalogue

PROMPT = "You work in small steps. " * 40
DEFINITION = f"""---
name: stepper
description: Takes many steps.
tools: Read
chargehand:
  budget: {{steps: 100000}}
---
{PROMPT}
"""
ARGUMENTS = {"file_path": "notes.txt", "limit": 100}
RESULT = "a line of some length\n" * 20
SLOW_SECONDS = 10.0


def turns_so_far(messages: Sequence[ModelMessage]) -> int:
    """How often the model has answered."""
    return len(messages) // 2


class StepModel(Model):
    """Answers so often: calls the tool, and at last says that it is done. It reads nothing, so it costs nothing."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self._turns = turns
        self.asked_at: list[float] = []

    @property
    def model_name(self) -> str:
        return "in-process"

    @property
    def system(self) -> str:
        return "bench"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        del model_settings, model_request_parameters
        self.asked_at.append(time.process_time())
        turn = turns_so_far(messages)
        usage = RequestUsage(input_tokens=100, output_tokens=10)
        if turn >= self._turns - 1:
            return ModelResponse(parts=[TextPart("Done.")], usage=usage)
        call = ToolCallPart("Read", {**ARGUMENTS, "offset": turn + 1}, f"call-{turn}")
        return ModelResponse(parts=[call], usage=usage)


@dataclass(slots=True)
class InProcess:
    """Stands where the requests over HTTP stand. `held_at`: the turn whose answer never comes."""

    model: StepModel
    held_at: int | None = None
    asked: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    held: int = 0

    async def ask(
        self, name: object, messages: Sequence[ModelMessage], tools: Sequence[Any], **_: object
    ) -> ModelResponse:
        del name
        self.asked.append((time.perf_counter(), time.process_time()))
        if self.held_at is not None and turns_so_far(messages) >= self.held_at:
            self.held += 1
            await asyncio.Event().wait()
        parameters = ModelRequestParameters(function_tools=list(tools))
        return await self.model.request(list(messages), None, parameters)

    async def close(self) -> None:
        """Nothing to close."""


async def _no_work(context: ToolContext, arguments: BaseModel) -> ToolResult:
    del context, arguments
    return ToolResult(content=RESULT)


@asynccontextmanager
async def a_core(folder: Path, requests: InProcess, *, slots: int = 1) -> AsyncGenerator[Core, None]:
    """A core whose model and whose only tool are in this process."""
    settings = Settings(
        data_dir=folder,
        slots=slots,
        sandbox="none",
        model="anthropic:in-process",
        model_urls={"anthropic": "http://127.0.0.1:1"},
        shutdown_grace_seconds=0,
    )
    async with open_core(settings) as core:
        core.runtimes.model._requests = requests  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue] - no other way in
        runner: Any = core.engine.carrier.runner  # pyright: ignore[reportOptionalMemberAccess] - it has one
        read = catalogue()["Read"]
        tool = FunctionTool(
            name="Read",
            description=read.description,
            arguments=read.arguments,
            risk=read.risk,
            after_crash=read.after_crash,
            run=_no_work,
        )
        object.__setattr__(runner, "catalogue", {"Read": tool})
        await core.agents.publish(ME, DEFINITION)
        yield core


async def submitted(core: Core, count: int = 1) -> list[Task]:
    """So many tasks."""
    order = TaskOrder(agent_id="stepper", task_data={"prompt": "Go."})
    return [(await core.tasks.submit(ME, order)).task for _ in range(count)]


async def ended(core: Core, tasks: Sequence[Task]) -> None:
    """Returns when all have completed. Who waits by the events would read along, and be measured with them."""
    engine = cast("EmbeddedEngine", core.engine)
    await until(lambda: engine.running > 0)
    await until(lambda: engine.running == 0)
    for task in tasks:
        found = await core.watch.wait(ME, task.id, 600)
        if found.status is not Status.COMPLETED:
            raise SystemExit(f"a task is {found.status}: {found.error}")


async def our_turns_ms(turns: int, repeats: int) -> list[float]:
    """CPU of each turn here, journal and commits included: from one request to the next; the medians of all repeats."""
    with tempfile.TemporaryDirectory() as folder:
        requests = InProcess(StepModel(turns))
        async with a_core(Path(folder), requests) as core:
            await ended(core, await submitted(core))
            runs: list[list[float]] = []
            for _ in range(repeats):
                requests.asked.clear()
                await ended(core, await submitted(core))
                at = [cpu for _, cpu in requests.asked]
                runs.append([(later - earlier) * 1000 for earlier, later in pairwise(at)])
    return [statistics.median(one) for one in zip(*runs, strict=True)]


async def agent_turns_ms(turns: int, repeats: int) -> list[float]:
    """CPU of each turn of pydantic-ai's Agent, which keeps nothing."""
    model = StepModel(turns)
    agent = Agent(model, system_prompt=PROMPT)

    @agent.tool_plain(name="Read")
    async def read(file_path: str, offset: int = 1, limit: int = 100) -> str:  # pyright: ignore[reportUnusedFunction] - the Agent calls it
        del file_path, offset, limit
        return RESULT

    runs: list[list[float]] = []
    for _ in range(repeats + 1):
        model.asked_at.clear()
        await agent.run("Go.", usage_limits=UsageLimits(request_limit=None))
        runs.append([(later - earlier) * 1000 for earlier, later in pairwise(model.asked_at)])
    return [statistics.median(one) for one in zip(*runs[1:], strict=True)]


async def resume_ms(turns: int, count: int) -> tuple[float, float, float]:
    """Wall of a service's first resume, then wall and CPU of its further ones (the medians): from the journal's load
    to the next request, of tasks with so many turns behind them, one after the other.
    """
    loaded: list[tuple[float, float]] = []
    load = Journal.load

    async def noted(self: Journal, task: Task) -> dict[str, Step]:
        loaded.append((time.perf_counter(), time.process_time()))
        return await load(self, task)

    with tempfile.TemporaryDirectory() as folder:
        requests = InProcess(StepModel(turns), held_at=turns - 1)
        async with a_core(Path(folder), requests, slots=count) as core:
            left = await submitted(core, count)
            await until(lambda: requests.held == count)
        gc.collect()
        Journal.load = noted
        try:
            requests = InProcess(StepModel(turns))
            async with a_core(Path(folder), requests) as core:
                await ended(core, left)
        finally:
            Journal.load = load
    found = [
        ((asked[0] - begun[0]) * 1000, (asked[1] - begun[1]) * 1000)
        for begun, asked in zip(loaded, requests.asked, strict=True)
    ]
    wall, cpu = (statistics.median(one[part] for one in found[1:]) for part in (0, 1))
    return found[0][0], wall, cpu


async def kib_per_run(count: int) -> float:
    """Growth of this process by a run that waits for its fourth answer, with so many at once."""
    with tempfile.TemporaryDirectory() as folder:
        requests = InProcess(StepModel(10), held_at=3)
        async with a_core(Path(folder), requests, slots=count) as core:
            await submitted(core, 20)
            await until(lambda: requests.held == 20)
            before = resident_kib()
            await submitted(core, count - 20)
            await until(lambda: requests.held == count)
            return (resident_kib() - before) / (count - 20)


def resident_kib() -> float:
    """This process's memory, garbage collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


async def at_once(count: int, lease_seconds: float, *, watched: bool) -> "AtOnce":
    """So many runs that a slow server answers at once; `watched`: each is streamed to somebody."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        turns: list[dict[str, object]] = [{"text": "w" * 1500, "delay_seconds": SLOW_SECONDS}]
        if watched:
            # The first turn leaves time to begin watching: an answer is streamed when somebody does.
            call = {"name": "Read", "arguments": ARGUMENTS}
            turns = [
                {"calls": [call], "delay_seconds": 2},
                {"text": "w " * 750, "stream_seconds": SLOW_SECONDS},
            ]
        (folder / "script.yaml").write_text(json.dumps([{"turns": turns}]), encoding="utf-8")
        with model_server(folder / "script.yaml") as url:
            settings = Settings(
                data_dir=folder / "data",
                slots=count,
                sandbox="none",
                model="anthropic:scripted",
                model_urls={"anthropic": url},
                model_concurrency=count,
                lease_seconds=lease_seconds,
            )
            async with open_core(settings) as core:
                await core.agents.publish(ME, DEFINITION)
                wall, cpu = time.perf_counter(), time.process_time()
                told: list[int] = []
                if watched:
                    watching: list[asyncio.Task[int]] = []
                    for _ in range(count):
                        [task] = await submitted(core)
                        watching.append(asyncio.create_task(pieces(core, task)))
                    told = await asyncio.gather(*watching)
                else:
                    await ended(core, await submitted(core, count))
                took = time.perf_counter() - wall, time.process_time() - cpu
            with closing(sqlite3.connect(settings.database_path)) as rows:
                statement = "SELECT count(*) FROM task_events WHERE kind = 'task.rescued'"
                lost = rows.execute(statement).fetchone()[0]
            return AtOnce(*took, lost, min(told, default=0))


@dataclass(frozen=True, slots=True)
class AtOnce:
    """What many runs at once came to."""

    wall: float
    cpu: float
    lost: int
    fewest_pieces: int


async def pieces(core: Core, task: Task) -> int:
    """Watch a task to its end: how many pieces of the answer were told."""
    count = 0
    async for told in core.watch.follow_live(ME, task.id):
        count += isinstance(told, Delta)
    return count


@contextmanager
def model_server(script: Path) -> Generator[str]:
    """The scripted model server, in a process of its own: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "chargehand", "dev", "model-server", str(script), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own arguments
    try:
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


async def until(holds: Callable[[], bool]) -> None:
    """Returns when it holds."""
    async with asyncio.timeout(300):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.02)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats, fewer runs at once")
    quick = parser.parse_args().quick
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    out, repeats = sys.stdout, 1 if quick else 5
    out.write(f"{'':46}{'chargehand':>12}{'pydantic-ai':>14}{'ratio':>8}\n")
    ours = asyncio.run(our_turns_ms(200, repeats))
    theirs = asyncio.run(agent_turns_ms(200, repeats))
    for first, last in ((5, 15), (90, 110), (185, 198)):
        mine, other = (statistics.median(one[first:last]) for one in (ours, theirs))
        label = f"CPU ms per turn, turns {first} to {last}"
        out.write(f"{label:46}{mine:12.2f}{other:14.2f}{mine / other:8.2f}\n")
    out.write(f"{'  of which one journaled step (median of all)':46}{statistics.median(ours) / 2:12.2f}\n")
    first_wall, wall, cpu = asyncio.run(resume_ms(200, 7 if quick else 15))
    out.write(
        f"{'resume of 200 turns, ms wall (CPU)':46}{wall:12.1f}  ({cpu:.1f}); a service's first {first_wall:.1f}\n"
    )
    count = 200 if quick else 1000
    if sys.platform == "linux":
        out.write(f"{f'KiB per waiting run, {count} at once':46}{asyncio.run(kib_per_run(count)):12.1f}\n")
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for watched in (False, True):
        found = asyncio.run(at_once(200, 5.0, watched=watched))
        label = f"200 {'streaming' if watched else 'silent'} runs on one core, each {SLOW_SECONDS:g} s"
        more = f", each in {found.fewest_pieces} pieces or more" if watched else ""
        out.write(
            f"{label:46}{found.wall:10.1f} s  CPU {found.cpu:.1f} s, leases of 5 s lost: {found.lost}{more}\n"
        )


if __name__ == "__main__":
    main()
