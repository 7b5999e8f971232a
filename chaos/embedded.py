"""The smallest installation: one process with SQLite, which is all there is to break."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from chaos import agents
from chaos.disks import NoDisk, SmallDisk, mount, unmount
from chaos.installation import Installation
from chaos.nodes import Node
from chaos.nursery import Nursery
from chaos.options import Options
from chaos.outside import OutsideSqlite
from chaos.ports import free_port
from chaos.proxy import ChaosProxy

DISK_RESERVE_BYTES = 8 * 1024 * 1024


def common_settings(folder: Path, options: Options) -> dict[str, str]:
    """The environment of every process: the caller's without its own settings of the service, and the harness's."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("CHARGEHAND_", "OTEL_"))
    }
    definitions = folder / "agents"
    if not definitions.exists():
        definitions.mkdir()
        for name in agents.AGENTS:
            (definitions / f"{name}.md").write_text(agents.definition(name), encoding="utf-8")
    return {
        **kept,
        agents.LEDGER_VARIABLE: str(folder / "ledger"),
        "CHARGEHAND_AGENTS_DIR": str(definitions),
        "CHARGEHAND_PLAYBOOKS": agents.playbooks_setting(),
        "CHARGEHAND_LEASE_SECONDS": f"{options.lease_seconds:g}",
        "CHARGEHAND_SHUTDOWN_GRACE_SECONDS": "1",
        "CHARGEHAND_SANDBOX": "none",
        "CHARGEHAND_LOG_LEVEL": "info",
        "CHARGEHAND_LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
    }


@asynccontextmanager
async def open_embedded(folder: Path, options: Options) -> AsyncGenerator[Installation, None]:
    """Start it; at the end everything is stopped."""
    skipped = ["servers and messages (this engine has none)"]
    disk: SmallDisk | None = None
    try:
        disk = await mount(folder / "disk")
    except NoDisk as reason:
        skipped.append(str(reason))
    data = (disk.folder if disk else folder) / "data"
    port = free_port()
    settings = {
        **common_settings(folder, options),
        "CHARGEHAND_DATA_DIR": str(data),
        "CHARGEHAND_DISK_RESERVE_BYTES": str(DISK_RESERVE_BYTES if disk else 0),
        "CHARGEHAND_SLOTS": "8",
    }
    nursery = Nursery(folder / "nursery.log")
    node = Node(
        name="serve",
        role="serve",
        argv=["serve", "--port", str(port)],
        environment=settings,
        nursery=nursery,
        folder=folder,
        port=port,
    )
    # Two ways to the one process: clients move between them as between replicas.
    proxies = [ChaosProxy(f"clients to serve, way {number}", port) for number in (1, 2)]
    installation = Installation(
        folder=folder,
        nursery=nursery,
        nodes=[node],
        servers=[],
        proxies=proxies,
        client_ports=[],
        key_file=data / "admin.key",
        ledger=folder / "ledger",
        outside=OutsideSqlite(data / "chargehand.db"),
        disk=disk,
        skipped=skipped,
    )
    try:
        await nursery.open()
        for proxy in proxies:
            await proxy.start()
        installation.client_ports = [proxy.port for proxy in proxies]
        node.begin()
        yield installation
    finally:
        try:
            await installation.stop()
        finally:
            if disk is not None:
                await unmount(disk)
