"""A model agent that is killed at random moments asks no question twice whose answer it had recorded.

The models are the scripted server, in this process, which no kill reaches: its log says from outside what was
asked. The tools leave lines in the workspace, which say from outside what was done.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from chargehand.testkit.server import Scripted, scripted_models
from tests.given import query
from tests.invariants import violations
from tests.workspaces import files_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")

WORKER = Path(__file__).parent / "model_crash_worker.py"
ROOT = Path(__file__).parents[2]
KILLS = {"sqlite": 100, "postgresql": 10, "mysql": 10}
CALLS = 40
MOST_TASKS = 40
LIFE_SECONDS = 60.0


def turns() -> list[dict[str, Any]]:
    """40 tool calls: each appends a line by a command, or writes a file; then the result."""
    said: list[dict[str, Any]] = []
    for number in range(CALLS):
        if number % 2:
            call = {"name": "Write", "arguments": {"file_path": f"{number}.txt", "content": f"{number}\n"}}
        else:
            call = {"name": "Bash", "arguments": {"command": f"echo {number} >> lines.txt"}}
        said.append({"calls": [call], "delay_seconds": 0.01, "usage": {"input": 100, "output": 10}})
    return [*said, {"text": "All is done."}]


@dataclass(slots=True)
class Worker:
    """The running worker program."""

    process: asyncio.subprocess.Process
    models: str
    tasks: dict[str, str] = field(default_factory=dict[str, str])
    kills: int = 0
    losses: int = 0
    """Deaths since the last step that was recorded."""

    async def live(self, key: str, kill_after_seconds: float | None) -> bool:
        """One life; whether it saw the task's end. The kill's time counts from the task's acceptance.

        After two deaths without a step between it counts from the first step: a third would rightly be the
        task's fault.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps({'models': self.models, 'key': key})}\n".encode())
        counts_from = "step" if self.losses >= 2 else "task"
        pid, kill = 0, None
        async with asyncio.timeout(LIFE_SECONDS):
            while True:
                what, told = await self._line()
                if what == "life":
                    pid = int(told)
                elif what == "task":
                    assert self.tasks.setdefault(key, told) == told, f"{key} was accepted twice"
                elif what == "step":
                    self.losses = 0
                else:
                    break
                if what == counts_from and kill is None and kill_after_seconds is not None:
                    loop = asyncio.get_running_loop()
                    kill = loop.call_later(kill_after_seconds, os.kill, pid, signal.SIGKILL)
        if kill is not None:
            kill.cancel()
        assert int(told) in (0, -signal.SIGKILL)
        self.kills += told != "0"
        self.losses += told != "0"
        return told == "0"

    async def _line(self) -> list[str]:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, "the worker is gone"
        return line.decode().split()


@asynccontextmanager
async def a_worker(folder: Path, models: str) -> AsyncGenerator[Worker, None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(WORKER),
        str(folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])},
    )
    try:
        yield Worker(process, models)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def test_a_model_agent_killed_again_and_again_repeats_nothing_that_was_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], database: str
) -> None:
    chance = random.Random(7)  # noqa: S311 - a plan that can be repeated, no secret
    keys = [f"task-{number}" for number in range(MOST_TASKS)]
    script = [{"match": {"prompt_contains": f"[{key}]"}, "turns": turns()} for key in keys]
    async with scripted_models(script) as models, a_worker(tmp_path, models.url) as worker:
        assert await worker.live(keys[0], None)
        for key in keys[1:]:
            if worker.kills >= KILLS[database]:
                break
            while not await worker.live(key, 0.1 + 0.3 * chance.random()):
                pass
    assert worker.kills >= KILLS[database]
    check(tmp_path, worker, models)
    with capsys.disabled():
        asked = sum(one.turn is not None for one in models.log)
        needed = len(worker.tasks) * (CALLS + 1)
        print(  # noqa: T201 - the evidence
            f"\n{database}: {worker.kills} kills over {len(worker.tasks)} tasks of {CALLS} tool calls: {asked}"
            f" requests for {needed} answers, none asked for again that was recorded; no tool effect twice"
        )


def check(folder: Path, worker: Worker, models: Scripted) -> None:
    database = folder / "data" / "chargehand.db"
    results = {
        key: query(database, "SELECT status, result, error FROM agent_tasks WHERE id = ?", task_id)[0]
        for key, task_id in worker.tasks.items()
    }
    assert set(results.values()) == {results["task-0"]}, "not every result is that of the undisturbed run"
    assert results["task-0"][0] == "completed"
    assert violations(database) == []
    for number, (key, task_id) in enumerate(worker.tasks.items()):
        assert asked_again(database, task_id, number, models) == [], key
        files = files_of(folder / "data", task_id)
        lines = files["lines.txt"].splitlines()
        assert sorted(set(lines), key=int) == sorted(lines, key=int), f"{key}: a command took effect twice"
        assert len(missing(lines)) <= unknown_outcomes(database, task_id), f"{key}: a command is missing"
        assert all(files[f"{one}.txt"] == f"{one}\n" for one in range(1, CALLS, 2))


def asked_again(database: Path, task_id: str, conversation: int, models: Scripted) -> list[str]:
    """Requests of a conversation that began after their answer had been recorded."""
    statement = "SELECT path, finished_at FROM task_steps WHERE task_id = ? AND kind = 'model'"
    recorded = {
        path: datetime.fromtimestamp(at / 1e6).astimezone()
        for path, at in query(database, statement, task_id)
    }
    return [
        f"turn {one.turn} at {one.time}"
        for one in models.log
        if one.conversation == conversation and datetime.fromisoformat(one.time) > recorded[f"0/{one.turn}"]
    ]


def missing(lines: Sequence[str]) -> set[int]:
    return set(range(0, CALLS, 2)) - {int(line) for line in lines}


def unknown_outcomes(database: Path, task_id: str) -> int:
    statement = "SELECT count(*) FROM task_steps WHERE task_id = ? AND result LIKE '%outcome_unknown%'"
    return query(database, statement, task_id)[0][0]
