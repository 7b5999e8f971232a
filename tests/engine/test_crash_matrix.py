"""A worker that is killed at every commit point, around every effect and at random loses and repeats nothing.

The kills are real: SIGKILL to the process that holds the database. Afterwards the rows and the files are
looked at from outside.
"""

import asyncio
import json
import os
import random
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.given import Effects, query
from tests.invariants import violations
from tests.workspaces import files_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "chargehand"
WORKER = Path(__file__).parent / "crash_worker.py"
LEAST_KILLS = 200
LIFE_SECONDS = 60.0

AGENTS = ("effects", "fan", "together", "asker", "deliverer", "shell", "held", "flaky", "broken")
ELSEWHERE = (
    *("backup.", "blobs.", "copying.", "isolation.", "restore."),
    *("retention.", "schedules.", "snapshots.", "webhooks."),
)
PASSED_BY = {
    "deliveries.bytes_kept": "deliverer",
    "deliveries.stored": "deliverer",
    "journal.delegated": "fan",
    "journal.opened": "asker",
    "tasks.answered": "asker",
    "tasks.canceled": "held",
    "tasks.reopened": "broken",
    "tasks.submitted": "effects",
}
"""Points that only some agents pass, or pass once."""


def fail_points() -> list[str]:
    """Every point that the code names, but those that have tests of their own: the one before there are tasks
    (tests/store), those of workspaces of their own (test_isolation.py), of snapshots (test_snapshot_crashes.py), of
    schedules (test_schedule_crashes.py), of webhooks (tests/outgoing), of approvals (test_approval_crashes.py), of
    model calls (there, and test_lost_charges.py), of copies, backups and retention (tests/store,
    tests/service/test_retention.py)."""
    named = re.compile(r'fail_point\("([a-z._]+)"\)')
    found = {name for path in SOURCE.rglob("*.py") for name in named.findall(path.read_text("utf-8"))}
    elsewhere = {"approvals.decided", "journal.unanswered", "migrate.before_commit"}
    return sorted(name for name in found - elsewhere if not name.startswith(ELSEWHERE))


def kill_plan(seed: int) -> Iterator[tuple[str, str]]:
    """Where to die, two lives at a time: each point at several counts, commits at many, and at any moment.

    `NAME:COUNT` is a point and how often it is passed before; `+SECONDS` is a kill from outside.
    """
    chance = random.Random(seed)  # noqa: S311 - a plan that can be repeated, no secret
    counts = {name: (1, 1, 1, 1) if name in PASSED_BY else (1, 2, 3, 4) for name in fail_points()}
    counts |= dict.fromkeys(("store.before_commit", "store.after_commit"), range(11, 37, 2))
    # The sweep finds something only after a death.
    swept = [f"upkeep.swept:{count}" for count in (1, 1, 1, 1)]
    del counts["upkeep.swept"]
    plan = [f"{name}:{count}" for name, tries in counts.items() for count in tries]
    plan += [f"+{0.03 + 0.3 * chance.random():.3f}" for _ in range(30)]
    chance.shuffle(plan)
    yield from zip(["steps.before_effect:2"] * len(swept), swept, strict=True)
    yield from zip(plan[::2], plan[1::2], strict=False)


@dataclass(slots=True)
class Worker:
    """A running crash_worker and what it has said."""

    folder: Path
    process: asyncio.subprocess.Process
    accepted: dict[str, str] = field(default_factory=dict[str, str])
    killed_at: Counter[str] = field(default_factory=Counter[str])
    lives: int = 0

    async def live(self, point: str, orders: Mapping[str, str]) -> None:
        """One life, in which these orders (key, agent) are submitted."""
        self.lives += 1
        by_hand = float(point) if point.startswith("+") else None
        plan = {"point": "" if by_hand else point, "orders": orders}
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(plan)}\n".encode())
        kill: asyncio.TimerHandle | None = None
        status: int | None = None
        while status is None:
            async with asyncio.timeout(LIFE_SECONDS):
                said, *told = (await self._line()).split()
            if said == "life" and by_hand is not None:
                kill = asyncio.get_running_loop().call_later(by_hand, _kill, int(told[0]))
            elif said == "accepted":
                key, task_id = told
                assert self.accepted.setdefault(key, task_id) == task_id, f"{key} was accepted twice"
            elif said == "ended":
                status = int(told[0])
        if kill is not None:
            kill.cancel()
        assert status in (0, -signal.SIGKILL), f"the worker ended with {status} at {point}"
        if status:
            self.killed_at[point.partition(":")[0] if by_hand is None else "any moment"] += 1

    async def _line(self) -> str:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, "the worker is gone"
        return line.decode()


