"""Free loopback ports, and waiting for something that answers there."""

import asyncio
import socket
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


async def answers_http(port: int, *, seconds: float = 2.0) -> bool:
    """Whether `GET /health` is answered with 200."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                return (await reader.readline()).startswith(b"HTTP/1.1 200")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def wait_for_port(port: int, *, seconds: float) -> bool:
    """Whether somebody takes connections there within a time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return True
    return False


async def wait_until_free(port: int, *, seconds: float) -> None:
    """Return when nobody takes connections there any more, or the time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            return
        writer.close()
        await asyncio.sleep(0.02)
