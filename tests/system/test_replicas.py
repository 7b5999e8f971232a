"""Two API processes on one PostgreSQL, with Redis and without: a stream that moves between them when one is killed."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from tests.databases import a_database

HERE = Path(__file__).parent
LIMIT_SECONDS = 60.0
LATENCY_SECONDS = 0.2
DEFINITION = """---
name: counter
description: Counts.
chargehand:
  runtime: playbook
  playbook: count
---
Count.
"""


class Replica:
    """`chargehand serve` as a process of its own, and a client of it."""

    def __init__(self, process: subprocess.Popen[str], url: str, key: str) -> None:
        self.process = process
        headers = {"Authorization": f"Bearer {key}"}
        self.http = httpx2.Client(base_url=url, headers=headers, timeout=LIMIT_SECONDS)

    def submit(self) -> str:
        answer = self.http.post("/agents/counter/tasks", json={"task_data": {}})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def events(self, task_id: str, after: int = 0) -> Iterator[tuple[int, float]]:
        """(sequence, seconds from its record to its arrival), until the stream ends or breaks."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with self.http.stream("GET", f"/tasks/{task_id}/events", headers=headers) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    arrived = datetime.now(UTC)
                    event = json.loads(line.removeprefix("data: "))
                    at = datetime.fromisoformat(event["at"])
                    yield event["sequence"], (arrived - at).total_seconds()


@contextmanager
def replica(folder: Path, environment: dict[str, str]) -> Generator[Replica, None, None]:
    """Stopped at the end, if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "chargehand", "serve", "--port", "0"],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stderr is not None
    said: list[str] = []
    reading = threading.Thread(target=process.stderr.read, daemon=True)
    try:
        for line in process.stderr:
            said.append(line)
            if " answers at " in line:
                break
        else:
            raise AssertionError(f"the replica did not start: {''.join(said)}")
        url = said[-1].split(" answers at ")[1].split(";")[0]
        # What it says further is read, so that it never waits for a reader.
        reading.start()
        found = Replica(process, url, (folder / "data" / "admin.key").read_text(encoding="ascii").strip())
        with found.http:
            yield found
    finally:
        process.terminate()
        process.wait(LIMIT_SECONDS)
        if reading.ident is not None:
            reading.join(LIMIT_SECONDS)
        process.stderr.close()


@pytest.fixture(params=["postgresql", "redis"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    agents = tmp_path / "agents"
    agents.mkdir()
    (agents / "counter.md").write_text(DEFINITION, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHARGEHAND_")}
    made = {
        **kept,
        "CHARGEHAND_DATA_DIR": str(tmp_path / "data"),
        "CHARGEHAND_DATABASE_URL": a_database("postgresql"),
        "CHARGEHAND_AGENTS_DIR": str(agents),
        "CHARGEHAND_PLAYBOOKS": '["count=replica_crew:count"]',
        "CHARGEHAND_LEASE_SECONDS": "2",
        "CHARGEHAND_LOG_LEVEL": "error",
        "PYTHONPATH": str(HERE),
        "PYTHONUTF8": "1",
    }
    if request.param == "redis":
        made["CHARGEHAND_REDIS_URL"] = request.getfixturevalue("redis_url")
    return made


@pytest.fixture
def replicas(environment: dict[str, str], tmp_path: Path) -> Generator[tuple[Replica, Replica], None, None]:
    with ExitStack() as stack:
        first = stack.enter_context(replica(tmp_path, environment))
        yield first, stack.enter_context(replica(tmp_path, environment))


def test_an_event_is_seen_on_the_other_replica_within_200_ms(replicas: tuple[Replica, Replica]) -> None:
    here, there = replicas
    seen: list[tuple[int, float]] = list(there.events(here.submit()))

    assert [sequence for sequence, _ in seen] == list(range(1, len(seen) + 1))
    waits = sorted(seconds for _, seconds in seen)
    assert waits[len(waits) // 2] < LATENCY_SECONDS, waits


def test_a_stream_that_moves_to_the_other_replica_when_its_own_is_killed_sees_each_event_once(
    replicas: tuple[Replica, Replica],
) -> None:
    killed, left = replicas
    task_id = killed.submit()
    seen: list[int] = []

    def follow_to_the_death() -> None:
        for sequence, _ in killed.events(task_id):
            seen.append(sequence)
            if len(seen) == 20:
                killed.process.kill()

    with pytest.raises(httpx2.TransportError):
        follow_to_the_death()
    assert len(seen) >= 20
    seen += [sequence for sequence, _ in left.events(task_id, after=seen[-1])]

    task = left.http.get(f"/tasks/{task_id}").json()
    assert (task["status"], task["result"]) == ("completed", 40)
    assert seen == list(range(1, seen[-1] + 1))
    stored = left.http.get(f"/tasks/{task_id}/events", params={"limit": 500}).json()["items"]
    assert seen == [event["sequence"] for event in stored]
