"""A way to a server that a test can cut, keep cut, and mend; or that swallows what is sent through it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.servers import DEFAULT_PORTS


class Cut:
    """Listens on a port of the loopback and passes on to the server."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def before(cls, url: str) -> AsyncGenerator["Cut", None]:
        """A way to the server that the URL names."""
        place = urlsplit(url)
        cut = cls(place.hostname or "127.0.0.1", place.port or DEFAULT_PORTS[place.scheme])
        await cut.up()
        try:
            yield cut
        finally:
            await cut.down()

    async def up(self) -> None:
        """Let connections through (again)."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Break every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
        self._passes.set()
        while self._serving:
            for writer in tuple(self._open):
                writer.transport.abort()
            await asyncio.wait(tuple(self._serving), timeout=0.1)
        if self._server is not None:
            await self._server.wait_closed()
        self._server = None

    def swallow(self) -> None:
        """Keep the connections and pass nothing on any more."""
        self._passes.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        if serving is not None:
            self._serving.add(serving)
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
            self._open |= {writer, there_writer}
            await asyncio.gather(self._pass_on(reader, there_writer), self._pass_on(there_reader, writer))
            self._open -= {writer, there_writer}
        finally:
            writer.transport.abort()
            if serving is not None:
                self._serving.discard(serving)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
