"""The peers as contestants; what they run is in bench/peers/."""

import os
import sys

from bench.contestant import Contestant
from bench.ground import PEERS, Ground, OwnDatabase, Program, Redis, peers_python, until_answered


class Peer(Contestant):
    """A uvicorn app in a folder below bench/peers, in the peers' environment."""

    folder: str
    needs_postgresql = False
    needs_redis = False

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.database: OwnDatabase | None = None
        self.redis: Redis | None = None

    async def prepare(self) -> None:
        if self.needs_redis:
            self.redis = Redis(self.ground)
            await self.redis.start()
        if self.needs_postgresql:
            self.database = await OwnDatabase.make(self.ground)
        peers_python(self.ground.cache)

    def variables(self) -> dict[str, str]:
        found = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        if self.database is not None:
            found["DATABASE_URL"] = self.database.url
        if self.redis is not None:
            found["REDIS_URL"] = self.redis.url
        return found

    def python(self, name: str, *arguments: str) -> Program:
        command = [str(peers_python(self.ground.cache)), *arguments]
        return self.run(name, command, self.variables(), PEERS / self.folder)

    async def launch(self) -> Program:
        return self.python("serve", *self.uvicorn())

    def uvicorn(self) -> list[str]:
        quiet = ["--no-access-log", "--log-level", "warning"]
        return ["-m", "uvicorn", "app:app", "--port", str(self.port), *quiet]

    async def stop(self) -> None:
        await super().stop()
        if self.redis is not None:
            self.redis.kill()
        if self.database is not None:
            await self.database.drop()
        self.redis = self.database = None


class ByHand(Peer):
    """What a developer writes in an afternoon."""

    name = "hand"
    what = "written by hand: FastAPI, SQLAlchemy async, Celery prefork 2 on Redis, PostgreSQL"
    folder = "hand"
    needs_postgresql = needs_redis = True

    def __init__(self, ground: Ground, *, workers: int = 1, processes: int = 2) -> None:
        super().__init__(ground)
        self.workers, self.processes = workers, processes

    async def launch(self) -> Program:
        server = self.python("serve", *self.uvicorn())
        for number in range(self.workers):
            self.start_worker(number)
        return server

    def start_worker(self, number: int) -> None:
        many = ["--concurrency", str(self.processes), "--hostname", f"w{number}@bench"]
        self.python(
            f"worker-{number}", "-m", "celery", "-A", "worker", "worker", *many, "--loglevel", "warning"
        )

    async def lose_worker(self) -> None:
        self.programs.pop().kill()
        self.start_worker(9)


class Dbos(Peer):
    """DBOS with its default poll of the queue, one second."""

    name = "dbos"
    what = (
        "DBOS on PostgreSQL: one process, a workflow of one step on a queue, polled each second (its default)"
    )
    folder = "dbos_app"
    needs_postgresql = True
    poll_seconds = "1"

    def variables(self) -> dict[str, str]:
        return {**super().variables(), "POLL_SECONDS": self.poll_seconds}

    async def lose_worker(self) -> None:
        self.programs.pop().kill()
        await until_answered(self.port, await self.launch(), path="/health")


class DbosFast(Dbos):
    """DBOS that looks every 10 ms."""

    name = "dbos-10ms"
    what = "the same, polled every 10 ms"
    poll_seconds = "0.01"


class Taskiq(Peer):
    """taskiq, which keeps nothing on disk."""

    name = "taskiq"
    what = "taskiq on a Redis stream, 2 worker processes; nothing is on disk"
    folder = "taskiq_app"
    needs_redis = True

    async def launch(self) -> Program:
        server = self.python("serve", *self.uvicorn())
        taskiq = ["-m", "taskiq", "worker", "tasks:broker", "--workers", "2", "--log-level", "WARNING"]
        self.python("worker", *taskiq)
        return server


class Bare(Peer):
    """FastAPI alone; in the product's environment, which has it, so that this one needs nothing."""

    name = "bare"
    what = "FastAPI that checks the body and stores nothing: the ceiling"
    folder = "bare"
    stores = False

    async def prepare(self) -> None:
        """Nothing is needed."""

    async def launch(self) -> Program:
        return self.run("serve", [sys.executable, *self.uvicorn()], self.variables(), PEERS / self.folder)
