"""A small HTTP/1.1 load generator: cheap enough that it measures the server, not itself.

A request takes it some 30 millionths of a second of one core; how busy it was is part of each result.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a load of requests came to."""

    seconds: float
    latencies_ms: tuple[float, ...]
    """Of the requests that were answered as expected."""
    failures: int
    client_seconds: float
    """CPU that this process used meanwhile."""

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds

    @property
    def client_share(self) -> float:
        """How busy one core was with sending and reading; near 1 the client would be the limit."""
        return self.client_seconds / self.seconds

    def percentile(self, percent: float) -> float:
        return percentile(self.latencies_ms, percent)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many percent of them are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def request(method: str, path: str, *, headers: Sequence[str] = (), body: bytes = b"") -> bytes:
    """A request as bytes, to be sent over and over."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers]
    if body:
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """One kept-alive connection that carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._got = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def open(cls, port: int) -> "Connection":
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    @property
    def is_open(self) -> bool:
        """Whether the server has not hung up, as it does when nothing was asked for a while."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, raw: bytes) -> tuple[int, bytes]:
        """(status, body). ConnectionError where the server hangs up."""
        if self._transport is None or not self.is_open:
            raise ConnectionError("the server has hung up")
        self._got = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._got[: end + 2].lower()
        place = head.find(b"content-length:")
        length = int(head[place + 15 : head.find(b"\r\n", place)]) if place > 0 else 0
        whole = end + 4 + length
        if len(self._got) >= whole and self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head[9:12]), self._got[end + 4 : whole]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server hung up"))


async def fetch(port: int, raw: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = await Connection.open(port)
    try:
        return await connection.ask(raw)
    finally:
        connection.close()


async def press(
    port: int, raws: Sequence[bytes], *, clients: int, seconds: float, expected: int = 202
) -> Load:
    """So many clients for so long, each sending its next request when the last was answered."""
    turns = itertools.cycle(raws)
    latencies: list[float] = []
    failures = 0
    connections = [await Connection.open(port) for _ in range(clients)]
    cpu, begun = time.process_time(), time.perf_counter()

    async def client(connection: Connection) -> None:
        nonlocal failures
        sent = time.perf_counter()
        while sent < begun + seconds:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    status, _ = await connection.ask(next(turns))
            except (OSError, TimeoutError):
                failures += 1
                return
            answered = time.perf_counter()
            if status == expected:
                latencies.append((answered - sent) * 1000)
            else:
                failures += 1
            sent = answered

    await asyncio.gather(*(client(connection) for connection in connections))
    took, busy = time.perf_counter() - begun, time.process_time() - cpu
    for connection in connections:
        connection.close()
    return Load(seconds=took, latencies_ms=tuple(latencies), failures=failures, client_seconds=busy)


async def pace(port: int, raw: bytes, *, per_second: float, seconds: float, patience_seconds: float) -> Load:
    """Requests at set times, whether or not the ones before were answered."""
    free: list[Connection] = []
    latencies: list[float] = []
    failures = 0
    cpu, begun = time.process_time(), time.perf_counter()

    async def shot() -> None:
        nonlocal failures
        sent = time.perf_counter()
        connection: Connection | None = None
        try:
            async with asyncio.timeout(patience_seconds):
                while free and not free[-1].is_open:
                    free.pop()
                connection = free.pop() if free else await Connection.open(port)
                status, _ = await connection.ask(raw)
        except (OSError, TimeoutError):
            failures += 1
            if connection is not None:
                connection.close()
            return
        free.append(connection)
        if status == 202:
            latencies.append((time.perf_counter() - sent) * 1000)
        else:
            failures += 1

    async with asyncio.TaskGroup() as shots:
        for number in range(int(seconds * per_second)):
            await asyncio.sleep(begun + number / per_second - time.perf_counter())
            shots.create_task(shot())
    for connection in free:
        connection.close()
    took, busy = time.perf_counter() - begun, time.process_time() - cpu
    return Load(seconds=took, latencies_ms=tuple(latencies), failures=failures, client_seconds=busy)
