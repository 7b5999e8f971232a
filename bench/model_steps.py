"""What a model agent costs here: CPU per step, a resume, memory per run, runs at once; beside pydantic-ai's Agent.

    python bench/model_steps.py [--quick]

The model is a function in this process, the same for both sides, so that the loop is measured and not HTTP; only
the last part asks a scripted model server, in a process of its own. A step is one answer of the model and the no-op
tool call that it asks for; here both are journaled on SQLite with synchronous=FULL. Absolute figures depend on the
machine and on what else runs there; the ratios are what to read.
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
        runner: Any = core.engine._runner  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess] - as above
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


async def our_step_ms(turns: int, repeats: int) -> float:
    """CPU of a step here, journal and commits included."""
    with tempfile.TemporaryDirectory() as folder:
        async with a_core(Path(folder), InProcess(StepModel(turns))) as core:
            await ended(core, await submitted(core))
            found: list[float] = []
            for _ in range(repeats):
                started = time.process_time()
                await ended(core, await submitted(core))
                found.append((time.process_time() - started) / turns * 1000)
    return statistics.median(found)


async def agent_step_ms(turns: int, repeats: int) -> float:
    """CPU of a step of pydantic-ai's Agent, which keeps nothing."""
    agent = Agent(StepModel(turns), system_prompt=PROMPT)

    @agent.tool_plain(name="Read")
    async def read(file_path: str, offset: int = 1, limit: int = 100) -> str:  # pyright: ignore[reportUnusedFunction] - the Agent calls it
        del file_path, offset, limit
        return RESULT

    found: list[float] = []
    for _ in range(repeats + 1):
        started = time.process_time()
        await agent.run("Go.", usage_limits=UsageLimits(request_limit=None))
        found.append((time.process_time() - started) / turns * 1000)
    return statistics.median(found[1:])


async def resume_ms(turns: int, repeats: int) -> tuple[float, float]:
    """Wall and CPU from the journal's load to the next request, of a task with so many turns behind it."""
    loaded: list[tuple[float, float]] = []
    load = Journal.load

    async def noted(self: Journal, task: Task) -> dict[str, Step]:
        loaded.append((time.perf_counter(), time.process_time()))
        return await load(self, task)

    found: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        Journal.load = noted
        try:
            for life in range(repeats + 2):
                requests = InProcess(StepModel(turns), held_at=turns - 1)
                async with a_core(Path(folder), requests) as core:
                    if life == 0:
                        await submitted(core)
                    await until(lambda held=requests: held.held == 1)
                if life > 1:  # The first takes the turns, the second imports what only a resume needs.
                    [asked] = requests.asked
                    found.append((asked[0] - loaded[-1][0], asked[1] - loaded[-1][1]))
        finally:
            Journal.load = load
    wall, cpu = (statistics.median(one[part] for one in found) * 1000 for part in (0, 1))
    return wall, cpu


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


async def at_once(count: int, lease_seconds: float) -> tuple[float, float, int]:
    """Wall, CPU and leases lost of so many runs that are answered at once by a server that takes its time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        turn = {"text": "w" * 1500, "delay_seconds": SLOW_SECONDS}
        (folder / "script.yaml").write_text(json.dumps([{"turns": [turn]}]), encoding="utf-8")
        with model_server(folder / "script.yaml") as url:
            settings = Settings(
                data_dir=folder / "data",
                slots=count,
                sandbox="none",
                model="anthropic:scripted",
                model_urls={"anthropic": url},
                lease_seconds=lease_seconds,
            )
            async with open_core(settings) as core:
                await core.agents.publish(ME, DEFINITION)
                wall, cpu = time.perf_counter(), time.process_time()
                await ended(core, await submitted(core, count))
                took = time.perf_counter() - wall, time.process_time() - cpu
            with closing(sqlite3.connect(settings.database_path)) as rows:
                statement = "SELECT count(*) FROM task_events WHERE kind = 'task.rescued'"
                return *took, rows.execute(statement).fetchone()[0]


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
    for turns in (10, 200):
        ours = asyncio.run(our_step_ms(turns, repeats * (5 if turns == 10 else 1)))
        theirs = asyncio.run(agent_step_ms(turns, repeats * (5 if turns == 10 else 1)))
        label = f"CPU ms per step, {turns} turns (theirs: no journal)"
        out.write(f"{label:46}{ours:12.2f}{theirs:14.2f}{ours / theirs:8.2f}\n")
    wall, cpu = asyncio.run(resume_ms(200, repeats))
    out.write(f"{'resume of 200 turns, ms wall (CPU)':46}{wall:12.1f}  ({cpu:.1f})\n")
    count = 200 if quick else 1000
    if sys.platform == "linux":
        out.write(f"{f'KiB per waiting run, {count} at once':46}{asyncio.run(kib_per_run(count)):12.1f}\n")
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    wall, cpu, lost = asyncio.run(at_once(200, 5.0))
    label = f"200 runs at once on one core, each {SLOW_SECONDS:g} s"
    out.write(f"{label:46}{wall:10.1f} s  CPU {cpu:.1f} s, leases of 5 s lost: {lost}\n")


if __name__ == "__main__":
    main()
