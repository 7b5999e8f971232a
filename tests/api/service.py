"""A service under test: real store, real use cases, real HTTP application; the test itself is the worker.

What an agent would do, `Worker` does on the test's word; so every moment between two steps can be looked at.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

import httpx2
from fastapi import FastAPI

from chargehand.app import options
from chargehand.app.engines import EngineDoor
from chargehand.app.issuers import tokens_of
from chargehand.app.webhooks import open_webhooks
from chargehand.clock import Clock
from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.domain.agent import AgentDefinition, RuntimeKind
from chargehand.domain.deliverable import Deliverable, DeliveredFile, Evidence
from chargehand.domain.history import Step, StepKind, StepStatus
from chargehand.domain.task import Completed, Failed, Outcome, Reason, Suspended, Task, TaskError
from chargehand.domain.values import JsonObject, JsonValue, bytes_hash
from chargehand.errors import InvalidInput, RuntimeMissing
from chargehand.serve.http import create_http
from chargehand.serve.server import run_server
from chargehand.service.access import Access
from chargehand.service.admission import Admission
from chargehand.service.agents import Agents
from chargehand.service.approvals import Approvals
from chargehand.service.attempts import Attempts
from chargehand.service.audit import Audit
from chargehand.service.authentication_tries import AuthenticationTries
from chargehand.service.deliveries import Deliveries
from chargehand.service.denials import Denials
from chargehand.service.endings import Hints
from chargehand.service.health import Health, Reading
from chargehand.service.journal import Delegation, Journal
from chargehand.service.keys import Keys
from chargehand.service.mcp_pins import McpPins
from chargehand.service.measures import Measures
from chargehand.service.messages import Messages
from chargehand.service.open_streams import OpenStreams
from chargehand.service.ports import NoEngine
from chargehand.service.quota_reports import QuotaReports
from chargehand.service.quotas import Quotas
from chargehand.service.request_rates import RequestRates
from chargehand.service.retention import Retention, WorkspaceFolders
from chargehand.service.schedules import Schedules
from chargehand.service.secrets import Secrets
from chargehand.service.services import Services
from chargehand.service.sessions import Sessions
from chargehand.service.tasks import Tasks
from chargehand.service.tenant_limits import LimitsOfTenants
from chargehand.service.tenant_storage import TenantStorage
from chargehand.service.tenants import Tenants
from chargehand.service.usage import UsageReports
from chargehand.service.vault import Vault
from chargehand.service.watch import Watch
from chargehand.settings import Settings
from chargehand.store import migrate
from chargehand.store.blobs import FolderBlobs
from chargehand.store.bus import Bus
from chargehand.store.opening import Opened, open_database
from chargehand.store.rates import LocalRates
from chargehand.store.server_url import ServerLimits
from chargehand.store.signals import Signals
from chargehand.telemetry.metrics import Metrics
from tests.api.contract import hold_to_contract

ECHO = """\
---
name: echo
description: Says what it was told.
chargehand:
  runtime: function
  function: echo
  delegates: [echo]
---
Say what you were told.
"""
BASE_URL = "http://127.0.0.1:8700"
OWNER = Principal(id="owner", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.ADMIN, Scope.ADMIN_SERVICE}))
STRANGER = Principal(id="stranger", tenant="another", scopes=frozenset({Scope.ADMIN}))


class UnjudgedEdits:
    """No runtime is here that could judge a person's edit: whoever runs the call judges it."""

    async def check(self, task: Task, tool: str, arguments: JsonObject) -> None:
        pass


class Directory:
    """Every agent can be carried out, by a model only `modelled`; data with `refuse` is refused."""

    def check_definition(self, definition: AgentDefinition) -> None:
        del definition

    def check_output_schema(self, definition: AgentDefinition, schema: JsonObject) -> None:
        pass

    def check_input(self, definition: AgentDefinition, task_data: JsonObject) -> None:
        if definition.runtime is RuntimeKind.MODEL and definition.id != "modelled":
            raise RuntimeMissing(f"agent {definition.id!r} needs a model")
        if "refuse" in task_data:
            raise InvalidInput("refuse is not wanted")


