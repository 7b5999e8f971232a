"""What tests begin with: a core on a data folder, agents, tasks in a given state, a clock moved by hand."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from chargehand.app.core import Core, Registered, open_core
from chargehand.clock import Clock, uuid7
from chargehand.domain.access import LOCAL_OPERATOR
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.history import Event, EventKind
from chargehand.domain.task import Task, TaskOrder
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import SandboxUnavailable
from chargehand.runtimes.playbook import Playbook, PlaybookContext
from chargehand.settings import Settings
from chargehand.store import migrate
from chargehand.telemetry.runs import Telemetry
from chargehand.tools.sandbox.base import Ended, OnLine, Sandbox, SandboxCommand, SandboxLevel
from tests.databases import VARIABLE, execute, outside

ME = LOCAL_OPERATOR
LIMIT_SECONDS = 60.0
"""How long a test waits for what must come. A good run waits milliseconds; importing what a model needs takes a busy
machine twenty seconds and more."""

PlaybookBody = Callable[[PlaybookContext], Awaitable[JsonValue]]


class TestClock:
    """Time that stands still until the test moves it; ids that count upwards."""

    __test__ = False

    def __init__(self, start: datetime = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._now = start
        self._passed = 0.0
        self._ids = 0
        self._sleepers: set[tuple[datetime, asyncio.Event]] = set()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._passed

    def new_id(self) -> str:
        self._ids += 1
        return uuid7(int(self._start.timestamp() * 1000), self._ids.to_bytes(10, "big"))

    def token_bytes(self, count: int) -> bytes:
        self._ids += 1
        return self._ids.to_bytes(count, "big")

    def random(self) -> float:
        return 0.5

    async def sleep_until(self, when: datetime, wake: asyncio.Event) -> None:
        if when <= self._now:
            return
        sleeper = (when, wake)
        self._sleepers.add(sleeper)
        try:
            await wake.wait()
        finally:
            self._sleepers.discard(sleeper)

    async def slept_on(self) -> None:
        """Return when somebody sleeps until a time of this clock; who is about to would sleep past its next move."""
        while not any(when > self._now for when, _ in self._sleepers):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)

    def advance(self, seconds: float) -> None:
        """Let time pass, for intervals too, and wake who slept until then."""
        self._passed += seconds
        self.jump(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP would; intervals do not notice."""
        self._now += timedelta(seconds=seconds)
        for when, wake in list(self._sleepers):
            if when <= self._now:
                wake.set()


@dataclass(frozen=True, slots=True)
class NoCommands:
    """The sandbox of tests that run no command: it fails closed, as a missing one does."""

    level: SandboxLevel = SandboxLevel.NONE

    async def run(self, command: SandboxCommand, *, on_stdout_line: OnLine | None = None) -> Ended:
        raise SandboxUnavailable(f"this test runs no commands, yet {command.argv[0]} was asked for")


@asynccontextmanager
async def a_core(
    folder: Path,
    *,
    playbooks: Mapping[str, PlaybookBody | Playbook] | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
    clock: Clock | None = None,
    with_engine: bool = True,
    sandbox: Sandbox | None = None,
    telemetry: Telemetry | None = None,
    **settings: Any,
) -> AsyncGenerator[Core, None]:
    """An opened core; each playbook and function has an agent of its name, who may delegate to all of them."""
    books = {name: _playbook(name, body) for name, body in (playbooks or {}).items()}
    data = folder / "data"
    _prepare(data)
    options: dict[str, Any] = {"slots": 4, "disk_reserve_bytes": 0, "shutdown_grace_seconds": 5, **settings}
    opened = open_core(
        Settings(data_dir=data, **options),
        clock=clock,
        registered=Registered(playbooks=books, functions=functions or {}),
        with_engine=with_engine,
        sandbox=sandbox or NoCommands(),
        telemetry=telemetry,
    )
    async with opened as core:
        everyone = [*books, *(functions or {})]
        for name in books:
            await an_agent(core, name, playbook=name, delegates=everyone)
        for name in functions or {}:
            await an_agent(core, name, function=name)
        yield core


def _prepare(data: Path) -> None:
    """Spare each test the migration, which has tests of its own."""
    database = data / "chargehand.db"
    if not database.exists():
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        database.write_bytes(_migrated())


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chargehand.db"
        migrate.upgrade(path)
        return path.read_bytes()


def _playbook(name: str, body: PlaybookBody | Playbook) -> Playbook:
    return body if isinstance(body, Playbook) else Playbook(name=name, run=body)


