"""Workers as processes of their own, a database and a broker for them, and the side that submits."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chargehand.app.core import Core
from chargehand.domain.task import Status, Task
from chargehand.engine.celery import TASK, fleet_app
from chargehand.settings import Settings
from tests import given
from tests.given import ME

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 3
START_SECONDS = 90
"""A machine that is busy with other tests imports slowly."""
PLAYBOOKS = ("quick", "gated", "short")


@dataclass(kw_only=True)
class Fleet:
    """Where the processes of one test meet."""

    folder: Path
    database_url: str
    broker_url: str
    options: dict[str, str] = field(default_factory=dict[str, str])
    workers: "list[Worker]" = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """Of a worker."""
        mine = {
            "DATA_DIR": str(self.folder / "data"),
            "DATABASE_URL": self.database_url,
            "BROKER_URL": self.broker_url,
            "PLAYBOOKS": "[%s]"
            % ",".join(f'"{one}=tests.engine.fleet_playbooks:{one}"' for one in PLAYBOOKS),
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "SHUTDOWN_GRACE_SECONDS": "1",
            "SANDBOX": "none",
            "DISK_RESERVE_BYTES": "0",
            "SLOTS": "4",
            "LOG_FORMAT": "json",
            **self.options,
        }
        passed_on = {key: value for key, value in os.environ.items() if not key.startswith("CHARGEHAND_")}
        return {
            **passed_on,
            "PYTHONPATH": str(ROOT),
            **{f"CHARGEHAND_{key}": value for key, value in mine.items()},
        }

    async def worker(self, name: str, *arguments: str, ready: bool = True) -> "Worker":
        """Start one; unless told otherwise, wait until it is ready."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "chargehand", "worker", "--name", name, *arguments],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        started = Worker(name=name, process=process, log=log)
        self.workers.append(started)
        if ready:
            await started.until_said("worker ready")
        return started

    def entered(self) -> list[list[str]]:
        """What the playbook `gated` has told: task, attempt, process."""
        marks = given.Effects(self.folder / "effects").marks()
        return [mark.split()[1:] for mark in marks if mark.startswith("entered")]

    def open_gate(self) -> None:
        """Let `gated` go on."""
        (self.folder / "go").touch()

    def messages(self, count: int, *, task: Task) -> None:
        """Send wake-ups past the service."""
        app = fleet_app(Settings(broker_url=self.broker_url))
        with app.connection_for_write() as connection:
            producer = app.amqp.Producer(connection)
            for _ in range(count):
                app.tasks[TASK].apply_async(args=(task.id, task.agent_id), producer=producer)

    def waiting_messages(self) -> int:
        """Wake-ups that no worker has taken."""
        app = fleet_app(Settings(broker_url=self.broker_url))
        with app.connection_for_write() as connection:
            queue = app.amqp.queues["chargehand"](connection.default_channel)
            queue.declare()
            return queue.queue_declare(passive=True).message_count


@dataclass(kw_only=True)
class Worker:
    """A worker process."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def said(self) -> str:
        """Everything that it has written."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    async def until_said(self, text: str, limit_seconds: float = START_SECONDS) -> None:
        """Wait until it has written this."""
        until = time.monotonic() + limit_seconds
        while text not in self.said():
            assert self.process.poll() is None, f"{self.name} ended:\n{self.said()}"
            assert time.monotonic() < until, f"{self.name} did not say {text!r}:\n{self.said()}"
            await asyncio.sleep(0.05)  # a process tells by its log

    def tell(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def ended(self, limit_seconds: float = 30) -> int:
        """Its exit code, when it has one."""
        return await asyncio.to_thread(self.process.wait, limit_seconds)


@contextmanager
def a_fleet(folder: Path, database_url: str, broker_url: str, **options: str) -> Generator[Fleet, None, None]:
    """A place to meet; every worker that is left is killed at the end."""
    fleet = Fleet(folder=folder, database_url=database_url, broker_url=broker_url, options=options)
    try:
        yield fleet
    finally:
        for worker in fleet.workers:
            if worker.process.poll() is None:
                with suppress(ProcessLookupError):
                    worker.tell(getattr(signal, "SIGKILL", signal.SIGTERM))
                worker.process.wait(30)


@asynccontextmanager
async def submitting(fleet: Fleet, **settings: Any) -> AsyncGenerator[Core, None]:
    """A core as `chargehand serve --engine celery` has it, with the agents of fleet_playbooks.py."""
    from tests.engine import fleet_playbooks

    options: dict[str, Any] = {
        "engine": "celery",
        "database_url": fleet.database_url,
        "broker_url": fleet.broker_url,
        "lease_seconds": LEASE_SECONDS,
        **settings,
    }
    playbooks = {name: getattr(fleet_playbooks, name) for name in PLAYBOOKS}
    async with given.a_core(fleet.folder, playbooks=playbooks, **options) as core:
        yield core


async def completed(core: Core, task: Task, limit_seconds: float = 60) -> Task:
    """The task once it has ended, which it must do well."""
    found = task

    async def is_final() -> bool:
        nonlocal found
        found = await core.watch.get(ME, task.id)
        return found.status.is_final

    await given.eventually(is_final, limit_seconds)
    assert found.status is Status.COMPLETED, (found.status, found.reason, found.error)
    return found
