"""The main job, killed with SIGKILL ten times over its run and resumed each time: it delivers, and pays once."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

WHOLE_SECONDS = 600


def _events(count: int) -> str:
    return f"SELECT count(*) >= {count} FROM task_events"  # noqa: S608 - a number of this file


def _carries_out(agent_id: str, kind: str) -> str:
    return f"""SELECT count(*) FROM task_steps JOIN agent_tasks ON id = task_id
        WHERE agent_id = '{agent_id}' AND kind = '{kind}' AND name NOT LIKE 'Write'
        AND task_steps.status = 'running'"""  # noqa: S608 - words of this file


MOMENTS = (
    _events(3),
    _events(60),
    _events(140),
    _events(220),
    _events(300),
    _carries_out("api-documenter", "tool"),
    _carries_out("test-automator", "tool"),
    _carries_out("security-auditor", "tool"),
    _carries_out("performance-optimizer", "tool"),
    _carries_out("backend-developer", "check"),
)
"""When the process is killed: each query is true once the run has come so far."""

DELIVERED = (
    "README.md",
    "docs/architecture.md",
    "docs/data-model.md",
    "docs/api.md",
    "docs/testing.md",
    "docs/security.md",
    "benchmarks/report.md",
    "deploy/README.md",
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's; Windows is untried")


def test_the_demo_killed_ten_times_delivers_and_runs_no_finished_step_twice(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "delivered"

    for number, moment in enumerate(MOMENTS):
        life = _start(data, out, resume=number > 0)
        _kill_at(life, data, moment)
    last = _start(data, out, resume=True)
    assert last.wait(timeout=WHOLE_SECONDS) == 0

    assert [name for name in DELIVERED if not next(out.rglob(name), None)] == []
    _check_history(data / "chargehand.db")


def _start(data: Path, out: Path, *, resume: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "chargehand", "demo", "--out", str(out), "--keep"]
    environment = {**os.environ, "CHARGEHAND_DATA_DIR": str(data), "CHARGEHAND_DISK_RESERVE_BYTES": "0"}
    with (data.parent / "demo.log").open("ab") as log:
        return subprocess.Popen(
            [*command, *(["--resume"] if resume else [])],
            env=environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )


def _kill_at(life: subprocess.Popen[bytes], data: Path, moment: str) -> None:
    """SIGKILL the life as soon as the store says that the moment has come; a life that ends before fails."""
    deadline = time.monotonic() + WHOLE_SECONDS
    while time.monotonic() < deadline and not _has_come(data / "chargehand.db", moment):
        assert life.poll() is None, (data.parent / "demo.log").read_text(encoding="utf-8")[-3000:]
        # Another process's rows: there is nothing to wait on but the clock.
        time.sleep(0.02)
    life.send_signal(signal.SIGKILL)
    life.wait()


def _has_come(database: Path, moment: str) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return bool(connection.execute(moment).fetchone()[0])
    except sqlite3.OperationalError:
        return False


def _check_history(database: Path) -> None:
    """Every task ended once, without a gap; no step that had finished began again."""
    with closing(sqlite3.connect(database)) as connection:
        tasks = connection.execute("SELECT id, status, last_event FROM agent_tasks").fetchall()
        rows = connection.execute(
            "SELECT task_id, sequence, kind, json_extract(data, '$.path') FROM task_events ORDER BY task_id, sequence"
        ).fetchall()
        unfinished = connection.execute("SELECT count(*) FROM task_steps WHERE status != 'done'").fetchone()[
            0
        ]
    assert len(tasks) == 8
    assert {status for _, status, _ in tasks} == {"completed"}
    assert unfinished == 0
    for task_id, _, last in tasks:
        mine = [row for row in rows if row[0] == task_id]
        assert [row[1] for row in mine] == list(range(1, last + 1))
        assert [row[2] for row in mine if row[2] in ("task.completed", "task.failed", "task.canceled")] == [
            "task.completed"
        ]
        finished: Counter[str] = Counter()
        for _, _, kind, path in mine:
            if kind == "step.started":
                assert finished[path] == 0, f"step {path} of {task_id} began again after it had finished"
            elif kind == "step.finished":
                finished[path] += 1
        assert {path: times for path, times in finished.items() if times > 1} == {}