async def an_agent(core: Core, name: str, **block: Any) -> AgentDefinition:
    """Publish an agent. `block` is its `chargehand:` block; `playbook`, `function` or `command` say its runtime."""
    published, _ = await core.agents.publish(ME, a_definition(name, **block))
    return published


def a_definition(name: str, *, tools: str = "Read, Write, Bash", **block: Any) -> str:
    """A definition file's text. JSON is YAML, so the block is written as such."""
    kind = next((kind for kind in ("playbook", "function", "command") if kind in block), None)
    fields = {**({"runtime": kind} if kind else {}), **block}
    lines = [f"  {key}: {json.dumps(value)}" for key, value in fields.items()]
    told = ["chargehand:", *lines] if lines else []
    front = [f"name: {name}", f"description: Does {name}.", f"tools: {tools}", *told]
    return "\n".join(["---", *front, "---", f"You are {name}.", ""])


async def a_task(core: Core, agent_id: str, data: JsonObject | None = None, **order: Any) -> Task:
    """Submit a task."""
    accepted = await core.tasks.submit(ME, TaskOrder(agent_id=agent_id, task_data=data or {}, **order))
    return accepted.task


async def a_running_task(core: Core, agent_id: str, data: JsonObject | None = None, **order: Any) -> Task:
    """Submit a task and claim it by hand; for a core without an engine."""
    submitted = await a_task(core, agent_id, data, **order)
    return (await claimed(core))[submitted.id]


async def claimed(core: Core, *, worker: str = "worker-1", limit: int = 100) -> dict[str, Task]:
    """What a worker gets when it claims now."""
    return {task.id: task for task in await core.attempts.claim(worker, limit=limit)}


async def ended(core: Core, task: Task | str) -> Task:
    """The task once it has ended."""
    task_id = task if isinstance(task, str) else task.id
    found = await core.watch.wait(ME, task_id, LIMIT_SECONDS)
    assert found.status.is_final, f"{found.agent_id} still {found.status} ({found.reason})"
    return found


async def event(core: Core, task: Task | str, kind: EventKind, *, count: int = 1) -> Event:
    """The count-th event of a kind, as soon as it has happened."""
    task_id = task if isinstance(task, str) else task.id
    async with asyncio.timeout(LIMIT_SECONDS):
        seen = 0
        async for one in core.watch.follow(ME, task_id):
            if one is not None and one.kind == kind:
                seen += 1
                if seen == count:
                    return one
    raise AssertionError(f"the task ended with {seen} {kind}")


async def eventually(holds: Callable[[], Awaitable[bool]], limit_seconds: float = LIMIT_SECONDS) -> None:
    """Return when it holds; for what another task brings about at its own pace, without telling."""
    async with asyncio.timeout(limit_seconds):
        while not await holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


async def pass_time(core: Core, clock: TestClock, seconds: float) -> None:
    """Move the clock, once an engine that sleeps by it does."""
    if core.settings.database_url is None:
        await clock.slept_on()
    clock.advance(seconds)


def crash_lease_seconds(alone: float) -> float:
    """For programs that are killed. Longer than a busy machine halts a process: a lease lost in a life in peace would
    count as a death. On a server each death costs the wait for the dead one's lease, and there are fewer in a row."""
    return 3 if VARIABLE in os.environ else alone


def end_leases_of_the_dead() -> None:
    """For programs that are killed, when nobody lives: on a server else each death costs the wait for its leases.

    A service that is alone with its file knows by itself that nobody lives. What follows is the same: the sweeper
    finds leases that have ended by the database's clock. Others wait for that clock (test_crash_servers.py).
    """
    if (url := os.environ.get(VARIABLE)) is not None:
        execute(
            url,
            "UPDATE agent_tasks SET lease_until = 1 WHERE status = 'running'",
            "UPDATE duties SET lease_until = 1",
        )


async def kinds(core: Core, task: Task | str) -> list[str]:
    """The kinds of a task's events, in order."""
    task_id = task if isinstance(task, str) else task.id
    return [one.kind for one in await core.watch.events(ME, task_id)]


def rows(core: Core, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What the database holds, read past all of our code."""
    return query(core.settings.database_path, statement, *parameters)


def query(database: Path, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """As `rows`, of a database file, or of the server that the test runs on."""
    with outside(database) as connection:
        return connection.execute(statement, parameters).fetchall()


@dataclass(slots=True)
class Effects:
    """A file that work leaves lines in, so that how often it was done can be counted from outside."""

    path: Path

    def leave(self, mark: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{mark}\n")

    def count(self, mark: str) -> int:
        return self.marks().count(mark)

    def marks(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
