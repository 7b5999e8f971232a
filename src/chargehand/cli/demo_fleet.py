"""`chargehand demo --fleet`: the same demo on a database server, a broker and workers of their own processes.

Rule: a death is told, never hidden; and the database of another installation is refused before anything is touched.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from chargehand.app.fleet import check_fleet
from chargehand.app.installation import is_own_database
from chargehand.cli.configured import load_settings
from chargehand.cli.connection import STOPPING_SECONDS
from chargehand.cli.demo_processes import Member, Processes, end_left_behind, environment_of
from chargehand.cli.event_data import text
from chargehand.cli.exits import say
from chargehand.cli.shows import Beside
from chargehand.client import AsyncClient
from chargehand.client.calls import listing
from chargehand.domain.history import TERMINAL_EVENTS, EventKind
from chargehand.domain.task import FINAL
from chargehand.errors import InvalidInput, Unavailable
from chargehand.settings import Settings
from chargehand.wire.rest import EventBody

FOLDER = Path("chargehand-fleet")
LEASE_SECONDS = 10.0
"""How long a dead worker's tasks wait for another one, unless CHARGEHAND_LEASE_SECONDS says otherwise."""
SLOTS = 1
"""Of a worker, unless CHARGEHAND_SLOTS says otherwise: with more, who delegates gets all of the crew itself."""
STEPS_BETWEEN_KILLS = 8

