"""What is under test, as one value: processes, servers, proxies, and where each can be reached."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from chaos.nodes import Kill, Node, OwnEnd
from chaos.nursery import Nursery
from chaos.outside import Outside
from chaos.proxy import ChaosProxy
from chaos.servers import Server


class Messages(Protocol):
    """The broker's messages, to be played with."""

    async def duplicate(self, count: int) -> str:
        """Send messages once more that wake workers for tasks, open ones and others; what was done, in words."""
        ...

    async def drop(self) -> str:
        """Throw away what waits in the queues; what was done, in words."""
        ...


class Disk(Protocol):
    """A small disk that holds the database."""

    def fill(self) -> None:
        """Leave no free space."""
        ...

    def clear(self) -> None:
        """Give the space back."""
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class Installation:
    """An installation of the service that the harness has started."""

    folder: Path
    nursery: Nursery
    nodes: Sequence[Node]
    servers: Sequence[Server]
    proxies: Sequence[ChaosProxy]
    client_ports: Sequence[int]
    """Where clients reach the API processes: proxies."""
    key_file: Path
    ledger: Path
    outside: Outside
    messages: Messages | None = None
    disk: Disk | None = None
    helpers: Sequence[Server] = ()
    """Servers that others need and that are not broken."""
    skipped: list[str] = field(default_factory=list[str])
    """What is not broken here, and why."""

    @property
    def kills(self) -> list[Kill]:
        return sorted((kill for node in self.nodes for kill in node.kills), key=lambda kill: kill.at)

    @property
    def own_ends(self) -> list[OwnEnd]:
        return sorted((end for node in self.nodes for end in node.own_ends), key=lambda end: end.at)

    async def calm(self) -> None:
        """Take back every fault, and wait until everything is at work again."""
        if self.disk is not None:
            self.disk.clear()
        for proxy in self.proxies:
            proxy.heal()
        for server in self.servers:
            await server.again()
        for node in self.nodes:
            node.go_on()
            node.set_clock(0.0)
        for node in self.nodes:
            await node.up()

    async def stop(self) -> None:
        """End everything that was started, the service first."""
        for node in self.nodes:
            await node.rest()
        await self.nursery.close()
        for proxy in self.proxies:
            await proxy.stop()
        for server in (*reversed(self.servers), *self.helpers):
            await server.stop()
