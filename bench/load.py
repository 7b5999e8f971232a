"""A small HTTP/1.1 load generator on asyncio streams: cheap enough that it measures the server, not itself."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What a load of requests came to."""

    seconds: float
    latencies_ms: tuple[float, ...]
    failures: int

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds

    def percentile(self, percent: float) -> float:
        """The latency in milliseconds below which so many percent of the requests were."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def request(method: str, path: str, *, headers: Sequence[str] = (), body: bytes = b"") -> bytes:
    """A request as bytes, to be sent over and over."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers]
    if body:
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def send(port: int, raw: bytes, *, clients: int, count: int, expected: tuple[int, ...]) -> Load:
    """Send `count` requests over so many kept-alive connections, each waiting for its answer."""
    left = iter(range(count))
    latencies: list[float] = []
    failures = 0

    async def client() -> None:
        nonlocal failures
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            started = time.perf_counter()
            writer.write(raw)
            status, _ = await _answer(reader)
            latencies.append((time.perf_counter() - started) * 1000)
            failures += status not in expected
        writer.close()
        await writer.wait_closed()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Load(time.perf_counter() - started, tuple(latencies), failures)


async def fetch(port: int, raw: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own: (status, body)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    answer = await _answer(reader)
    writer.close()
    await writer.wait_closed()
    return answer


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line[15:])
    body = await reader.readexactly(length) if length else b""
    return int(head[9:12]), body
