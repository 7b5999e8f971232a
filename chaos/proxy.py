"""A TCP proxy that can be told to be a bad network: to refuse, stall, slow down, cut, or forget connections.

Rule: bytes pass unchanged and in order, or not at all; nothing is made up.
"""

import asyncio
import socket
import struct
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

CHUNK_BYTES = 64 * 1024
_ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: closing sends a reset, as a machine that forgot the connection does."""


@dataclass(slots=True, eq=False)
class Link:
    """One connection: the client's side and the server's."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    is_forgotten: bool = False

    def abort(self) -> None:
        for writer in (self.client, self.server):
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    writer.transport.abort()


@dataclass(slots=True, eq=False)
class ChaosProxy:
    """Forwards a loopback port to another one. `start` and `stop` bound its life."""

    name: str
    target_port: int
    port: int = 0
    delay_seconds: float = 0.0
    """How long each piece of data is held before it passes."""
    _refuses: bool = False
    _server: asyncio.Server | None = None
    _links: set[Link] = field(default_factory=set[Link])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _flows: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        self._flows.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def open_links(self) -> int:
        return len(self._links)

    def refuse(self) -> None:
        """Cut what is open, and every new connection at once: nobody is there."""
        self._refuses = True
        self.cut()

    def stall(self) -> None:
        """Connections stay, new ones are taken, no byte passes: the other side hangs."""
        self._flows.clear()

    def slow_down(self, seconds: float) -> None:
        """Hold each piece of data for so long."""
        self.delay_seconds = seconds

    def cut(self) -> None:
        """Reset every open connection; new ones pass."""
        for link in list(self._links):
            link.abort()

    def forget(self) -> None:
        """Leave every open connection half-open: neither side hears of the other again. New ones pass."""
        for link in self._links:
            link.is_forgotten = True

    def heal(self) -> None:
        """A good network again; connections that were forgotten are reset now."""
        self._refuses = False
        self.delay_seconds = 0.0
        self._flows.set()
        for link in list(self._links):
            if link.is_forgotten:
                link.abort()

    async def _accept(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self._refuses:
            _reset(client)
            return
        try:
            server_reader, server = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            _reset(client)
            return
        link = Link(client, server)
        self._links.add(link)
        there = self._spawn(self._pump(link, client_reader, server))
        back = self._spawn(self._pump(link, server_reader, client))
        try:
            await asyncio.gather(there, back, return_exceptions=True)
        finally:
            self._links.discard(link)
            link.client.close()
            link.server.close()

    def _spawn(self, pump: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(pump)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _pump(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until its sender ends; then the receiver is told that nothing more comes."""
        try:
            while data := await reader.read(CHUNK_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self._flows.wait()
                if link.is_forgotten:
                    continue
                writer.write(data)
                await writer.drain()
            await self._flows.wait()
            if not link.is_forgotten and writer.can_write_eof():
                writer.write_eof()
            elif link.is_forgotten:
                # Nobody is told of the end: what is left is closed when the network heals.
                await asyncio.get_running_loop().create_future()
        except (OSError, asyncio.CancelledError):
            link.abort()