def _kill(pid: int) -> None:
    # Not reaped before the worker program has told of its end, so the id cannot be another process's yet.
    os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def a_worker(folder: Path) -> AsyncGenerator[Worker, None]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("CHARGEHAND_FAIL_POINT", None)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(WORKER),
        str(folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        yield Worker(folder, process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def kill_all_along(folder: Path, seed: int, plan: Iterable[tuple[str, ...]]) -> Worker:
    """One or two deaths, then a life in peace (a third death in a row would rightly be the task's fault); again."""
    chance = random.Random(seed)  # noqa: S311 - a plan that can be repeated, no secret
    async with a_worker(folder) as worker:
        for number, points in enumerate(plan):
            agents = {PASSED_BY.get(point.partition(":")[0], "fan") for point in points}
            agents.add(chance.choice(AGENTS))
            orders = {f"{seed}-{number}-{agent}": agent for agent in sorted(agents)}
            for point in (*points, ""):
                await worker.live(point, {key: orders[key] for key in orders if key not in worker.accepted})
    return worker


def unsound_effects(folder: Path) -> Iterator[str]:
    """Effects against the journal: each attempt had one at most, and none came after the step was done."""
    database = folder / "data" / "chargehand.db"
    marks = Counter(Effects(folder / "effects").marks())
    attempts: dict[tuple[str, str], list[int]] = {}
    for mark, count in marks.items():
        task_id, name, *attempt = mark.split()
        if task_id == "called":
            continue
        attempts.setdefault((task_id, name), []).append(int(attempt[0]))
        if count > 1:
            yield f"{mark} was done {count} times in one attempt"
    statement = "SELECT task_id, name, attempt FROM task_steps WHERE status = 'done' AND name LIKE 'effect-%'"
    for task_id, name, recorded_by in query(database, statement):
        done_by = sorted(attempts.pop((task_id, name), []))
        if not done_by or done_by[-1] != recorded_by:
            yield f"{name} of {task_id} was recorded by attempt {recorded_by} and done by {done_by}"
    if attempts:
        yield f"effects that no finished step accounts for: {sorted(attempts)[:3]}"


def repeated_effects(folder: Path) -> int:
    """How often an effect was done again because its worker died before it was recorded."""
    marks = [mark.split()[:2] for mark in set(Effects(folder / "effects").marks()) if mark[:6] != "called"]
    return len(marks) - len({tuple(mark) for mark in marks})


def repeated_commands(folder: Path) -> list[str]:
    data = folder / "data"
    shells = query(data / "chargehand.db", "SELECT id FROM agent_tasks WHERE agent_id = 'shell'")
    return [
        task_id for (task_id,) in shells if len(files_of(data, task_id).get("bash.txt", "").splitlines()) > 1
    ]


async def test_a_worker_killed_anywhere_loses_no_task_and_repeats_no_finished_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()

    workers = await asyncio.gather(
        *(kill_all_along(folder, seed, kill_plan(seed)) for seed, folder in enumerate(folders, 1))
    )

    killed_at = sum((worker.killed_at for worker in workers), Counter[str]())
    with capsys.disabled():
        told = ", ".join(f"{name} {count}" for name, count in sorted(killed_at.items()))
        lives = sum(worker.lives for worker in workers)
        print(f"\n{killed_at.total()} kills in {lives} lives: {told}")  # noqa: T201 - the evidence
    assert set(killed_at) == {*fail_points(), "any moment"}
    assert killed_at.total() >= LEAST_KILLS
    for worker in workers:
        check(worker, capsys)


def check(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    database = worker.folder / "data" / "chargehand.db"
    stored = {
        task_id: (agent, status, error)
        for task_id, agent, status, error in query(
            database, "SELECT id, agent_id, status, error FROM agent_tasks WHERE parent_id IS NULL"
        )
    }
    keys = dict(query(database, "SELECT key, task_id FROM idempotency_keys"))
    unlike = {
        task_id: (agent, status, error)
        for task_id, (agent, status, error) in stored.items()
        if status != ("canceled" if agent == "held" else "completed")
    }

    assert keys == worker.accepted, "what was accepted is not what is stored"
    assert set(stored) == set(keys.values()), "a task was stored that nobody was told of"
    assert unlike == {}, "tasks that did not end as they should"
    assert violations(database) == []
    assert list(unsound_effects(worker.folder)) == []
    assert repeated_effects(worker.folder) <= 3 * worker.killed_at.total()
    assert repeated_commands(worker.folder) == []
    with capsys.disabled():
        events = query(database, "SELECT count(*) FROM task_events")[0][0]
        tasks = query(database, "SELECT count(*) FROM agent_tasks")[0][0]
        steps = query(database, "SELECT count(*) FROM task_steps WHERE status = 'done'")[0][0]
        print(  # noqa: T201 - the evidence
            f"{worker.folder.name}: {len(stored)} accepted tasks with {tasks - len(stored)} below them, "
            f"{steps} finished steps, {events} events: 0 lost, 0 ended twice, 0 gaps, 0 finished steps repeated; "
            f"{repeated_effects(worker.folder)} effects done again after a death before their record"
        )
