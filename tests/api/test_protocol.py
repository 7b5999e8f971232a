"""The head of a request: limited in bytes and in time, and told as a problem when it is no HTTP."""

import asyncio
import socket
from contextlib import suppress

import httpx2
import pytest

from tests.api.service import Service
from tests.api.test_tasks import submitted

pytest.importorskip("httptools", reason="where it is not, h11 and its own limits are used")
from chargehand.serve import protocol
from chargehand.serve.server import connections_at_most


async def sent(url: str, *parts: bytes) -> bytes:
    """What the server answers, to the end of the connection."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
    answer = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(5):
            while chunk := await reader.read(65_536):
                answer += chunk
    writer.close()
    return answer


async def test_a_head_without_an_end_is_cut_off(service: Service) -> None:
    start = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: "

    async with service.listening() as (url, _):
        answer = await sent(url, start, *[b"a" * 10_000] * 7)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"content-type: application/problem+json" in answer
    assert b'"code":"head_too_large"' in answer
    assert b"x-content-type-options: nosniff" in answer


@pytest.mark.parametrize("start", [b"", b"GET", b"GET /health HTTP/1.1\r\nHost: loc"])
async def test_a_head_that_does_not_come_is_given_up(
    service: Service, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)

    async with service.listening() as (url, _):
        answer = await sent(url, start)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer


async def test_a_second_head_that_does_not_come_is_given_up_too(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async with service.listening() as (url, _):
        answer = await sent(url, whole + b"GET /hea")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'{"status":"healthy","service":"ai-agent-api"}HTTP/1.1 408 ' in answer


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\x02\x00", b"HELO you\r\n\r\n", b"GET / HTTP/1.1\r\n:\r\n\r\n"]
)
async def test_what_is_no_http_is_told_as_a_problem(service: Service, nonsense: bytes) -> None:
    async with service.listening() as (url, _):
        answer = await sent(url, nonsense)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"bad_request"' in answer


async def test_a_slow_answer_is_not_taken_for_a_slow_head(
    service: Service, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    task_id = await submitted(client)

    async with service.listening() as (url, _), service.real_client(service.key, url) as remote:
        answer = await remote.get(f"/tasks/{task_id}", headers={"Prefer": "wait=1"})

    assert (answer.status_code, answer.json()["status"]) == (200, "pending")


@pytest.mark.parametrize("length", [protocol.MAX_URL_BYTES - 20, protocol.MAX_URL_BYTES + 1])
async def test_a_url_is_limited_on_its_own(service: Service, length: int) -> None:
    url_part = b"/health?" + b"a" * (length - len(b"/health?"))

    async with service.listening() as (url, _):
        answer = await sent(
            url, b"GET " + url_part + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )

    is_too_long = length > protocol.MAX_URL_BYTES
    assert answer.startswith(b"HTTP/1.1 414 " if is_too_long else b"HTTP/1.1 200 ")
    assert (b'"code":"uri_too_long"' in answer) is is_too_long


@pytest.mark.parametrize("more", [0, 1])
async def test_headers_are_counted(service: Service, more: int) -> None:
    host = b"Host: localhost\r\nConnection: close\r\n"
    headers = b"".join(b"x-%d: 1\r\n" % number for number in range(protocol.MAX_HEADERS - 2 + more))

    async with service.listening() as (url, _):
        answer = await sent(url, b"GET /health HTTP/1.1\r\n" + host + headers + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 431 " if more else b"HTTP/1.1 200 ")
    assert (b'"code":"head_too_large"' in answer) is bool(more)


async def test_some_requests_may_be_sent_ahead_and_are_answered_in_order(service: Service) -> None:
    paths = [b"/health", b"/health/live", b"/nowhere", b"/health"]
    requests = [b"GET %s HTTP/1.1\r\nHost: localhost\r\n" % path for path in paths]
    requests[-1] += b"Connection: close\r\n"

    async with service.listening() as (url, _):
        answer = await sent(url, b"".join(one + b"\r\n" for one in requests))

    assert [answer.count(b"HTTP/1.1 %d " % status) for status in (200, 401)] == [3, 1]
    assert answer.index(b'"live"') < answer.index(b'"unauthorized"')


async def test_who_sends_endlessly_ahead_is_cut_off(service: Service) -> None:
    one = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async with service.listening() as (url, _):
        answer = await sent(url, one * 1000)

    assert answer.count(b"HTTP/1.1 ") <= protocol.MOST_AHEAD + 1


async def test_a_request_with_two_ideas_of_its_length_is_refused(service: Service) -> None:
    head = b"POST /agents/echo/tasks HTTP/1.1\r\nHost: localhost\r\n"
    lengths = [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Content-Length: +4\r\n\r\nabcd",
    ]
    async with service.listening() as (url, _):
        answers = [await sent(url, head + one) for one in lengths]

    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 400 "] * 4


async def test_one_connection_too_many_is_told_to_come_back(service: Service) -> None:
    service.http.state.max_connections = 1
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async with service.listening() as (url, _):
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(whole)
        first = await reader.readuntil(b"ai-agent-api")
        refused = await sent(url)
        writer.close()
        async with asyncio.timeout(5):
            while not (
                again := await sent(url, whole.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            ).startswith(b"HTTP/1.1 200"):
                """The server has yet to hear that the first went away."""

    assert first.startswith(b"HTTP/1.1 200 ")
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in refused
    assert b'"code":"unavailable"' in refused
    assert again.startswith(b"HTTP/1.1 200 ")


async def test_connections_leave_room_for_files(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")

    def limits(of: int) -> tuple[int, int]:
        del of
        return (1000, 4000)

    monkeypatch.setattr(resource, "getrlimit", limits)

    assert (connections_at_most(10_000), connections_at_most(50)) == (800, 50)


async def test_a_client_that_does_not_read_is_given_up(
    service: Service, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = asyncio.Event()
    lost = protocol.LimitedHttpProtocol.connection_lost

    def connection_lost(self: protocol.LimitedHttpProtocol, exc: Exception | None) -> None:
        lost(self, exc)
        given_up.set()

    monkeypatch.setattr(protocol, "READ_SECONDS", 0.1)
    monkeypatch.setattr(protocol.LimitedHttpProtocol, "connection_lost", connection_lost)
    await submitted(client)
    task = await service.worker.claim()
    await service.worker.deliver(task, "large", {"large": b"x" * 8_000_000}, is_folder=False)
    head = f"GET /tasks/{task.id}/deliverables/large HTTP/1.1\r\nHost: localhost\r\n"

    async with service.listening() as (url, _):
        host, port = url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)))
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, f"{head}Authorization: Bearer {service.key}\r\n\r\n".encode())
        await asyncio.wait_for(given_up.wait(), 10)
        read = await _all_of(connection)
        connection.close()

    assert 0 < read < 8_000_000


async def _all_of(connection: socket.socket) -> int:
    """How many bytes are left to read before the connection ends."""
    count, loop = 0, asyncio.get_running_loop()
    with suppress(ConnectionError):
        async with asyncio.timeout(5):
            while chunk := await loop.sock_recv(connection, 1_000_000):
                count += len(chunk)
    return count
