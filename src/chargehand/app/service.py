"""The whole service: the core, the keys, the crew, and the HTTP way in."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import structlog

from chargehand.app import options
from chargehand.app.core import Core, Registered, open_core
from chargehand.app.loop import stop_signals
from chargehand.clock import Clock
from chargehand.domain.access import LOCAL_OPERATOR, Principal
from chargehand.domain.agent import is_other_text
from chargehand.errors import InvalidDefinition
from chargehand.serve.http import create_http
from chargehand.serve.server import run_server
from chargehand.service.access import Access
from chargehand.service.authentication_tries import AuthenticationTries
from chargehand.service.health import Health, Reading
from chargehand.service.measures import Measures
from chargehand.service.open_streams import OpenStreams
from chargehand.service.quota_reports import QuotaReports
from chargehand.service.request_rates import RequestRates
from chargehand.service.services import Services
from chargehand.settings import Settings

log = structlog.stdlib.get_logger("chargehand.service")


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The opened service."""

    settings: Settings
    core: Core
    services: Services
    admin_key_created: bool
    principal: Principal = LOCAL_OPERATOR
    """Who the owner of the data folder is, for programs that embed the service."""


@asynccontextmanager
async def open_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    registered: Registered | None = None,
    with_engine: bool = True,
) -> AsyncGenerator[App, None]:
    """Open the core, make the administrator's key at the first start, register the crew and `agents_dir`.

    Raises as `open_core` does, and InvalidDefinition for a bad file in `agents_dir`; one without front matter is none.
    """
    async with open_core(settings, clock=clock, registered=registered, with_engine=with_engine) as core:
        access = Access(core.db, core.clock, settings.data_dir / "pepper", core.bus)
        created = await access.bootstrap(settings.key_file)
        await core.agents.publish_all(LOCAL_OPERATOR, await asyncio.to_thread(_crew), only_new=True)
        if settings.agents_dir is not None:
            texts = await asyncio.to_thread(_texts_of, settings.agents_dir)
            await core.agents.publish_all(LOCAL_OPERATOR, texts)
        yield App(settings=settings, core=core, services=_services(core, access), admin_key_created=created)


async def serve(settings: Settings, *, on_listening: Callable[[App, str], None]) -> None:
    """Run the service until SIGTERM, Ctrl-C or SIGBREAK; then end streams and give running tasks back."""
    with stop_signals() as stopping:
        async with open_app(settings) as app:

            def heard(url: str) -> None:
                # What the start has made stays until the end. Looked through for garbage again and again, it would hold
                # every request up for a tenth of a second now and then.
                gc.freeze()
                on_listening(app, url)

            await listen(app, stopping, on_listening=heard)


async def listen(app: App, stopping: asyncio.Event, *, on_listening: Callable[[str], None]) -> None:
    """Answer HTTP until `stopping` is set; the data folder tells other processes the address."""

    def heard(url: str) -> None:
        app.core.folder.tell(url=url)
        on_listening(url)

    settings = app.settings
    await run_server(
        create_http(app.services, settings),
        host=settings.host,
        port=settings.port,
        stopping=stopping,
        grace_seconds=settings.shutdown_grace_seconds,
        on_listening=heard,
    )


def _services(core: Core, access: Access) -> Services:
    engine, sandbox = core.engine, core.sandbox

    def engine_reading() -> Reading:
        if core.settings.engine == "celery":
            return Reading(ok=True, detail="the fleet's workers carry out tasks")
        alive = engine is not None and engine.is_alive
        return Reading(
            ok=alive, detail=f"carries {engine.running} of {engine.slots}" if engine else "none here"
        )

    def sandbox_reading() -> Reading:
        if core.settings.engine == "celery":
            return Reading(ok=True, detail="each worker has its own")
        return Reading(ok=sandbox is not None, detail=f"level {sandbox.level}" if sandbox else "none here")

    health = Health(
        core.db,
        core.clock,
        lambda: core.folder.check_space(core.settings.disk_reserve_bytes),
        {"engine": engine_reading, "sandbox": sandbox_reading, **_lines(core)},
    )
    settings, quotas = core.settings, core.quotas
    request_rates = RequestRates(quotas.limits, core.rates, options.request_limits(settings))
    streams = OpenStreams(quotas.limits, most_of_key=settings.key_streams)
    return Services(
        agents=core.agents,
        tasks=core.tasks,
        schedules=core.schedules,
        approvals=core.approvals,
        messages=core.messages,
        watch=core.watch,
        usage=core.usage,
        access=access,
        health=health,
        mcp=core.mcp_pins,
        retention=core.retention,
        authentication_tries=AuthenticationTries(
            options.failed_authentications(settings), core.clock.monotonic
        ),
        request_rates=request_rates,
        limits=quotas.limits,
        quota_reports=QuotaReports(core.db, core.clock, quotas, request_rates, streams),
        streams=streams,
        measures=Measures(core.db, core.clock, core.telemetry.metrics),
    )


def _lines(core: Core) -> dict[str, Callable[[], Reading]]:
    """Of a service that is one of several: the ways to the others. Without them it works, a little later."""
    lines: dict[str, Callable[[], Reading]] = {}
    publisher = core.publisher
    if core.settings.database_url is not None:
        lines["bus"] = lambda: Reading(ok=True, detail=_of_bus(core))
    if publisher is not None:
        lines["broker"] = lambda: Reading(ok=True, detail=publisher.state)
    return lines


def _of_bus(core: Core) -> str:
    if core.bus.is_connected:
        return f"connected; {core.bus.processes} processes heard of"
    return "away or none: waiters look into the rows"


def _crew() -> Mapping[str, str]:
    """The definitions that ship, by file name."""
    shipped = resources.files("chargehand.crew") / "definitions"
    return {
        one.name: one.read_text(encoding="utf-8")
        for one in sorted(shipped.iterdir(), key=lambda one: one.name)
        if one.name.endswith(".md")
    }


def _texts_of(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise InvalidDefinition(f"CHARGEHAND_AGENTS_DIR: {folder} is not a folder")
    texts: dict[str, str] = {}
    for path in sorted(folder.glob("*.md")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidDefinition(f"{path} cannot be read as UTF-8 text: {error}") from error
        if is_other_text(text):
            log.warning("passed over in CHARGEHAND_AGENTS_DIR: no front matter", file=str(path))
        else:
            texts[str(path)] = text
    return texts
