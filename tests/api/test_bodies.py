"""Bodies that are too large, too deep, ambiguous, of another type, or no JSON at all."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import suppress

import httpx2
import pytest

from chargehand.errors import InvalidInput, PayloadTooLarge
from chargehand.serve.body import DRAIN_BYTES, BodyLimits, parse_json
from tests.api.service import Service

TASKS = "/agents/echo/tasks"
JSON = {"Content-Type": "application/json"}


def _nested(depth: int, opening: str, closing: str) -> bytes:
    return b'{"task_data": {"a": ' + (opening * depth + closing * depth).encode() + b"}}"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 422, "not JSON"),
        (b"{", 422, "not JSON"),
        (b"nonsense", 422, "not JSON"),
        (b'{"task_data": {}} {}', 422, "not JSON"),
        (b"null", 422, "body"),
        (b"[]", 422, "must be a JSON object"),
        (b'"text"', 422, "body"),
        (b"{}", 422, "task_data"),
        (b'{"task_data": null}', 422, "task_data"),
        (b'{"task_data": []}', 422, "task_data"),
        (b'{"task_data": {}, "taskdata": 1}', 422, "taskdata"),
        (b'{"task_data": {"n": NaN}}', 422, "not JSON"),
        (b'{"task_data": {"n": Infinity}}', 422, "not JSON"),
        (b'{"task_data": {"n": 1e999}}', 422, "JSON"),
        (b'{"task_data": {"n": 9007199254740993}}', 422, "beyond"),
        (b'{"task_data": {"n": -9007199254740993}}', 422, "beyond"),
        (b'{"task_data": {"n": 18446744073709551616}}', 422, "beyond"),
        (b'{"task_data": {"n": -9223372036854775809}}', 422, "beyond"),
        (b'{"task_data": {"n": ' + b"9" * 5000 + b"}}", 422, ""),
        (b'{"task_data": {"a": 1, "a": 2}}', 422, "same key twice"),
        (b'{"task_data": {"\\u0061": 1, "a": 2}}', 422, "same key twice"),
        (b'{"task_data": {}, "task_data": {}}', 422, "same key twice"),
        (b'{"task_data": {"a": "\\ud800"}}', 422, "JSON"),
        (b'{"task_data": {"\\udfff": 1}}', 422, "JSON"),
        (b'{"task_data": {"a": "\\u0000"}}', 422, "NUL"),
        (b'{"task_data": {"a": "\xff"}}', 422, "JSON"),
        (b"\xef\xbb\xbf" + b'{"task_data": {}}', 422, "JSON"),
        ('{"task_data": {}}'.encode("utf-16"), 422, "JSON"),
        (_nested(100, "[", "]"), 413, "deeper"),
        (_nested(1000, "[", "]"), 413, "deeper"),
        (_nested(200_000, "[", "]"), 422, "JSON"),
        (_nested(100_000, '{"a":', "}"), 422, "JSON"),
        (b'{"task_data": {"a": [' + b"0," * 20_000 + b"0]}}", 413, "values"),
        (b'{"task_data": {"a": "' + b"x" * 262_145 + b'"}}', 413, "262144 characters"),
        (b'{"task_data": {"' + b"k" * 257 + b'": 1}}', 413, "256 characters"),
        (b'{"task_data": {}, "priority": 1.5}', 422, "priority"),
        (b'{"task_data": {}, "priority": "1"}', 422, "priority"),
        (b'{"task_data": {}, "priority": true}', 422, "priority"),
        (b'{"task_data": {}, "priority": 101}', 422, "priority"),
        (b'{"task_data": {}, "labels": {"a b": "c"}}', 422, "labels"),
        (b'{"task_data": {}, "labels": {"a": 1}}', 422, "labels"),
        (b'{"task_data": {}, "context_id": "a b"}', 422, "context_id"),
        (b'{"task_data": {}, "run_after": 1}', 422, "run_after"),
        (b'{"task_data": {}, "run_after": "1"}', 422, "run_after"),
        (b'{"task_data": {}, "run_after": "2030-01-01"}', 422, "run_after"),
        (b'{"task_data": {}, "run_after": "2030-01-01T00:00:00"}', 422, "run_after"),
        (b'{"task_data": {}, "run_after": "0001-01-01T00:00:00+14:00"}', 422, "run_after"),
        (b'{"task_data": {}, "run_after": "9999-12-31T23:59:59-14:00"}', 422, "run_after"),
        (b'{"task_data": {}, "timeout_seconds": 0}', 422, "timeout_seconds"),
        (b'{"task_data": {}, "timeout_seconds": 1e300}', 422, "timeout_seconds"),
    ],
)
async def test_a_bad_body_is_told_and_nothing_is_stored(
    client: httpx2.AsyncClient, body: bytes, status: int, says: str
) -> None:
    answer = await client.post(TASKS, content=body, headers=JSON)

    assert answer.status_code == status, answer.text
    assert says in answer.text
    assert (await client.get("/tasks")).json()["items"] == []


async def test_a_text_and_a_key_may_be_as_long_as_the_limits_say(client: httpx2.AsyncClient) -> None:
    data = {"text": "é" * 262_144, "k" * 256: 1}

    answer = await client.post(TASKS, json={"task_data": data})

    assert answer.status_code == 202


async def test_what_was_sent_is_not_repeated_in_the_answer(client: httpx2.AsyncClient) -> None:
    secret = "hunter2-do-not-tell"

    bodies: list[dict[str, object]] = [
        {"task_data": {}, "priority": secret},
        {"task_data": {}, f"\n{secret}" * 9: 1},
    ]

    for body in bodies:
        answer = await client.post(TASKS, json=body)

        assert answer.status_code == 422
        assert secret not in answer.text


async def test_every_fault_of_a_body_is_told_at_once(client: httpx2.AsyncClient) -> None:
    answer = await client.post(TASKS, json={"priority": 1000, "surprise": 1})

    found = {one["where"]: one["hint"] for one in answer.json()["findings"]}
    assert set(found) == {"task_data", "priority", "surprise"}
    assert found["surprise"] == "remove it, or correct its spelling"


@pytest.mark.parametrize(
    "media_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"],
)
async def test_a_body_of_another_type_is_refused(client: httpx2.AsyncClient, media_type: str | None) -> None:
    headers = {"Content-Type": media_type} if media_type else {}

    answer = await client.post(TASKS, content=b'{"task_data": {}}', headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_another_charset_than_utf8_is_refused(client: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/json; charset=latin-1"}

    answer = await client.post(TASKS, content=b'{"task_data": {}}', headers=headers)

    assert answer.status_code == 415


async def test_a_body_that_says_it_is_too_large_is_refused_unread(client: httpx2.AsyncClient) -> None:
    body = json.dumps({"task_data": {"a": "x" * 2**20}}).encode()

    answer = await client.post(TASKS, content=body, headers=JSON)

    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


def head_of(service: Service) -> bytes:
    """All of a request's head but how long its body is."""
    lines = [
        f"POST {TASKS} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {service.key}",
        "Content-Type: application/json",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


async def _chunks(count: int) -> AsyncGenerator[bytes, None]:
    for _ in range(count):
        yield b"x" * 65_536


async def test_a_chunked_body_is_counted_as_it_comes(service: Service) -> None:
    async with service.listening() as (url, _), service.real_client(service.key, url) as client:
        answer = await client.post(TASKS, content=_chunks(64), headers=JSON)
        declared = await client.post(TASKS, content=b"x" * 2**22, headers=JSON)

    assert (answer.status_code, declared.status_code) == (413, 413)
    assert answer.headers["connection"] == "close"


async def test_a_body_without_an_end_is_cut_off(service: Service) -> None:
    async with service.listening() as (url, _):
        _reader, writer = await connected(url)
        writer.write(head_of(service) + b"Transfer-Encoding: chunked\r\n\r\n")
        sent_bytes = await _sent_until_cut_off(writer, most=8 * DRAIN_BYTES)
        writer.close()

    assert sent_bytes < 4 * DRAIN_BYTES


async def _sent_until_cut_off(writer: asyncio.StreamWriter, *, most: int) -> int:
    sent_bytes = 0
    with suppress(ConnectionError):
        while sent_bytes < most:
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            sent_bytes += 65_536
            await asyncio.wait_for(writer.drain(), 5)
    return sent_bytes


async def test_a_body_that_does_not_come_is_given_up(service: Service) -> None:
    limits = service.http.user_middleware
    index = next(number for number, one in enumerate(limits) if one.cls is BodyLimits)
    limits[index].kwargs["seconds"] = 0.2

    async with service.listening() as (url, _):
        reader, writer = await connected(url)
        writer.write(head_of(service) + b"Content-Length: 100\r\n\r\n{")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer


async def test_a_definition_is_taken_as_markdown_or_as_json_and_is_the_same_version(
    client: httpx2.AsyncClient,
) -> None:
    source = "---\nname: writer\ndescription: writes\nchargehand: {runtime: function, function: w}\n---\nWr\u00eete.\n"

    first = await client.put(
        "/agents/writer", content=source.encode(), headers={"Content-Type": "text/markdown"}
    )
    second = await client.put("/agents/writer", json={"source": source})
    third = await client.put("/agents/writer", json={"source": source + "More.\n"})

    versions = (await client.get("/agents/writer/versions")).json()["items"]
    assert [one.json()["changed"] for one in (first, second, third)] == [True, False, True]
    assert {one["version"] for one in versions} == {
        first.json()["agent"]["version"],
        third.json()["agent"]["version"],
    }
    old = await client.get(f"/agents/writer/versions/{first.json()['agent']['version']}")
    assert old.json() == first.json()["agent"]


async def test_a_wrong_definition_is_told_with_its_lines(client: httpx2.AsyncClient) -> None:
    source = "---\nname: x\nchargehand: [unclosed\n---\nbody\n"

    answer = await client.put("/agents/x", content=source, headers={"Content-Type": "text/markdown"})

    assert (answer.status_code, answer.json()["code"]) == (422, "agent.invalid_definition")
    assert answer.json()["findings"][0]["line"]


@pytest.mark.parametrize("version", ["0" * 64, "x", "%00", "g" * 64, "../../etc/passwd", "0" * 5000])
async def test_a_version_that_is_none_is_not_found(client: httpx2.AsyncClient, version: str) -> None:
    assert (await client.get(f"/agents/echo/versions/{version}")).status_code == 404


async def test_markdown_that_is_not_utf8_is_told(client: httpx2.AsyncClient) -> None:
    answer = await client.put(
        "/agents/x", content=b"---\nname: \xff", headers={"Content-Type": "text/markdown"}
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert "UTF-8" in answer.json()["detail"]


def test_reading_a_large_body_does_not_hold_up_others_for_long() -> None:
    # The worst that passes the byte limit: as many keys as fit, refused by their number.
    body = b"{" + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}"

    started = time.perf_counter()
    with pytest.raises(PayloadTooLarge, match="10000 values"):
        parse_json(body)

    assert time.perf_counter() - started < 0.5


def test_equal_keys_in_different_objects_are_no_duplicates() -> None:
    assert parse_json(b'[{"a": {"a": 1}}, {"a": 2}]') == [{"a": {"a": 1}}, {"a": 2}]
    with pytest.raises(InvalidInput, match="same key twice"):
        parse_json(b'[{"b": {"a": 1, "a": 1}}]')