@dataclass
class Space:
    """The disk, as the service sees it."""

    error: Exception | None = None

    def check(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Carries tasks, step by step."""

    attempts: Attempts
    journal: Journal
    deliveries: Deliveries

    async def claim(self) -> Task:
        claimed = await self.attempts.claim("worker", limit=1)
        return claimed[0]

    async def finish(self, task: Task, outcome: Outcome | None = None) -> Task:
        return await self.attempts.finish(task, outcome or Completed(result={"said": task.task_data}))

    async def fail(self, task: Task) -> Task:
        return await self.finish(
            task, Failed(error=TaskError(reason=Reason.AGENT_ERROR, message="it went wrong"))
        )

    async def take_step(self, task: Task, path: str, result: JsonValue = None) -> None:
        step = self.journal.new_step(
            task, path, StepKind.TOOL, "Read", {"file_path": "a"}, StepStatus.RUNNING
        )
        await self.journal.begin(task, step)
        await self.journal.end(task, step, result)

    async def ask(self, task: Task, path: str, arguments: JsonObject) -> Step:
        step = self.journal.new_step(task, path, StepKind.QUESTION, "ask", arguments, StepStatus.OPEN)
        await self.journal.ask(task, step)
        await self.finish(task, Suspended(reason=Reason.QUESTION))
        return step

    async def delegate(self, task: Task) -> None:
        step = self.journal.new_step(task, "0/0", StepKind.DELEGATION, "delegate", {}, StepStatus.OPEN)
        await self.journal.delegate(task, step, [Delegation(agent_id="echo", task_data={}, labels={})])
        await self.finish(task, Suspended(reason=Reason.CHILDREN))

    async def deliver(self, task: Task, name: str, files: dict[str, bytes], *, is_folder: bool) -> None:
        for content in files.values():
            await self.deliveries.keep(content)
        evidence = Evidence(deliverable=name, check="exists", passed=True, output="there", exit_code=0)
        one = Deliverable(
            task_id=task.id,
            name=name,
            path=name,
            is_folder=is_folder,
            sha256=bytes_hash(b"".join(files.values())),
            size_bytes=sum(map(len, files.values())),
            files=tuple(
                DeliveredFile(path=path, sha256=bytes_hash(content), size_bytes=len(content))
                for path, content in files.items()
            ),
            evidence=(evidence,),
            stored_at=task.created_at,
        )
        await self.deliveries.store(task, [one])


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """All that a test may look at."""

    http: FastAPI
    services: Services
    worker: Worker
    space: Space
    key_file: Path
    key: str

    async def key_with(self, *scopes: Scope, who: Principal = OWNER) -> str:
        name = f"{who.tenant}-{'-'.join(scopes) or 'nothing'}"
        key, _ = await self.services.keys.issue(who, name, frozenset(scopes))
        return key

    def client(self, key: str | None) -> httpx2.AsyncClient:
        """Calls the application without a socket; every answer is held to the contract."""
        return self._client(key, BASE_URL, httpx2.ASGITransport(self.http))

    def real_client(self, key: str | None, url: str) -> httpx2.AsyncClient:
        """As `client`, over a socket."""
        return self._client(key, url, httpx2.AsyncHTTPTransport())

    def _client(self, key: str | None, url: str, transport: httpx2.AsyncBaseTransport) -> httpx2.AsyncClient:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        hooks = {"response": [partial(hold_to_contract, self.http)]}
        return httpx2.AsyncClient(transport=transport, base_url=url, headers=headers, event_hooks=hooks)

    @asynccontextmanager
    async def listening(self, *, grace_seconds: float = 1) -> AsyncGenerator[tuple[str, asyncio.Event]]:
        """The application on a free port of the loopback: its URL, and the event that stops it."""
        loop = asyncio.get_running_loop()
        stopping, url = asyncio.Event(), loop.create_future()
        server = asyncio.ensure_future(
            run_server(
                self.http,
                host="127.0.0.1",
                port=0,
                stopping=stopping,
                grace_seconds=grace_seconds,
                on_listening=url.set_result,
            )
        )
        try:
            yield await asyncio.wait_for(url, 5), stopping
        finally:
            stopping.set()
            await asyncio.wait_for(server, 10)


@cache
def _empty_database() -> bytes:
    """A migrated database; migrating takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        migrate.upgrade(path)
        return path.read_bytes()


def with_database(path: Path) -> None:
    """Put a migrated, empty database there, unless there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(_empty_database())


MANY_TRIES = 10_000
"""A second, for tests that come with many wrong keys; how many there may be has tests of its own."""


@asynccontextmanager
async def open_service(
    folder: Path,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    probes: Sequence[tuple[str, Reading]] = (),
) -> AsyncGenerator[Service, None]:
    """A service on a data folder, with the agent `echo`."""
    settings = settings or Settings(data_dir=folder, failed_authentications_per_second=MANY_TRIES)
    await asyncio.to_thread(with_database, settings.database_path)
    async with open_database(settings.database_path, settings.database_url, ServerLimits(), clock) as opened:
        service = await _on(opened, folder, settings, probes)
        try:
            yield service
        finally:
            await service.services.access.close()


async def _on(
    opened: Opened, folder: Path, settings: Settings, probes: Sequence[tuple[str, Reading]]
) -> Service:
    db, clock = opened.db, opened.clock
    vault = Vault(db, clock, options.master_keys(settings), is_shared=opened.is_shared)
    await vault.check()
    # Nobody sends: what is due stands in its rows.
    webhooks = open_webhooks(settings, opened, vault, EngineDoor(Bus(), clock), Metrics(), sends=False)
    signals, blobs, directory, space = Signals(), FolderBlobs(settings.blobs_dir), Directory(), Space()
    hints = Hints(signals, NoEngine())
    agents = Agents(db, directory)
    bus = Bus()
    access = Access(db, clock, folder / "pepper", bus)
    health = Health(db, clock, space.check, {name: lambda one=one: one for name, one in probes})
    rates = LocalRates(clock.monotonic)
    limits = LimitsOfTenants(db, clock, options.tenant_limits(settings))
    quotas = Quotas(limits, rates, Admission(db, clock, most=None), TenantStorage(db, clock, limits))
    request_rates = RequestRates(limits, rates, options.request_limits(settings))
    streams = OpenStreams(limits, most_of_key=settings.key_streams)
    orders = Tasks(db, clock, agents, hints, space.check, quotas=quotas)
    services = Services(
        vault=vault,
        secrets=Secrets(db, vault),
        audit=Audit(db, Denials(db, clock)),
        agents=agents,
        tasks=orders,
        schedules=Schedules(db, clock, orders, hints),
        webhooks=webhooks.webhooks,
        messages=Messages(db, agents, hints, orders),
        approvals=Approvals(db, clock, hints, UnjudgedEdits()),
        watch=Watch(db, blobs, signals),
        usage=UsageReports(db),
        access=access,
        keys=Keys(access),
        tenants=Tenants(access, hints, equip=lambda _: agents.publish_everywhere("service", {"echo": ECHO})),
        measures=Measures(db, clock, Metrics(), health),
        health=health,
        mcp=McpPins(db, trusts_first=False),
        authentication_tries=AuthenticationTries(options.failed_authentications(settings), clock.monotonic),
        request_rates=request_rates,
        limits=limits,
        quota_reports=QuotaReports(db, clock, quotas, request_rates, streams),
        streams=streams,
        retention=Retention(
            db=db,
            blobs=blobs,
            clock=clock,
            folders=WorkspaceFolders(listed=set[str], remove=lambda task_id: None),
        ),
        sessions=Sessions(db, clock, access, bus),
        tokens=tokens_of(settings, clock),
    )
    worker = Worker(
        attempts=Attempts(db, agents, hints, timedelta(seconds=30), clock),
        journal=Journal(db, clock, agents, hints, directory),
        deliveries=Deliveries(db, blobs, hints, quotas.storage),
    )
    await access.bootstrap(settings.key_file)
    await agents.publish(OWNER, ECHO)
    return Service(
        http=create_http(services, settings),
        services=services,
        worker=worker,
        space=space,
        key_file=settings.key_file,
        key=settings.key_file.read_text(encoding="ascii").strip(),
    )
