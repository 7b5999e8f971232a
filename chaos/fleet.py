"""Installations of several processes: servers of the harness's own, and a proxy on every way from one to another."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos import servers
from chaos.broker import BrokerMessages
from chaos.disks import NoDisk, SmallDisk, mount, unmount
from chaos.embedded import common_settings
from chaos.installation import Installation
from chaos.nodes import Node
from chaos.nursery import Nursery
from chaos.options import Options
from chaos.outside import OutsidePostgresql
from chaos.ports import LOOPBACK, free_port
from chaos.proxy import ChaosProxy
from chaos.servers import Server

WORKER_READY = '"worker ready"'
UPKEEP_READY = '"upkeep ready"'
DATABASE_CONNECTIONS = "6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One process that the installation has."""

    name: str
    role: str
    argv: Sequence[str]
    port: int = 0
    ready_text: str = ""


@asynccontextmanager
async def open_fleet(folder: Path, options: Options) -> AsyncGenerator[Installation, None]:
    """Start servers, proxies and processes; at the end everything is stopped, also when the start fails."""
    async with AsyncExitStack() as stack:
        skipped: list[str] = []
        disk = await _a_disk(folder, skipped)
        if disk is not None:
            stack.push_async_callback(unmount, disk)
        nursery = Nursery(folder / "nursery.log")
        installation = Installation(
            folder=folder,
            nursery=nursery,
            nodes=[],
            servers=[],
            proxies=[],
            client_ports=[],
            key_file=folder / "data" / "admin.key",
            ledger=folder / "ledger",
            outside=OutsidePostgresql(port=0),
            disk=disk,
            skipped=skipped,
        )
        stack.push_async_callback(installation.stop)
        by_name = await _start_servers(
            installation, options, (disk.folder if disk else folder) / "postgresql"
        )
        await nursery.open()
        settings = common_settings(folder, options) | _settings(folder, options)
        for plan in _plans(options):
            await _add(installation, plan, by_name, settings, options)
        if options.engine == "celery":
            installation.messages = BrokerMessages(_broker_url(options, by_name), installation.outside)
        else:
            skipped.append("messages (this engine has none)")
        yield installation


async def _a_disk(folder: Path, skipped: list[str]) -> SmallDisk | None:
    try:
        return await mount(folder / "disk")
    except NoDisk as reason:
        skipped.append(str(reason))
        return None


async def _start_servers(installation: Installation, options: Options, data: Path) -> Mapping[str, Server]:
    """Those that the engine needs, by name; each is known to the installation before it is started."""
    folder = installation.folder
    made = [await servers.postgresql(folder, data)]
    if options.engine == "celery":
        made.append(await servers.redis(folder))
        if options.broker == "rabbitmq":
            mapper, rabbitmq = await servers.rabbitmq(folder)
            installation.helpers = [mapper]
            await mapper.start()
            made.append(rabbitmq)
    installation.servers = made
    for server in made:
        await server.start()
    installation.outside = OutsidePostgresql(port=made[0].port)
    return {server.name: server for server in made}


def _settings(folder: Path, options: Options) -> dict[str, str]:
    """What all processes share. They share a data folder too, as processes of one host do."""
    settings = {
        "CHARGEHAND_DATA_DIR": str(folder / "data"),
        "CHARGEHAND_DISK_RESERVE_BYTES": "0",
        "CHARGEHAND_DATABASE_CONNECTIONS": DATABASE_CONNECTIONS,
        "CHARGEHAND_DATABASE_STATEMENT_SECONDS": "5",
        "CHARGEHAND_DATABASE_LOCK_SECONDS": "3",
        "CHARGEHAND_DATABASE_IDLE_SECONDS": "5",
        "CHARGEHAND_SLOTS": "8",
    }
    return settings | ({"CHARGEHAND_ENGINE": "celery"} if options.engine == "celery" else {})


def _plans(options: Options) -> list[Plan]:
    """The processes, by engine."""
    ports = [free_port() for _ in range(options.apis)]
    if options.engine == "replicas":
        return [
            Plan(name=f"serve-{number}", role="serve", argv=["serve", "--port", str(port)], port=port)
            for number, port in enumerate(ports, 1)
        ]
    serve = ["serve", "--engine", "celery", "--port"]
    return [
        *(
            Plan(name=f"api-{number}", role="api", argv=[*serve, str(port)], port=port)
            for number, port in enumerate(ports, 1)
        ),
        *(
            Plan(name=f"worker-{number}", role="worker", argv=["worker"], ready_text=WORKER_READY)
            for number in range(1, options.workers + 1)
        ),
        *(
            Plan(name=f"upkeep-{number}", role="upkeep", argv=["upkeep"], ready_text=UPKEEP_READY)
            for number in range(1, options.upkeeps + 1)
        ),
    ]


async def _add(
    installation: Installation,
    plan: Plan,
    by_name: Mapping[str, Server],
    settings: Mapping[str, str],
    options: Options,
) -> None:
    """A process with proxies of its own to each server, and one from the clients where it answers them."""
    ways: dict[str, ChaosProxy] = {}
    for name, server in by_name.items():
        ways[name] = await _a_proxy(installation, f"{plan.name} to {name}", server.port)
    urls = {"CHARGEHAND_DATABASE_URL": f"postgresql://postgres@{LOOPBACK}:{ways['postgresql'].port}/postgres"}
    if "redis" in ways:
        urls["CHARGEHAND_REDIS_URL"] = f"redis://{LOOPBACK}:{ways['redis'].port}/0"
        broker = ways.get("rabbitmq")
        urls["CHARGEHAND_BROKER_URL"] = (
            f"amqp://guest:guest@{LOOPBACK}:{broker.port}/"
            if broker
            else f"redis://{LOOPBACK}:{ways['redis'].port}/1"
        )
    if plan.port:
        proxy = await _a_proxy(installation, f"clients to {plan.name}", plan.port)
        installation.client_ports = [*installation.client_ports, proxy.port]
    node = Node(
        name=plan.name,
        role=plan.role,
        argv=plan.argv,
        environment={**settings, **urls},
        nursery=installation.nursery,
        folder=installation.folder,
        port=plan.port,
        ready_text=plan.ready_text,
    )
    installation.nodes = [*installation.nodes, node]
    node.begin()
    if plan.name == _plans_first(options):
        # The first fills the empty database; the others find it filled.
        await node.up()


def _plans_first(options: Options) -> str:
    return "serve-1" if options.engine == "replicas" else "api-1"


async def _a_proxy(installation: Installation, name: str, port: int) -> ChaosProxy:
    proxy = ChaosProxy(name, port)
    await proxy.start()
    installation.proxies = [*installation.proxies, proxy]
    return proxy


def _broker_url(options: Options, by_name: Mapping[str, Server]) -> str:
    """Directly, past the proxies."""
    if options.broker == "rabbitmq":
        return f"amqp://guest:guest@{LOOPBACK}:{by_name['rabbitmq'].port}/"
    return f"redis://{LOOPBACK}:{by_name['redis'].port}/1"
