"""The head of a request: limited in bytes and in time, and told as a problem when it is no HTTP."""

import asyncio
from contextlib import suppress

import httpx2
import pytest

from tests.api.service import Service
from tests.api.test_tasks import submitted

pytest.importorskip("httptools", reason="where it is not, h11 and its own limits are used")
from chargehand.serve import protocol


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


@pytest.mark.parametrize("start", [b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ", b"GET /health?"])
async def test_a_head_without_an_end_is_cut_off(service: Service, start: bytes) -> None:
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
