"""A sender that is killed at every point, a receiver that fails for an hour, restarts and answers slowly: each event
arrives, signed so that the library verifies it, and none is lost. The kills are real, the hours are not."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.given import query
from tests.invariants import violations
from tests.webhook_receiver import Receiver, Taken, status

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).parent / "webhook_crash_worker.py"
LIFE_SECONDS = 60.0
COUNTS = {"sqlite": (3, 6, 9), "postgresql": (5,), "mysql": (5,)}
"""The commits at which it dies besides. A life on a server takes a hundred times longer."""
LEAST_KILLS = {"sqlite": 12, "postgresql": 8, "mysql": 8}
POINTS = ("webhooks.stored", "webhooks.before_send", "webhooks.sent", "webhooks.written")
COMMITS = ("store.before_commit", "store.after_commit")


async def too_slow(taken: Taken, writer: asyncio.StreamWriter) -> None:
    """It has taken the message, and says so when nobody listens any more."""
    del taken, writer
    await asyncio.Event().wait()


@dataclass(slots=True)
class Sender:
    """The program, and how many of its lives were cut short."""

    process: asyncio.subprocess.Process
    receiver: Receiver
    kills: list[str] = field(default_factory=list[str])
    minutes: float = 0.0
    tasks: int = 0

    async def lives(self, point: str = "", *, minutes: float = 0, tasks: int = 2, make: bool = False) -> bool:
        """One life, so much later than the one before; whether it was killed."""
        self.minutes += minutes
        self.tasks += tasks
        # What a life before did not come to accept is accepted now, and nothing twice.
        keys = [f"task-{number}" for number in range(self.tasks)]
        life = {
            "point": point,
            "minutes": self.minutes,
            "tasks": keys,
            "make": make,
            "host": self.receiver.host,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(life).encode() + b"\n")
        async with asyncio.timeout(LIFE_SECONDS):
            told = (await self.process.stdout.readline()).decode().split()
        code = int(told[1])
        assert code in (0, -signal.SIGKILL), (point, code)
        if code:
            self.kills.append(point)
        return code != 0


@asynccontextmanager
async def a_sender(folder: Path, receiver: Receiver) -> AsyncGenerator[Sender]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    environment.pop("CHARGEHAND_FAIL_POINT", None)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(WORKER), str(folder)),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Sender(process, receiver)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        async with asyncio.timeout(LIFE_SECONDS):
            await process.wait()


@asynccontextmanager
async def listening_at(receiver: Receiver) -> AsyncGenerator[None]:
    """One time that the receiver is up; at the port that it had before."""
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", receiver.port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()


def fail_points() -> set[str]:
    named = re.compile(r'fail_point\("(webhooks\.[a-z_]+)"\)')
    found = (named.findall(path.read_text("utf-8")) for path in (ROOT / "src").rglob("*.py"))
    return {name for names in found for name in names}


async def test_each_event_arrives_whenever_the_sender_dies_and_whatever_the_receiver_does(
    tmp_path: Path, database: str
) -> None:
    receiver = Receiver()
    async with a_sender(tmp_path, receiver) as sender:
        async with listening_at(receiver):
            await sender.lives(make=True)
            receiver.answer = status(500)
            # An hour in which it fails.
            for point in POINTS:
                assert await sender.lives(point, minutes=5), f"{point} was never passed"
            for point, count in [(one, count) for one in COMMITS for count in COUNTS[database]]:
                await sender.lives(f"{point}:{count}", minutes=5)
            receiver.answer = too_slow
            assert await sender.lives("webhooks.before_send:2", minutes=10)
            await sender.lives(minutes=1)
        # It is away, and the sender dies of that too.
        await sender.lives("webhooks.written", minutes=10)
        async with listening_at(receiver):
            receiver.answer = status(204)
            for point in POINTS[1:]:
                assert await sender.lives(point, minutes=130), f"{point} was never passed"
            assert not await sender.lives(minutes=2_000)

    told = _told(receiver.taken, (tmp_path / "secret.txt").read_text("ascii"))
    rows = tmp_path / "data" / "chargehand.db"
    # A task whose worker was killed three times has failed, which is told as well.
    ends = "SELECT task_id, sequence FROM task_events WHERE kind IN ('task.completed', 'task.failed')"
    happened = set(query(rows, ends))
    assert fail_points() == set(POINTS)
    assert len(sender.kills) >= LEAST_KILLS[database]
    assert len(happened) == sender.tasks
    assert set(told) == happened
    assert query(rows, "SELECT DISTINCT status FROM webhook_deliveries") == [("delivered",)]
    # Of one event there is one message, however often it came.
    assert all(len(ids) == 1 for ids in told.values())
    assert len({id_ for ids in told.values() for id_ in ids}) == len(happened)
    assert violations(rows) == []


def _told(taken: Sequence[Taken], secret: str) -> dict[Any, set[str]]:
    """The events that were told, each with the ids of its messages; every message is verified."""
    told: dict[Any, set[str]] = {}
    for one in taken:
        one.verified(secret)
        told.setdefault(one.event, set()).add(one.id)
    return told
