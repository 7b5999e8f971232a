"""Wiring of the core: the store, the use cases, the runtimes and the engine, by hand, once.

`open_core` is everything but the ways in; app/service.py puts the HTTP service on top.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from chargehand.app import options
from chargehand.app.duties import duties_of, of_schedules
from chargehand.app.engines import Engine, EngineDoor, Part, Publisher, open_publisher
from chargehand.app.fleet import check_fleet
from chargehand.app.loading import installed, loaded
from chargehand.app.policy import policy_of
from chargehand.app.preflight import check_models
from chargehand.app.servers import telling_of_servers
from chargehand.app.signals import bus_of, rates_of
from chargehand.app.toolbox import open_toolbox
from chargehand.app.webhooks import WebhookParts, check_webhooks, open_webhooks
from chargehand.app.workplaces import workplaces_of
from chargehand.clock import Clock
from chargehand.crew.playbooks import PLAYBOOKS
from chargehand.domain.queues import EVERY_AGENT, Queues
from chargehand.engine.carrier import Carrier
from chargehand.engine.copies import Copies
from chargehand.engine.duties import DutyRounds, duty_lease
from chargehand.engine.embedded import EmbeddedEngine
from chargehand.engine.fleet import FleetEngine
from chargehand.engine.runner import Runner
from chargehand.errors import InvalidInput
from chargehand.models.agent_choice import ModelChooser
from chargehand.models.choice import ModelChoice
from chargehand.runtimes.command import CommandRuntime
from chargehand.runtimes.directory import Runtimes
from chargehand.runtimes.edited_calls import JudgedEdits
from chargehand.runtimes.function import FunctionRuntime
from chargehand.runtimes.model import ModelRuntime
from chargehand.runtimes.playbook import Playbook, PlaybookRuntime
from chargehand.service.admission import Admission
from chargehand.service.agents import Agents
from chargehand.service.approvals import Approvals
from chargehand.service.attempts import Attempts
from chargehand.service.deliveries import Deliveries
from chargehand.service.duties import DutyLeases
from chargehand.service.endings import Hints
from chargehand.service.journal import Journal
from chargehand.service.mcp_pins import McpPins
from chargehand.service.messages import Messages
from chargehand.service.quotas import Quotas
from chargehand.service.retention import Retention
from chargehand.service.schedule_runs import ScheduleRuns
from chargehand.service.schedules import Schedules
from chargehand.service.secrets import Secrets
from chargehand.service.snapshots import Snapshots
from chargehand.service.tasks import Tasks
from chargehand.service.tenant_limits import LimitsOfTenants
from chargehand.service.tenant_storage import TenantStorage
from chargehand.service.upkeep import Upkeep
from chargehand.service.usage import UsageReports
from chargehand.service.vault import Vault
from chargehand.service.watch import Watch
from chargehand.settings import Settings
from chargehand.store.bus import Bus
from chargehand.store.database import Database
from chargehand.store.folder import DataFolder
from chargehand.store.opening import Opened, open_database
from chargehand.store.rates import Rates
from chargehand.store.signals import Signals
from chargehand.store.storage import open_blobs
from chargehand.telemetry.runs import Telemetry
from chargehand.telemetry.traces import open_traces
from chargehand.tools.mcp_file import read_mcp_file
from chargehand.tools.mcp_tools import McpTools
from chargehand.tools.sandbox.base import Sandbox, SandboxLevel, SandboxLimits
from chargehand.tools.sandbox.probe import open_sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The opened core."""

    settings: Settings
    clock: Clock
    folder: DataFolder
    db: Database
    bus: Bus
    hints: Hints
    vault: Vault
    secrets: Secrets
    agents: Agents
    tasks: Tasks
    schedules: Schedules
    schedule_runs: ScheduleRuns
    webhooks: WebhookParts
    approvals: Approvals
    messages: Messages
    watch: Watch
    usage: UsageReports
    attempts: Attempts
    journal: Journal
    upkeep: Upkeep
    deliveries: Deliveries
    retention: Retention
    runtimes: Runtimes
    engine: Engine | None
    duties: DutyRounds | None
    publisher: Publisher | None
    sandbox: Sandbox | None
    chooser: ModelChooser
    mcp_pins: McpPins
    telemetry: Telemetry
    quotas: Quotas
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """Playbooks and functions beside those of the settings; tests and embedding programs hand them in."""

    playbooks: Mapping[str, Playbook] = field(default_factory=dict[str, Playbook])
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])


SERVE = Part()