_Result = TypeVar("_Result")
_ATTEMPT_ENDS = TERMINAL_EVENTS | {EventKind.WAITING, EventKind.RELEASED, EventKind.DEFERRED}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What `chargehand demo --fleet` was told."""

    workers: int = 2
    kills_workers: bool = False
    database_url: str | None = None
    broker_url: str | None = None


def fleet_settings(options: FleetOptions) -> Settings:
    """The settings of all processes; InvalidInput says what a fleet lacks."""
    settings = load_settings()
    given: dict[str, Any] = {
        "engine": "celery",
        "database_url": options.database_url or settings.database_url,
        "broker_url": options.broker_url or settings.broker_url,
    }
    if "data_dir" not in settings.model_fields_set:
        given["data_dir"] = FOLDER.absolute()
    if given["database_url"] is None:
        raise InvalidInput(
            "chargehand demo --fleet needs a database of its own on a server: --database-url postgresql://…"
            " or CHARGEHAND_DATABASE_URL"
        )
    if given["broker_url"] is None:
        raise InvalidInput(
            "chargehand demo --fleet needs a broker: --broker-url redis://… or amqp://…, or CHARGEHAND_BROKER_URL"
        )
    if "lease_seconds" not in settings.model_fields_set:
        given["lease_seconds"] = LEASE_SECONDS
    if "slots" not in settings.model_fields_set:
        given["slots"] = SLOTS
    settings = settings.model_copy(update=given)
    check_fleet(settings)
    if find_spec("celery") is None:
        raise Unavailable("a fleet needs Celery; install it with: pip install 'chargehand[celery]'")
    return settings


@dataclass(slots=True, kw_only=True)
class DemoFleet:
    """The fleet that runs."""

    processes: Processes
    news: Beside
    deaths: "Deaths"

    async def during(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """The work's result; Told when a process of the fleet cannot be kept alive meanwhile."""
        working, fault = asyncio.ensure_future(work), asyncio.ensure_future(self.processes.fault())
        try:
            await asyncio.wait((working, fault), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                fault.result()
            return await working
        finally:
            for one in (working, fault):
                one.cancel()
            await asyncio.gather(working, fault, return_exceptions=True)


class Deaths:
    """Who carries what, so that a death can be told in full; and, if asked to, who is killed next."""

    def __init__(self, settings: Settings, *, kills: bool, tell: Callable[[str], None]) -> None:
        self._lease_seconds = settings.lease_seconds
        self._tell = tell
        self.kills = kills
        self.members: list[Member] = []
        self.killed: set[str] = set()
        self._carried: dict[str, int] = {}
        self._agents: dict[str, str] = {}
        self._steps = 0

    def hear(self, event: EventBody, agent_id: str) -> None:
        """Learn from an event who carries the task."""
        self._agents[event.task_id] = agent_id
        if event.kind == EventKind.STARTED:
            # host:pid:token, as app/core.py names workers
            pid = text(event.data, "worker").split(":")[-2:-1]
            self._carried[event.task_id] = int(pid[0]) if pid and pid[0].isdecimal() else 0
        elif event.kind in _ATTEMPT_ENDS:
            self._carried.pop(event.task_id, None)
        elif event.kind == EventKind.STEP_FINISHED:
            self._steps += 1
        elif event.kind == EventKind.STEP_STARTED and text(event.data, "kind") in ("tool", "check"):
            self._may_kill(self._carried.get(event.task_id, 0))

    def told(self, member: Member) -> str:
        """What a death leaves behind."""
        carried = [self._agents[task_id] for task_id, pid in self._carried.items() if pid == member.pid]
        if not carried:
            return "; it carried no task"
        return (
            f"; it carried {', '.join(sorted(carried))}, which goes on elsewhere within"
            f" {self._lease_seconds:g} s; no finished step is repeated"
        )

    def left(self) -> list[str]:
        """The workers that were to be killed and were not."""
        return [one.name for one in self.members if one.name not in self.killed] if self.kills else []

    def _may_kill(self, pid: int) -> None:
        """Kill the worker in whose hands a step has just begun, if it is its turn and all is well again."""
        if not self.kills or self._steps < STEPS_BETWEEN_KILLS:
            return
        living = {one.pid for one in self.members if one.is_ready and one.lives}
        all_well = len(living) == len(self.members) and set(self._carried.values()) <= living
        for member in self.members:
            if all_well and member.pid == pid and member.name not in self.killed:
                self.killed.add(member.name)
                self._steps = 0
                self._tell(f"{member.name} (pid {pid}) is killed now, in the middle of its work")
                member.kill()


@asynccontextmanager
async def open_fleet(settings: Settings, options: FleetOptions) -> AsyncGenerator[DemoFleet, None]:
    """Start the processes; at the end stop them in order, however it comes."""
    if left := end_left_behind(settings.data_dir):
        say(f"{left} processes that an earlier demo had left running were killed")
    await _refuse_other_installation(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    environment = environment_of(
        data_dir=settings.data_dir,
        engine=settings.engine,
        database_url=settings.database_url,
        broker_url=settings.broker_url,
        lease_seconds=settings.lease_seconds,
        slots=settings.slots,
        shutdown_grace_seconds=STOPPING_SECONDS,
    )
    news = Beside()

    def tell(line: str) -> None:
        news.tell(line)

    deaths = Deaths(settings, kills=options.kills_workers, tell=tell)
    processes = Processes(settings.data_dir, environment, workers=options.workers, tell=tell)
    deaths.members, processes.on_death = processes.workers, deaths.told
    news.hear = deaths.hear
    fleet = DemoFleet(processes=processes, news=news, deaths=deaths)
    try:
        await processes.start()
        workers = ", ".join(f"{one.name} (pid {one.pid})" for one in processes.workers)
        say(f"The fleet: the service at {processes.url} (pid {processes.service.pid}), {workers}")
        say(f"Its logs: {settings.data_dir / 'logs'}")
        yield fleet
    finally:
        await processes.stop()


async def cancel_earlier(client: AsyncClient, labels: Mapping[str, str]) -> None:
    """End what earlier demos have left unfinished in this database: nobody waits for it any more."""
    page = await client.tasks(listing(labels=labels))
    for task in page.items:
        if task.parent_id is None and task.status not in FINAL:
            await client.cancel(task.id)


async def _refuse_other_installation(settings: Settings) -> None:
    """A service with another folder's key would end the keys that the database knows."""
    if not await is_own_database(settings):
        raise InvalidInput(
            f"the database belongs to another installation than {settings.data_dir}; give the demo one of its own"
            " (for example: createdb chargehand_demo), or the folder of the demo that had it (CHARGEHAND_DATA_DIR)"
        )
