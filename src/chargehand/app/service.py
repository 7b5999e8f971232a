"""The whole service: the core, the keys, the crew, and the HTTP way in."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from chargehand.app import options
from chargehand.app.core import Core, Registered, open_core
from chargehand.app.issuers import check_issuers, tokens_of
from chargehand.app.loop import keep_what_the_start_made, stop_signals
from chargehand.app.readings import gauges_of, health_of
from chargehand.app.supervisor import notify, notify_reloading, reload_signal
from chargehand.clock import Clock
from chargehand.domain.access import LOCAL_OPERATOR, Principal
from chargehand.domain.agent import is_other_text
from chargehand.errors import ChargehandError, InvalidDefinition
from chargehand.serve.http import create_http
from chargehand.serve.server import run_server
from chargehand.service.access import Access
from chargehand.service.audit import Audit
from chargehand.service.authentication_tries import AuthenticationTries
from chargehand.service.denials import Denials
from chargehand.service.keys import Keys
from chargehand.service.measures import Measures
from chargehand.service.open_streams import OpenStreams
from chargehand.service.quota_reports import QuotaReports
from chargehand.service.request_rates import RequestRates
from chargehand.service.services import Services
from chargehand.service.sessions import Sessions
from chargehand.service.tenants import Tenants
from chargehand.settings import Settings

if TYPE_CHECKING:
    from chargehand.service.tokens import Tokens

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
    check_issuers(settings)
    async with open_core(settings, clock=clock, registered=registered, with_engine=with_engine) as core:
        access = Access(core.db, core.clock, settings.data_dir / "pepper", core.bus)
        tokens = tokens_of(settings, core.clock)
        created = await access.bootstrap(settings.key_file)
        crew = await asyncio.to_thread(_crew)
        await core.agents.publish_everywhere(LOCAL_OPERATOR.id, crew)
        if settings.agents_dir is not None:
            texts = await asyncio.to_thread(_texts_of, settings.agents_dir)
            await core.agents.publish_all(LOCAL_OPERATOR, texts)
        services = _services(core, access, tokens, crew)
        try:
            yield App(settings=settings, core=core, services=services, admin_key_created=created)
            await services.audit.denials.flush()
        finally:
            await access.close()
            if tokens is not None:
                await tokens.close()


async def serve(settings: Settings, *, on_listening: Callable[[App, str], None]) -> None:
    """Run the service until SIGTERM, Ctrl-C or SIGBREAK; then end streams and give running tasks back.

    SIGHUP reloads, and a supervisor is told when it answers, reloads and stops.
    """
    with stop_signals() as stopping, reload_signal() as asked:
        async with open_app(settings) as app, _reloading(app, asked):

            def heard(url: str) -> None:
                keep_what_the_start_made()
                on_listening(app, url)
                notify("READY=1", f"STATUS=answers at {url}")

            await listen(app, stopping, on_listening=heard)
            notify("STOPPING=1", "STATUS=gives back what it carries")


@asynccontextmanager
async def _reloading(app: App, asked: asyncio.Event) -> AsyncGenerator[None, None]:
    """Reload whenever asked, for as long as the block."""

    async def work() -> None:
        while await asked.wait():
            asked.clear()
            notify_reloading()
            await reload(app)
            notify("READY=1")

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait((working,))


async def reload(app: App) -> None:
    """Read the definitions in `agents_dir` anew; tasks that are there go on with the versions that they have.

    All else that settings name is read at a start alone. A definition that is wrong changes nothing, and is logged.
    """
    folder = app.settings.agents_dir
    try:
        if folder is not None:
            texts = await asyncio.to_thread(_texts_of, folder)
            await app.core.agents.publish_all(LOCAL_OPERATOR, texts)
        log.info("reloaded", agents_dir=None if folder is None else str(folder))
    except ChargehandError as error:
        log.error("not reloaded; all stays as it was", error=error.message)


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


def _services(core: Core, access: Access, tokens: "Tokens | None", crew: Mapping[str, str]) -> Services:
    health = health_of(core)
    settings, quotas = core.settings, core.quotas
    request_rates = RequestRates(quotas.limits, core.rates, options.request_limits(settings))
    streams = OpenStreams(quotas.limits, most_of_key=settings.key_streams)
    return Services(
        agents=core.agents,
        tasks=core.tasks,
        schedules=core.schedules,
        webhooks=core.webhooks.webhooks,
        approvals=core.approvals,
        messages=core.messages,
        watch=core.watch,
        usage=core.usage,
        access=access,
        keys=Keys(access),
        tenants=Tenants(
            access, core.hints, equip=lambda _: core.agents.publish_everywhere(LOCAL_OPERATOR.id, crew)
        ),
        health=health,
        mcp=core.mcp_pins,
        retention=core.retention,
        measures=Measures(core.db, core.clock, core.telemetry.metrics, health, lambda: gauges_of(core)),
        vault=core.vault,
        secrets=core.secrets,
        audit=Audit(core.db, Denials(core.db, core.clock)),
        sessions=Sessions(core.db, core.clock, access, core.bus),
        tokens=tokens,
        authentication_tries=AuthenticationTries(
            options.failed_authentications(settings), core.clock.monotonic
        ),
        request_rates=request_rates,
        limits=quotas.limits,
        quota_reports=QuotaReports(core.db, core.clock, quotas, request_rates, streams),
        streams=streams,
    )


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
