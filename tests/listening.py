"""A server of a few lines that a test writes, on a free port of the loopback."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncGenerator[int]:
    """Its port. Afterwards nothing of any connection is left, which would be found in the middle of another test."""
    begun: list[tuple[asyncio.Task[None], asyncio.StreamWriter]] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        begun.append((task, writer))
        await serve(reader, writer)

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, _ in begun:
            task.cancel()
        await asyncio.gather(*(task for task, _ in begun), return_exceptions=True)
        for _, writer in begun:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
