"""A worker that is killed around an approval asks a person once, and runs what was approved, at most once.

The kills are real. The models' log and the files say from outside what was asked and what was done.
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chargehand.testkit.server import Scripted, scripted_models
from tests.given import query
from tests.invariants import violations
from tests.workspaces import files_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")

WORKER = Path(__file__).parent / "approval_crash_worker.py"
ROOT = Path(__file__).parents[2]
LIFE_SECONDS = 60.0
LIMITED = ["journal.unanswered", "journal.opened:4"]
"""Points of a request that was put off, by the provider's limit."""
POINTS = [
    *("journal.opened:1", "journal.opened:3"),
    *("approvals.decided:1", "approvals.decided:3"),
    *("steps.before_effect:2", "steps.after_effect:2", "steps.after_effect:4"),
    *(f"store.before_commit:{count}" for count in (6, 8, 10)),
    *(f"store.after_commit:{count}" for count in (7, 9)),
    *LIMITED,
]
ASKED = {"name": "Bash", "arguments": {"command": "echo asked >> lines.txt"}}
DENIED = {"name": "Bash", "arguments": {"command": "echo denied >> lines.txt"}}
WRITE = {"name": "Write", "arguments": {"file_path": "a.txt", "content": "a"}}


@dataclass(slots=True)
class Worker:
    """The running worker program, and the tasks by the point at which it was killed over them."""

    process: asyncio.subprocess.Process
    models: str
    tasks: dict[str, str] = field(default_factory=dict[str, str])

    async def live(self, key: str, point: str) -> int:
        """One life; how it ended."""
        plan = {"models": self.models, "key": key, "point": point}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{json.dumps(plan)}\n".encode())
        async with asyncio.timeout(LIFE_SECONDS):
            while True:
                what, told = (await self.process.stdout.readline()).decode().split()
                if what == "ended":
                    return int(told)
                assert self.tasks.setdefault(key, told) == told, f"{key} was accepted twice"


def turns(point: str) -> list[dict[str, Any]]:
    limited = {"fault": {"status": 429, "retry_after": 0, "times": 1}} if point in LIMITED else {}
    return [{"calls": [ASKED, DENIED, WRITE]}, {"text": "All is done.", **limited}]


async def test_kills_around_approvals_ask_nobody_twice_and_run_only_what_was_approved(
    tmp_path: Path, database: str
) -> None:
    # On a server commits come in another number.
    points = POINTS if database == "sqlite" else [one for one in POINTS if not one.startswith("store.")]
    script = [{"match": {"prompt_contains": f"[{key}]"}, "turns": turns(key)} for key in points]
    async with scripted_models(script) as models:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(WORKER),
            str(tmp_path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])},
        )
        worker = Worker(process, models.url)
        for point in points:
            assert await worker.live(point, point) == -signal.SIGKILL, f"{point} was never passed"
            assert await worker.live(point, "") == 0
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
        file = tmp_path / "data" / "chargehand.db"
        assert violations(file) == []
        for number, point in enumerate(points):
            check(file, number, worker.tasks[point], point, models)


def check(database: Path, number: int, task_id: str, point: str, models: Scripted) -> None:
    def rows(statement: str) -> list[Any]:
        return query(database, statement, task_id)

    assert rows("SELECT status FROM agent_tasks WHERE id = ?") == [("completed",)], point
    decided = rows("SELECT path, status FROM approvals WHERE task_id = ? ORDER BY path")
    said = ["edited", "denied", "approved"]
    assert decided == [(f"0/0.{index}.approval", status) for index, status in enumerate(said)], point
    kinds = "SELECT count(*) FROM task_events WHERE task_id = ? AND kind = "
    for kind in ("approval.requested", "approval.decided"):
        assert rows(f"{kinds}'{kind}'") == [(3,)], (point, kind)
    assert rows("SELECT count(*) FROM task_charges WHERE task_id = ? AND status = 'reserved'") == [(0,)], (
        point
    )
    charged = rows("SELECT path, status FROM task_charges WHERE task_id = ? ORDER BY path, number")
    assert [path for path, status in charged if status == "settled"] == ["0/0", "0/1"], point
    asked = [one.turn for one in models.log if one.conversation == number]
    # A charge without a request is one whose worker died between the two; a request without a charge is none.
    assert [status for _, status in charged].count("lost") <= 1, point
    least = sum(status != "lost" for _, status in charged)
    assert least <= len(asked) <= len(charged), (point, "an answer was asked for outside of the ledger")

    unknown = rows("SELECT count(*) FROM task_steps WHERE task_id = ? AND result LIKE '%outcome_unknown%'")
    files = files_of(database.parent, task_id)
    lines = files.get("lines.txt", "").split()
    assert lines in (["edited"], []), (point, "what was not approved was run, or it was run twice")
    assert len(lines) + unknown[0][0] >= 1, (point, "what was approved was not run, and nobody is told")
    assert files["a.txt"] == "a", point
