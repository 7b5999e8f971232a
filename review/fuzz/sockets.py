"""Bytes over real connections, many of which are no HTTP: the server under the application is tested too."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2

from review.fuzz.operations import operations_of
from review.fuzz.requests import Requests
from review.fuzz.schemas import Fitting

ANSWER_SECONDS = 20.0
HEALTH_SECONDS = 2.0
PATIENCE_SECONDS = 0.3
_AT_ONCE = 16
_MOST_BYTES = 65_536

_LINES = (
    b"GET / HTTP/0.9", b"GET / HTTP/2.0", b"GET /", b"GET  /tasks  HTTP/1.1", b"PRI * HTTP/2.0",
    b"\x16\x03\x01\x02\x00", b"GET http://evil.example/tasks HTTP/1.1",
    b"GET //evil.example/tasks HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET /tasks\x00 HTTP/1.1",
    b"GET /ta sks HTTP/1.1", b"G\xc3\x89T / HTTP/1.1", b"GET /%zz HTTP/1.1", b"GET /tasks#a HTTP/1.1",
    b"GET /..%2f..%2fetc/passwd HTTP/1.1", b"GET \xff\xfe HTTP/1.1", b"", b"\r\n\r\n", b"A" * 70_000,
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1", b"CONNECT 127.0.0.1:22 HTTP/1.1",
    b"GET /health HTTP/1.1\nX: y",
)  # fmt: skip
_HEADERS = (
    b"Host: evil.example", b"Host: 127.0.0.1, evil", b"Host:", b"Host: 127.0.0.1\r\nHost: evil",
    b"Host: 127.0.0.1:99999999", b"Content-Length: -1", b"Content-Length: 5, 6",
    b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 9999999999999999", b"Content-Length: 1e3",
    b"Content-Length: +5", b"Content-Length: 0x5", b"Content-Length : 5",
    b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: chunked, identity", b"Expect: 100-continue", b"Expect: x", b"X: " + b"a" * 70_000,
    b"\r\n".join(b"X-%d: y" % one for one in range(3_000)), b"X\x00: y", b"X: \x00", b"X: y\r\n folded",
    b"no colon", b": empty", b"X:\xff\xfe", b"Connection: upgrade\r\nUpgrade: websocket",
    b"Upgrade: h2c\r\nHTTP2-Settings: x", b"Range: bytes=0-,0-,0-", b"Accept-Encoding: gzip;q=nan",
    b"X-Forwarded-Host: evil", b"X-Original-URL: /health",
)  # fmt: skip
_BODIES = (
    b"", b"5\r\nabcde\r\n0\r\n\r\n", b"ffffffffffffffff1\r\nx", b"-1\r\n\r\n",
    b"5;ext=\xff\r\nabcde\r\n0\r\nTrailer: x\r\n\r\n", b"zz\r\n", b"5\r\nabc", b"{}", b"\x00" * 100,
    b"0\r\n\r\nGET /tasks HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"5\nabcde\n0\n\n",
)  # fmt: skip


@dataclass(slots=True)
class Heard:
    """What came back over the wire."""

    cases: int = 0
    statuses: Counter[str] = field(default_factory=Counter[str])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    slowest_health_seconds: float = 0.0
    seconds: float = 0.0


async def fuzz_sockets(
    url: str,
    port: int,
    key: str,
    document: dict[str, Any],
    *,
    cases: int,
    seed: int,
    progress: Callable[[Heard], object] = lambda _: None,
) -> Heard:
    """So many connections, sixteen at a time; after each hundred the service must still answer, soon."""
    heard, rng = Heard(), Random(seed)  # noqa: S311 - chance from a seed, so that a run can be repeated
    requests = Requests(operations_of(document), Fitting(document), key, f"127.0.0.1:{port}", seed + 1)
    started = time.monotonic()
    async with httpx2.AsyncClient(timeout=HEALTH_SECONDS * 5) as client:
        while heard.cases < cases:
            count = min(_AT_ONCE, cases - heard.cases)
            sent = [
                _broken(rng, key.encode()) if rng.random() < 0.5 else requests.next()[1].as_bytes()
                for _ in range(count)
            ]
            answers = await asyncio.gather(*(_exchange(port, one) for one in sent))
            for one, answer in zip(sent, answers, strict=True):
                _note(heard, one, answer)
            heard.cases += count
            if heard.cases % 96 == 0:
                await _see_health(client, url, heard)
            if heard.cases % 1_000 == 0:
                heard.seconds = time.monotonic() - started
                progress(heard)
        await _see_health(client, url, heard)
    heard.seconds = time.monotonic() - started
    return heard


def _broken(rng: Random, key: bytes) -> bytes:
    line = rng.choice(_LINES) if rng.random() < 0.4 else b"POST /agents/echo/tasks HTTP/1.1"
    headers = [b"Host: 127.0.0.1", b"Authorization: Bearer " + key, b"Content-Type: application/json"]
    for _ in range(rng.randrange(3)):
        headers.insert(rng.randrange(len(headers) + 1), rng.choice(_HEADERS))
    end = rng.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"))
    whole = end.join([line, *headers, b"", b""]) + rng.choice(_BODIES)
    return whole if rng.random() < 0.9 else whole[: rng.randrange(len(whole) + 1)]


async def _exchange(port: int, sent: bytes) -> bytes | None:
    """All that comes back until the server closes; None when it neither answers nor closes."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(sent)
                # A request without its end is waited for; it is given up here, sooner than the server would.
                answer = await _within(PATIENCE_SECONDS, reader)
                if not answer and not reader.at_eof():
                    writer.write_eof()
                    answer = await reader.read(_MOST_BYTES)
                return answer
            except (ConnectionError, OSError):
                return b""
            finally:
                writer.close()
    except TimeoutError:
        return None


async def _within(seconds: float, reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(_MOST_BYTES), seconds)
    except TimeoutError:
        return b""


def _note(heard: Heard, sent: bytes, answer: bytes | None) -> None:
    shown = repr(sent[:700])
    if answer is None:
        heard.statuses["no end"] += 1
        heard.failures.setdefault(f"neither answered nor closed within {ANSWER_SECONDS:g} s", shown)
        return
    parts = answer.split(b" ", 2)
    status = parts[1].decode("latin-1") if answer.startswith(b"HTTP/1.") and len(parts) > 1 else "closed"
    heard.statuses[status] += 1
    if status.startswith("5"):
        heard.failures.setdefault(f"answered {status}", shown)
    if answer and status == "closed":
        heard.failures.setdefault(f"answered what is no HTTP: {answer[:60]!r}", shown)


async def _see_health(client: httpx2.AsyncClient, url: str, heard: Heard) -> None:
    started = time.monotonic()
    try:
        status = (await client.get(f"{url}/health")).status_code
    except httpx2.TransportError as error:
        heard.failures.setdefault(f"the service is gone: {error}", "")
        return
    seconds = time.monotonic() - started
    heard.slowest_health_seconds = max(heard.slowest_health_seconds, seconds)
    if status != 200 or seconds > HEALTH_SECONDS:
        heard.failures.setdefault(f"/health answered {status} after {seconds:.1f} s", "")
