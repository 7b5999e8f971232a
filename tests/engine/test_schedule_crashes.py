"""A process that is killed while it sees to a schedule leaves exactly one task for each due time.

The kills are real: SIGKILL between the task's insert and the commit, around the commit, and after it.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.given import query
from tests.invariants import violations

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")

WORKER = Path(__file__).parent / "schedule_crash_worker.py"
ROOT = Path(__file__).parents[2]
POINTS = ["schedules.stored", "store.before_commit", "store.after_commit", "schedules.ran"]
LIFE_SECONDS = 60.0
HOURS_MISSED = 3


def live(folder: Path, point: str, *, hours: int) -> int:
    """One life, which begins when so many hours have passed since the schedules were made."""
    plan = json.dumps({"folder": str(folder), "point": point, "hours": hours})
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("CHARGEHAND_FAIL_POINT", None)
    done = subprocess.run(
        [sys.executable, str(WORKER), plan], env=environment, timeout=LIFE_SECONDS, check=False
    )
    return done.returncode


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_leaves_one_task_for_each_due_time(tmp_path: Path, point: str) -> None:
    assert live(tmp_path, "", hours=0) == 0

    assert live(tmp_path, point, hours=HOURS_MISSED) == -signal.SIGKILL, f"{point} was never passed"
    between = query(tmp_path / "data" / "chargehand.db", "SELECT count(*) FROM agent_tasks")[0][0]
    assert live(tmp_path, "", hours=HOURS_MISSED) == 0

    database = tmp_path / "data" / "chargehand.db"
    keys = [key for (key,) in query(database, "SELECT key FROM idempotency_keys")]
    names = Counter(value for (value,) in query(database, "SELECT value FROM task_labels"))
    assert between == (0 if point in ("schedules.stored", "store.before_commit") else 1)
    assert len(keys) == len(set(keys)) == 1 + HOURS_MISSED
    assert names == {"once": 1, "all": HOURS_MISSED}
    assert query(database, "SELECT count(*) FROM agent_tasks") == [(1 + HOURS_MISSED,)]
    assert query(database, "SELECT count(*) FROM schedules WHERE last_task_id IS NULL") == [(0,)]
    assert violations(database) == []
