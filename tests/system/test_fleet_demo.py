"""`chargehand demo --fleet` on PostgreSQL and Redis: both workers are killed while they work, and it delivers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.databases import execute, found
from tests.system.test_demo import DELIVERED

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's; Windows is untried")

WHOLE_SECONDS = 600
LIMIT_SECONDS = 300
DATABASE = "chargehand_test_fleet_demo"
STARTED = re.compile(r"worker (\d+) \(pid (\d+)\)")
UNDER_WAY = """SELECT worker_id, agent_id, task_id, path FROM task_steps JOIN agent_tasks ON id = task_id
    WHERE task_steps.status = 'running' AND agent_tasks.status = 'running' AND worker_id IS NOT NULL
    AND kind IN ('tool', 'check')"""


class Demo:
    """The command as a user starts it, and what is seen of it from outside."""

    def __init__(self, folder: Path, database_url: str, broker_url: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.broker_url = broker_url
        self.log = folder / "demo.log"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CHARGEHAND_")}
        self.environment = {
            **kept,
            "CHARGEHAND_DATABASE_URL": database_url,
            "CHARGEHAND_BROKER_URL": broker_url,
            "CHARGEHAND_DISK_RESERVE_BYTES": "0",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "chargehand", "demo", "--fleet", *arguments],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def until(self, what: Callable[[], bool], limit_seconds: float = LIMIT_SECONDS) -> None:
        """Other processes' rows and files: there is nothing to wait on but the clock."""
        deadline = time.monotonic() + limit_seconds
        while not what():
            assert self.process is not None
            assert self.process.poll() is None, self.said()[-3000:]
            assert time.monotonic() < deadline, self.said()[-3000:]
            time.sleep(0.05)

    def workers(self) -> dict[int, int]:
        """The processes of the workers as they were last told, by number."""
        told = self.said().replace(" is back", "")
        return {int(number): int(pid) for number, pid in STARTED.findall(told)}

    def under_way(self) -> list[tuple[int, str]]:
        """(process, step) of what runs now."""
        rows = found(self.database_url, UNDER_WAY)
        return [(int(str(row[0]).split(":")[-2]), f"{row[1]} {row[3]}") for row in rows]

    def events(self, kind: str) -> int:
        return int(found(self.database_url, f"SELECT count(*) FROM task_events WHERE kind = '{kind}'")[0][0])  # noqa: S608 - words of this file

    def is_submitted(self) -> bool:
        return "The backend crew builds" in self.said()

    def left_behind(self) -> list[psutil.Process]:
        """Processes of this demo's fleet."""
        mine: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("CHARGEHAND_DATABASE_URL") == self.database_url:
                    mine.append(process)
            except (psutil.Error, OSError):
                continue
        return [one for one in mine if one.pid != os.getpid()]


