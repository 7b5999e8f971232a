"""The one shape of everything that is measured: start, submit, wait, stop.

Rule: all speak the same four requests, so that one client measures them all (bench/peers/README.md).
"""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import psutil

from bench.ground import Ground, Missing, Program, free_port, until_answered
from bench.load import Connection, fetch, request

POLL_SECONDS = 0.002
READY_SECONDS = 120.0
NOOP_DATA: Mapping[str, Any] = {"brief": "b" * 150, "number": 42}


class Contestant(ABC):
    """One service with all its processes, on a store of its own that is empty at each start."""

    name: ClassVar[str]
    what: ClassVar[str]
    """For the report: what it is."""
    stores: ClassVar[bool] = True
    """Whether a task that was accepted is somewhere, so that it can be waited for and taken over."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.port = 0
        self.programs: list[Program] = []

    async def start(self) -> float:
        """Start it on an empty store; seconds to the first 200 of /health. Missing, with the reason."""
        self.port = free_port()
        await self.prepare()
        begun = time.perf_counter()
        server = await self.launch()
        await until_answered(self.port, server, path="/health")
        return time.perf_counter() - begun

    @abstractmethod
    async def prepare(self) -> None:
        """Make the store, and whatever must be there before the first process; Missing where that cannot be."""

    @abstractmethod
    async def launch(self) -> Program:
        """Start every process; the one that answers HTTP is returned."""

    async def stop(self) -> None:
        """End every process and leave nothing behind."""
        for program in reversed(self.programs):
            program.stop()
        self.programs.clear()

    async def lose_worker(self) -> None:
        """SIGKILL what carries attempts out, and start it again where nobody else is there to take over."""
        raise Missing(f"{self.name} has no worker to lose")

    def run(self, name: str, command: list[str], variables: Mapping[str, str], cwd: Any) -> Program:
        program = Program(command, variables, cwd, self.ground.folder / f"{self.name}-{name}.log")
        self.programs.append(program)
        return program

    # The client's side.

    @property
    def headers(self) -> tuple[str, ...]:
        return ()

    def submit(self, agent: str = "noop", data: Mapping[str, Any] = NOOP_DATA) -> bytes:
        """The request that hands an agent a task; answered with 202."""
        body = json.dumps({"task_data": dict(data)}).encode()
        return request("POST", f"/agents/{agent}/tasks", headers=self.headers, body=body)

    def read(self, task_id: str) -> bytes:
        """The request for one task."""
        return request("GET", f"/tasks/{task_id}", headers=self.headers)

    async def complete_one(self, connection: Connection, agent: str = "noop") -> None:
        """Submit a task and learn that it is completed, in the quickest way that the service offers."""
        status, body = await connection.ask(self.submit(agent))
        if status != 202:
            raise RuntimeError(f"{self.name} answered {status}: {body[:200]!r}")
        await self.wait(connection, json.loads(body)["id"])

    async def wait(self, connection: Connection, task_id: str) -> None:
        """Until one task is completed, by asking again and again."""
        raw = self.read(task_id)
        while (status := json.loads((await connection.ask(raw))[1])["status"]) != "completed":
            if status in {"failed", "canceled"}:
                raise RuntimeError(f"{self.name} ended task {task_id} as {status}")
            await asyncio.sleep(POLL_SECONDS)

    async def drain(self, agent: str = "noop", limit_seconds: float = 300.0) -> None:
        """Until no task is open, by asking; TimeoutError after the limit. The asking is part of what it costs."""
        async with asyncio.timeout(limit_seconds):
            for status in ("pending", "running", "pending"):
                path = f"/agents/{agent}/tasks?status={status}&limit=1"
                raw = request("GET", path, headers=self.headers)
                while json.loads((await fetch(self.port, raw))[1])["items"]:  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(0.02)

    async def ready(self) -> None:
        """Until a first task is completed: then the workers are there, too."""
        if self.stores:
            connection = await Connection.open(self.port)
            try:
                async with asyncio.timeout(READY_SECONDS):
                    await self.complete_one(connection)
            except TimeoutError as late:
                raise Missing(f"{self.name} completed no task within {READY_SECONDS:g} s") from late
            except RuntimeError as failure:
                raise Missing(f"{failure}\n{self.programs[0].last_words()}") from failure
            finally:
                connection.close()

    def memory_mb(self) -> tuple[float, float]:
        """(resident, resident with each shared page counted once) of its own processes, servers apart."""
        resident = proportional = 0
        for program in self.programs:
            for process in program.tree():
                try:
                    found = process.memory_full_info()
                except psutil.Error:
                    continue
                resident += found.rss
                proportional += getattr(found, "pss", found.rss)
        return resident / 1e6, proportional / 1e6