@asynccontextmanager
async def open_core(
    settings: Settings,
    *,
    clock: Clock | None = None,
    registered: Registered | None = None,
    with_engine: bool = True,
    part: Part = SERVE,
    sandbox: Sandbox | None = None,
    telemetry: Telemetry | None = None,
) -> AsyncGenerator[Core, None]:
    """Take the data folder, bring the database up to date, start the engine; all undone at the end.

    Raises DataFolderInUse, Unavailable, SandboxUnavailable, each naming the way out.
    """
    # Refused before anything is touched.
    check_models(settings)
    check_fleet(settings)
    check_webhooks(settings)
    policy_of(settings)
    telemetry = telemetry or _telemetry(settings)
    _refuse_shown_folder(settings.data_dir)
    folder = DataFolder(settings.data_dir)
    folder.open(shared=settings.database_url is not None)
    try:
        limits = options.server_limits(settings)
        async with (
            open_database(settings.database_path, settings.database_url, limits, clock) as opened,
            telling_of_servers(settings),
            bus_of(settings, telemetry.metrics).running() as bus,
            aclosing(rates_of(settings, bus)) as rates,
        ):
            registered = registered or Registered()
            part = part if with_engine else replace(part, carries=False, has_duties=False)
            core = await _build(settings, opened, bus, rates, folder, registered, part, sandbox, telemetry)
            await _begin(core)
            try:
                yield core
            finally:
                await _end(core)
                await core.tasks.close()
                await core.runtimes.model.close()
                await core.chooser.close()
                await telemetry.traces.close()
    finally:
        folder.close()


async def _begin(core: Core) -> None:
    await core.quotas.limits.load()
    if core.publisher is not None:
        core.publisher.start()
    if core.engine is not None:
        await core.engine.start()
    if core.duties is not None:
        core.duties.start()
    core.webhooks.start()


async def _end(core: Core) -> None:
    if core.engine is not None:
        await core.engine.stop(core.settings.shutdown_grace_seconds)
    if core.duties is not None:
        await core.duties.stop()
    await core.webhooks.sender.stop()
    if core.publisher is not None:
        await asyncio.to_thread(core.publisher.stop)


def _refuse_shown_folder(data_dir: Path) -> None:
    """Agents' commands may read the interpreter's folders; keys and other tasks' files must not lie there."""
    data = data_dir.resolve()
    for shown in {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), Path("/usr")}:
        if data.is_relative_to(shown):
            raise InvalidInput(
                f"the data folder {data_dir} lies below {shown}, which sandboxed commands may read; set"
                " CHARGEHAND_DATA_DIR to a folder elsewhere"
            )