@pytest.fixture
def demo(tmp_path: Path, postgresql_url: str, redis_url: str) -> Generator[Demo]:
    execute(postgresql_url, f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", f"CREATE DATABASE {DATABASE}")
    url = urlsplit(postgresql_url)._replace(path=f"/{DATABASE}").geturl()
    running = Demo(tmp_path, url, urlsplit(redis_url)._replace(path="/14").geturl())
    try:
        yield running
    finally:
        for process in running.left_behind():
            process.kill()
        if running.process is not None:
            running.process.wait()
        execute(postgresql_url, f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")


def test_the_crew_delivers_though_both_workers_are_killed_in_turn_while_their_steps_run(demo: Demo) -> None:
    running = demo.start("--workers", "2", "--out", str(demo.folder / "delivered"))
    demo.until(lambda: len(demo.workers()) == 2)
    killed: dict[int, str] = {}
    while len(killed) < 2:
        _kill_one_at_work(demo, killed)

    assert running.wait(timeout=WHOLE_SECONDS) == 0, demo.said()[-3000:]

    said = demo.said()
    assert len(set(killed.values())) == 2, killed
    for number in killed:
        assert re.search(
            rf"worker {number} \(pid \d+\) died \(SIGKILL\); it carried .*goes on elsewhere", said
        )
        assert f"worker {number} is back" in said
    missing = [name for name in DELIVERED if not next((demo.folder / "delivered").rglob(name), None)]
    assert missing == []
    _check_history(demo)
    assert demo.left_behind() == []


def _kill_one_at_work(demo: Demo, killed: dict[int, str]) -> None:
    """SIGKILL a worker that has not been killed yet, in the middle of a step, once the last one killed is back."""
    chosen: list[tuple[int, int, str]] = []
    before = demo.events("step.finished")

    def comes() -> bool:
        workers = demo.workers()
        if demo.said().count(" is back") < len(killed) or demo.events("step.finished") < before + 10:
            return False
        chosen[:] = [
            (number, pid, step)
            for pid, step in demo.under_way()
            for number, known in workers.items()
            if known == pid and number not in killed
        ]
        return bool(chosen)

    demo.until(comes, WHOLE_SECONDS)
    number, pid, step = chosen[0]
    os.kill(pid, signal.SIGKILL)
    killed[number] = f"{pid} {step}"


def _check_history(demo: Demo) -> None:
    """Every task ended once, without a gap; no step that had finished began again, and all checks passed."""
    tasks = found(demo.database_url, "SELECT id, status, last_event FROM agent_tasks")
    rows = found(
        demo.database_url,
        "SELECT task_id, sequence, kind, data::text FROM task_events ORDER BY task_id, sequence",
    )
    unfinished = found(demo.database_url, "SELECT count(*) FROM task_steps WHERE status != 'done'")
    events = [(row[0], row[1], row[2], json.loads(row[3])) for row in rows]
    assert len(tasks) == 8
    assert {status for _, status, _ in tasks} == {"completed"}
    assert unfinished == [(0,)]
    for task_id, _, last in tasks:
        mine = [row for row in events if row[0] == task_id]
        assert [row[1] for row in mine] == list(range(1, last + 1))
        ends = [row[2] for row in mine if row[2] in ("task.completed", "task.failed", "task.canceled")]
        assert ends == ["task.completed"]
        finished: Counter[str] = Counter()
        checks: dict[tuple[str, str], bool] = {}
        for _, _, kind, data in mine:
            if kind == "step.started":
                assert finished[data["path"]] == 0, f"step {data['path']} of {task_id} began again"
            elif kind == "step.finished":
                finished[data["path"]] += 1
            elif kind == "deliverable.checked":
                checks[data["deliverable"], data["check"]] = data["passed"]
        assert {path: times for path, times in finished.items() if times > 1} == {}
        assert [check for check, passed in checks.items() if not passed] == []


def test_ctrl_c_stops_every_process_in_order_and_resume_goes_on(demo: Demo) -> None:
    running = demo.start()
    demo.until(lambda: demo.is_submitted() and demo.events("step.finished") >= 3)

    running.send_signal(signal.SIGINT)

    assert running.wait(timeout=LIMIT_SECONDS) == 130
    assert "goes on from it with: chargehand demo --fleet --resume" in demo.said()
    assert demo.left_behind() == []
    before = demo.events("step.finished")
    again = demo.start("--resume")
    # Some steps later, so that the demo follows its task again; its processes work before it does.
    demo.until(lambda: demo.events("step.finished") >= before + 3)
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=LIMIT_SECONDS) == 130
    assert found(demo.database_url, "SELECT count(*) FROM agent_tasks WHERE parent_id IS NULL") == [(1,)]


@pytest.mark.parametrize("moment", ["one runs", "all run", "submitted"])
def test_a_stop_before_it_follows_its_task_leaves_no_process(demo: Demo, moment: str) -> None:
    running = demo.start()
    moments: dict[str, Callable[[], bool]] = {
        # Itself, and the first that it has started.
        "one runs": lambda: len(demo.left_behind()) >= 2,
        "all run": lambda: "The fleet: " in demo.said(),
        "submitted": demo.is_submitted,
    }
    demo.until(moments[moment])

    running.send_signal(signal.SIGTERM)

    assert running.wait(timeout=LIMIT_SECONDS) == 130, demo.said()
    assert "with: chargehand demo --fleet --resume" in demo.said()
    assert demo.left_behind() == []
