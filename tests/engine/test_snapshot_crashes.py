"""A host dies, stands still or is slow; another one goes on with the workspace as of the last finished step.

Real processes, each with a data folder of its own, on one database and one storage.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.databases import VARIABLE, a_database
from tests.given import query
from tests.s3_server import an_s3_server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither SIGKILL nor SIGSTOP")

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).parent / "snapshot_worker.py"
LIMIT_SECONDS = 120.0
AFTER_THE_KILL = "./src/one.txt\none"
"""What stands there after the step that was cut off: nothing of what it had begun."""


@dataclass(slots=True)
class Host:
    """A worker process of one host."""

    process: asyncio.subprocess.Process

    async def said(self) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(LIMIT_SECONDS):
            while line := await self.process.stdout.readline():
                if line.startswith((b"{", b'"')):
                    return json.loads(line)
        raise AssertionError(f"the worker ended with {await self.process.wait()}")

    async def killed(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        assert await self.died() == -number

    async def died(self) -> int:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self.process.wait()


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the hosts share."""

    folder: Path
    environment: dict[str, str]
    is_server: bool

    @asynccontextmanager
    async def host(self, name: str, *, fail_point: str = "", **told: Any) -> AsyncGenerator[Host]:
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT)}
        environment["CHARGEHAND_FAIL_POINT"] = fail_point
        data = self.folder / (name if self.is_server else "one")
        self.outside.mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(WORKER),
            str(data),
            str(self.outside),
            json.dumps(told),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            yield Host(process)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()

    @property
    def outside(self) -> Path:
        return self.folder / "outside"

    async def file(self, name: str) -> None:
        """Return when it is there; a command in a sandbox makes it, and tells nobody."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while not (self.outside / name).exists():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.02)

    def heads(self) -> list[tuple[Any, ...]]:
        database = self.folder / "one" / "data" / "chargehand.db"
        return query(database, "SELECT workspace_id, version, attempt FROM workspace_heads")


@pytest.fixture(params=["folder", "s3"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Fleet]:
    """Hosts one after the other on SQLite: each process has working folders of its own, and finds no other's."""
    if request.param == "folder":
        yield Fleet(tmp_path, {}, is_server=False)
        return
    with an_s3_server(tmp_path / "s3") as server:
        url = {"CHARGEHAND_STORAGE_URL": f"s3://{server.bucket}/fleet"}
        yield Fleet(tmp_path, {**server.environment, **url}, is_server=False)


@pytest.fixture
def two_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Fleet]:
    """Hosts at once: PostgreSQL and S3."""
    url = a_database("postgresql")
    monkeypatch.setenv(VARIABLE, url)
    with an_s3_server(tmp_path / "s3") as server:
        shared = {VARIABLE: url, "CHARGEHAND_STORAGE_URL": f"s3://{server.bucket}/fleet"}
        yield Fleet(tmp_path, {**server.environment, **shared}, is_server=True)


async def test_after_a_kill_in_the_middle_of_a_step_another_host_finds_the_files_of_the_last_finished_one(
    fleet: Fleet,
) -> None:
    async with fleet.host("a", submit="steps") as first:
        await fleet.file("half")
        await first.killed()

    async with fleet.host("b", submit="steps") as second:
        await second.said()
        await second.said()
        ended = await second.said()

    assert ended["status"] == "completed", ended
    assert ended["result"] == AFTER_THE_KILL


@pytest.mark.parametrize(
    ("point", "repeats"),
    [
        ("snapshots.restored:1", False),
        ("snapshots.restored:2", False),
        ("snapshots.kept:1", True),
        ("snapshots.kept:3", True),
        ("snapshots.published:1", False),
        ("snapshots.published:3", False),
        ("journal.ended:3", False),
    ],
)
async def test_a_death_around_publishing_loses_and_repeats_nothing_in_the_workspace(
    tmp_path: Path, point: str, repeats: bool
) -> None:
    fleet = Fleet(tmp_path, {}, is_server=False)
    async with fleet.host("a", submit="counts", fail_point=point) as first:
        assert await first.died() == -signal.SIGKILL

    async with fleet.host("b", submit="counts") as second:
        await second.said()
        await second.said()
        ended = await second.said()

    assert ended["status"] == "completed", ended
    lines = [line.split("\t")[1] for line in ended["result"].splitlines()]
    effects = (fleet.outside / "effects").read_text("utf-8").splitlines()
    assert effects == [str(number) for number in range(5)]
    # A step whose files were not published yet is one whose outcome nobody knows: it is not run again, and what it
    # left in the dead worker's folder counts for nothing.
    lost = {effects[int(point.partition(":")[2]) - 1]} if repeats else set[str]()
    assert lines == [number for number in effects if number not in lost]


async def test_what_a_worker_publishes_after_it_was_taken_for_dead_moves_no_head(two_hosts: Fleet) -> None:
    async with two_hosts.host("a", submit="steps") as first:
        await two_hosts.file("half")
        first.process.send_signal(signal.SIGSTOP)

        async with two_hosts.host("b", submit="steps") as second:
            await second.said()
            await second.said()
            ended = await second.said()
            before = two_hosts.heads()
            (two_hosts.outside / "half").rmdir()
            first.process.send_signal(signal.SIGCONT)
            await first.said()
            await first.said()
            told = await first.said()
            after = two_hosts.heads()

    assert ended["status"] == "completed", ended
    assert ended["result"] == AFTER_THE_KILL
    assert told["result"] == ended["result"]
    [(_, _, attempt)] = before
    assert after == before
    assert attempt > 1


async def test_siblings_at_work_on_two_hosts_at_once_lose_none_of_each_others_files(two_hosts: Fleet) -> None:
    async with (
        two_hosts.host("a", submit="family", slots=1) as first,
        two_hosts.host("b", slots=1) as second,
    ):
        assert await second.said() == "ready"
        await first.said()
        await first.said()
        ended = await first.said()

    assert ended["status"] == "completed", ended
    assert ended["result"] == "a.txt: from a more\nb.txt: from b more\nplan.txt: plan"