async def _build(
    settings: Settings,
    opened: Opened,
    bus: Bus,
    rates: Rates,
    folder: DataFolder,
    registered: Registered,
    part: Part,
    sandbox: Sandbox | None,
    telemetry: Telemetry,
) -> Core:
    db, clock = opened.db, opened.clock
    vault = Vault(db, clock, options.master_keys(settings), is_shared=opened.is_shared)
    await vault.check()
    signals = Signals(bus)
    blobs = open_blobs(settings.storage_url, settings.blobs_dir, os.environ)
    door = EngineDoor(bus, clock, publisher=open_publisher(settings, telemetry.metrics))
    hints = Hints(signals, door)
    secrets = Secrets(db, vault)
    runtimes = _runtimes(settings, clock, registered, secrets)
    chooser = ModelChooser(runtimes.model.choice, settings.selection_seconds, clock, runtimes.model.costs)
    toolbox = open_toolbox(settings)
    agents = Agents(db, runtimes, offer=toolbox.offer, bus=bus, is_shared=opened.is_shared)
    lease = timedelta(seconds=settings.lease_seconds)
    limits = LimitsOfTenants(db, clock, options.tenant_limits(settings), bus)
    quotas = Quotas(
        limits,
        rates,
        Admission(db, clock, most=settings.backlog_limit),
        TenantStorage(db, clock, limits),
    )
    attempts = Attempts(db, agents, hints, lease, clock, options.concurrency(settings), limits)
    journal = Journal(db, clock, agents, hints, runtimes, quotas)
    upkeep = Upkeep(db, hints, telemetry.metrics.attempts_lost)
    deliveries = Deliveries(db, blobs, hints, quotas.storage)
    orders = Tasks(
        db,
        clock,
        agents,
        hints,
        lambda: folder.check_space(settings.disk_reserve_bytes),
        chooser,
        quotas,
    )
    webhooks = open_webhooks(settings, opened, vault, door, telemetry.metrics, sends=part.has_duties)
    schedule_runs = ScheduleRuns(db, orders, hints, telemetry.metrics)
    snapshots = Snapshots(db, blobs)
    retention = options.retention_of(settings, db, blobs, clock, snapshots)
    mcp_pins = McpPins(db, settings.mcp_first_use == "trust")
    mcp = McpTools(read_mcp_file(settings.mcp_file), mcp_pins, clock, secrets=secrets)
    mcp_pins.servers = mcp
    # Two processes in containers may have the same name and number; a lease must never pass for another's.
    worker = f"{socket.gethostname()[:40]}:{os.getpid()}:{clock.token_bytes(4).hex()}"
    carries = part.carries and (settings.engine == "embedded" or part.is_worker)
    if carries:
        sandbox = sandbox or await open_sandbox(SandboxLevel(settings.sandbox) if settings.sandbox else None)
        mcp.sandbox = sandbox
        copies = Copies(upkeep, settings.workspaces_dir)
        runner = Runner(
            agents=agents,
            attempts=attempts,
            journal=journal,
            deliveries=deliveries,
            runtimes=runtimes,
            catalogue=toolbox.catalogue,
            sandbox=sandbox,
            limits=SandboxLimits(),
            workplaces=workplaces_of(settings, snapshots, journal, copies),
            clock=clock,
            copies=copies,
            mcp=mcp,
            policy=policy_of(settings),
            telemetry=telemetry,
        )
        carrier = Carrier(
            attempts=attempts,
            runner=runner,
            clock=clock,
            slots=settings.slots,
            worker=worker,
            scope=Queues(settings.agent_queues).scope(part.queues) if part.queues else EVERY_AGENT,
        )
        door.engine = (
            FleetEngine(carrier=carrier, clock=clock)
            if opened.is_shared
            else EmbeddedEngine(
                carrier=carrier, upkeep=upkeep, clock=clock, duties=[of_schedules(schedule_runs)]
            )
        )
    if part.has_duties:
        lease = duty_lease(settings.lease_seconds)
        door.duties = DutyRounds(
            duties=duties_of(upkeep, schedule_runs, retention, webhooks, door, is_shared=opened.is_shared),
            leases=DutyLeases(db, holder=worker, lease=lease),
            clock=clock,
        )
    return Core(
        settings=settings,
        clock=clock,
        folder=folder,
        db=db,
        bus=bus,
        hints=hints,
        vault=vault,
        secrets=secrets,
        agents=agents,
        tasks=orders,
        schedules=Schedules(db, clock, orders, hints),
        schedule_runs=schedule_runs,
        webhooks=webhooks,
        approvals=Approvals(
            db,
            clock,
            hints,
            JudgedEdits(agents=agents, policy=policy_of(settings), catalogue=toolbox.catalogue),
        ),
        messages=Messages(db, agents, hints, orders),
        watch=Watch(db, blobs, signals, has_others=opened.is_shared),
        usage=UsageReports(db),
        attempts=attempts,
        journal=journal,
        upkeep=upkeep,
        deliveries=deliveries,
        retention=retention,
        runtimes=runtimes,
        engine=door.engine,
        duties=door.duties,
        publisher=door.publisher,
        sandbox=sandbox,
        chooser=chooser,
        mcp_pins=mcp_pins,
        telemetry=telemetry,
        quotas=quotas,
        rates=rates,
    )


def _telemetry(settings: Settings) -> Telemetry:
    traces = open_traces(settings.traces, os.environ, with_content=settings.trace_content)
    return Telemetry(traces=traces)


def _runtimes(settings: Settings, clock: Clock, registered: Registered, secrets: Secrets) -> Runtimes:
    playbooks: dict[str, Playbook] = {**PLAYBOOKS, **registered.playbooks}
    for name, found in _named("chargehand.playbooks", "CHARGEHAND_PLAYBOOKS", settings.playbooks).items():
        playbooks[name] = found if isinstance(found, Playbook) else Playbook(name=name, run=found)
    own = _named("chargehand.functions", "CHARGEHAND_FUNCTIONS", settings.functions)
    functions = {**own, **registered.functions}
    choice = ModelChoice(
        default=settings.model,
        aliases=settings.model_aliases,
        base_urls=settings.model_urls,
        environment=os.environ,
        fallbacks=settings.model_fallbacks,
        is_by_tenant=settings.model_keys == "tenants",
    )
    return Runtimes(
        playbook=PlaybookRuntime(playbooks),
        function=FunctionRuntime(functions),
        command=CommandRuntime(),
        model=ModelRuntime(
            choice,
            options.model_limits(settings),
            clock,
            options.costs(settings),
            settings.model_context_tokens,
            secrets.values,
        ),
    )


def _named(group: str, setting: str, listed: Sequence[str]) -> dict[str, Any]:
    """Callables by name: from installed packages' entry points, then from the settings."""
    found: dict[str, Any] = {name: one for name, _, one in installed(group)}
    for text in listed:
        name, equals, place = text.partition("=")
        if not (name and equals):
            raise InvalidInput(f"{setting}: {text!r} is not of the form name=package.module:callable")
        found[name] = loaded(place, setting)
    return found
