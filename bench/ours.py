"""This service as a contestant: embedded on SQLite, and as a fleet on PostgreSQL, Celery and Redis."""

import json
import os
import sys
from pathlib import Path

from bench.agents import FUNCTIONS, write_definitions
from bench.contestant import Contestant
from bench.ground import ROOT, Ground, OwnDatabase, Program, Redis, until_answered
from bench.load import Connection, request

LEASE_SECONDS = 5.0


class Chargehand(Contestant):
    """What both have in common: settings, the key, and waiting by `Prefer: wait`."""

    def __init__(self, ground: Ground, *, slots: int = 64) -> None:
        super().__init__(ground)
        self.slots = slots
        self.folder = Path()

    @property
    def headers(self) -> tuple[str, ...]:
        key = (self.folder / "admin.key").read_text(encoding="utf-8").strip()
        return (f"Authorization: Bearer {key}",)

    async def complete_one(self, connection: Connection, agent: str = "noop") -> None:
        body = json.dumps({"task_data": {"brief": "b" * 150, "number": 42}}).encode()
        headers = (*self.headers, "Prefer: wait=30")
        raw = request("POST", f"/agents/{agent}/tasks", headers=headers, body=body)
        status, answer = await connection.ask(raw)
        if status == 202:
            # It took longer than one may wait at once: a machine that is busy, or workers that still start.
            await self.wait(connection, json.loads(answer)["id"])
        elif status != 200:
            raise RuntimeError(f"{self.name} answered {status}: {answer[:200]!r}")

    def variables(self) -> dict[str, str]:
        write_definitions(self.folder / "agents")
        return {
            # As for the peers: PYTHONDONTWRITEBYTECODE would have every start compile what has no bytecode yet.
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("CHARGEHAND_", "PYTHON"))
            },
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
            "CHARGEHAND_DATA_DIR": str(self.folder),
            "CHARGEHAND_PORT": str(self.port),
            "CHARGEHAND_AGENTS_DIR": str(self.folder / "agents"),
            "CHARGEHAND_FUNCTIONS": json.dumps(FUNCTIONS),
            "CHARGEHAND_SLOTS": str(self.slots),
            "CHARGEHAND_LEASE_SECONDS": str(LEASE_SECONDS),
            "CHARGEHAND_SANDBOX": "none",  # no command is run
            "CHARGEHAND_LOG_LEVEL": "warning",
        }

    def start_program(self, name: str, *words: str, **more: str) -> Program:
        command = [sys.executable, "-m", "chargehand", *words]
        return self.run(name, command, {**self.variables(), **more}, self.folder)


class OnSqlite(Chargehand):
    """`chargehand serve` and nothing else."""

    name = "sqlite"
    what = "Chargehand, embedded: one process, SQLite with synchronous=FULL"

    async def prepare(self) -> None:
        self.folder = self.ground.own_folder(self.name)

    async def launch(self) -> Program:
        return self.start_program("serve", "serve")

    async def lose_worker(self) -> None:
        self.programs.pop().kill()
        await until_answered(self.port, await self.launch(), path="/health")


class Fleet(Chargehand):
    """`chargehand serve --engine celery` and workers."""

    name = "fleet"
    what = "Chargehand on PostgreSQL, Celery and Redis: one API process, two workers"

    def __init__(self, ground: Ground, *, slots: int = 64, workers: int = 2) -> None:
        super().__init__(ground, slots=slots)
        self.workers = workers
        self.database: OwnDatabase | None = None
        self.redis: Redis | None = None

    async def prepare(self) -> None:
        self.redis = Redis(self.ground)
        await self.redis.start()
        self.database = await OwnDatabase.make(self.ground)
        self.folder = self.ground.own_folder(self.name)

    def variables(self) -> dict[str, str]:
        found = super().variables()
        if self.database is not None:
            found["CHARGEHAND_DATABASE_URL"] = self.database.url
        if self.redis is not None:
            found |= {"CHARGEHAND_BROKER_URL": self.redis.url, "CHARGEHAND_REDIS_URL": self.redis.url}
        return found

    async def launch(self) -> Program:
        server = self.start_program("serve", "serve", "--engine", "celery")
        # The server brings the database up to date, which the workers wait for no longer than they must.
        await until_answered(self.port, server, path="/health")
        for number in range(self.workers):
            self.start_worker(number)
        return server

    def start_worker(self, number: int) -> Program:
        return self.start_program(f"worker-{number}", "worker")

    async def lose_worker(self) -> None:
        self.programs.pop().kill()

    async def stop(self) -> None:
        await super().stop()
        if self.redis is not None:
            self.redis.kill()
        if self.database is not None:
            await self.database.drop()
        self.redis = self.database = None
