"""What every answer tells browsers, on every route and for every refusal; hosts and origins; unsafe settings."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from chargehand.errors import InvalidInput
from chargehand.serve.auth import PUBLIC_PATHS
from chargehand.serve.exposure import refuse_unsafe
from chargehand.settings import Settings
from tests.api.matrix import ENTRIES, request_of
from tests.api.service import Service, open_service

ORIGIN = "https://board.example"
NOWHERE = "0190f7a2-91b4-7c3d-8a55-0242ac120002"
EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "strict-transport-security": "max-age=31536000",
}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def behind_tls(folder: Path) -> Settings:
    return Settings(
        data_dir=folder, behind_tls=True, trusted_hosts=("agents.example",), cors_origins=(ORIGIN,)
    )


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[Service]:
    async with open_service(tmp_path, settings=behind_tls(tmp_path)) as opened:
        yield opened


def lacking(answer: httpx2.Response) -> set[str]:
    """The headers that an answer does not carry as it should, or carries twice."""
    wrong = {name for name, value in EVERYWHERE.items() if answer.headers.get_list(name) != [value]}
    policies = answer.headers.get_list("content-security-policy")
    if (
        len(policies) != 1
        or "default-src 'none'" not in policies[0]
        or "frame-ancestors 'none'" not in policies[0]
    ):
        wrong.add("content-security-policy")
    if "unsafe" in "".join(policies) or "script-src" in "".join(policies):
        wrong.add("content-security-policy allows scripts")
    if (
        len(answer.headers.get_list("cache-control")) != 1
        or "no-store" not in answer.headers["cache-control"]
    ):
        wrong.add("cache-control")
    return wrong


async def test_every_route_and_every_refusal_tells_browsers_the_same(service: Service) -> None:
    wrong: dict[str, set[str]] = {}
    statuses: set[int] = set()

    async def look(what: str, answer: httpx2.Response) -> None:
        statuses.add(answer.status_code)
        if lacking(answer):
            wrong[what] = lacking(answer)

    for key in (service.key, None):
        async with service.client(key) as client:
            for name in ENTRIES:
                method, path, body = request_of(name)
                await look(f"{name} {key is None}", await client.request(method, path, json=body))
            for path in PUBLIC_PATHS:
                await look(f"{path} {key is None}", await client.get(path))
            for method in ("PATCH", "OPTIONS", "TRACE"):
                await look(f"{method} /tasks {key is None}", await client.request(method, "/tasks"))
    async with service.client(service.key) as client:
        big = {"Content-Length": str(10**9)}
        await look("413", await client.post("/agents/echo/tasks", content=b"{}", headers=big))
        await look("415", await client.post("/agents/echo/tasks", content=b"{}"))
        await look("422", await client.post("/agents/echo/tasks", json={}))
        await look("404", await client.get("/nowhere"))
        await look("400", await client.get("/tasks", headers={"Host": "evil.example"}))
        submitted = await client.post("/agents/echo/tasks", json={"task_data": {}})
        await look("submit", submitted)
        task = submitted.json()["id"]
        await look("cancel", await client.post(f"/tasks/{task}/cancel"))
        await look(
            "stream", await client.get(f"/tasks/{task}/events", headers={"Accept": "text/event-stream"})
        )
        for origin in (ORIGIN, "https://evil.example", "null"):
            asked = await client.options("/agents/echo/tasks", headers={"Origin": origin, **PREFLIGHT})
            await look(f"preflight {origin}", asked)
            await look(f"read {origin}", await client.get("/tasks", headers={"Origin": origin}))
        service.space.error = RuntimeError("out of order")
        await look("500", await client.post("/agents/echo/tasks", json={"task_data": {}}))

    assert wrong == {}
    assert statuses >= {200, 202, 400, 401, 404, 405, 413, 415, 422, 500}


async def test_the_page_of_the_documents_has_one_style_and_no_script(service: Service) -> None:
    async with service.client(None) as client:
        page = await client.get("/docs")

    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
    assert "<script" not in page.text
    assert " style=" not in page.text
    assert " on" not in {part[:3] for part in page.text.split("<")}


async def test_browsers_are_told_to_come_by_https_only_where_the_service_is_behind_it(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service, service.client(None) as client:
        answer = await client.get("/health")

    assert "strict-transport-security" not in answer.headers


async def raw(url: str, request: bytes) -> bytes:
    """What the service answers to these very bytes."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_what_a_request_says_of_its_host_is_taken_from_one_header_and_nothing_else(
    service: Service,
) -> None:
    close = "Connection: close\r\n"
    tried = {
        "the name": ("GET /health HTTP/1.1\r\nHost: agents.example\r\n", 200),
        "the name with a port": ("GET /health HTTP/1.1\r\nHost: Agents.Example:443\r\n", 200),
        "no host": ("GET /health HTTP/1.1\r\n", 400),
        "no host, and old": ("GET /health HTTP/1.0\r\n", 400),
        "an empty host": ("GET /health HTTP/1.1\r\nHost:\r\n", 400),
        "two hosts, ours last": (
            "GET /health HTTP/1.1\r\nHost: evil.example\r\nHost: agents.example\r\n",
            400,
        ),
        "two hosts, ours first": (
            "GET /health HTTP/1.1\r\nHost: agents.example\r\nHost: evil.example\r\n",
            400,
        ),
        "ours twice": ("GET /health HTTP/1.1\r\nHost: agents.example\r\nHost: agents.example\r\n", 400),
        "two in one": ("GET /health HTTP/1.1\r\nHost: agents.example, evil.example\r\n", 400),
        "a port that is a host": ("GET /health HTTP/1.1\r\nHost: agents.example:80@evil.example\r\n", 400),
        "a host that is a path": ("GET /tasks HTTP/1.1\r\nHost: agents.example/health?\r\n", 400),
        "a host with a fragment": ("GET /tasks HTTP/1.1\r\nHost: agents.example#/health\r\n", 400),
        "a dot at the end": ("GET /health HTTP/1.1\r\nHost: agents.example.\r\n", 400),
        "a name below ours": ("GET /health HTTP/1.1\r\nHost: x.agents.example\r\n", 400),
        "forwarded": (
            "GET /health HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: agents.example\r\n"
            "Forwarded: host=agents.example\r\nX-Host: agents.example\r\n",
            400,
        ),
        "forwarded away": (
            "GET /health HTTP/1.1\r\nHost: agents.example\r\nX-Forwarded-Host: evil.example\r\n",
            200,
        ),
        "whole address, foreign header": (
            "GET http://agents.example/health HTTP/1.1\r\nHost: evil.example\r\n",
            400,
        ),
        # The path alone is read, and the Host header is the one that is looked at.
        "whole address of others": (
            "GET http://evil.example/tasks HTTP/1.1\r\nHost: agents.example\r\n",
            401,
        ),
        "a public path in the host": ("GET /tasks HTTP/1.1\r\nHost: agents.example/health\r\n", 400),
        "a path with a host": ("GET //evil.example/health HTTP/1.1\r\nHost: agents.example\r\n", 401),
        "path encoded": ("GET /%2e%2e/health HTTP/1.1\r\nHost: agents.example\r\n", 401),
    }
    async with service.listening() as (url, _):
        answers = {what: await raw(url, f"{head}{close}\r\n".encode()) for what, (head, _) in tried.items()}
        too_large = await raw(url, b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000)

    found = {what: int(answer.split()[1]) for what, answer in answers.items()}
    assert found == {what: expected for what, (_, expected) in tried.items()}
    # What is refused before it is a request is dressed as all else.
    for answer in (*answers.values(), too_large):
        assert b"\r\nstrict-transport-security: max-age=31536000\r\n" in answer
        assert b"\r\nx-content-type-options: nosniff\r\n" in answer
    assert too_large.split()[1] == b"431"


async def test_a_listed_page_may_read_what_it_needs_and_no_page_may_bring_a_cookie(service: Service) -> None:
    from_there = {"Origin": ORIGIN}
    async with service.client(None) as stranger, service.client(service.key) as client:
        failed = [
            await stranger.get("/tasks", headers=from_there),
            await client.get(f"/tasks/{NOWHERE}", headers=from_there),
            await client.post("/agents/echo/tasks", json={}, headers=from_there),
        ]
        service.space.error = RuntimeError("out of order")
        failed.append(await client.post("/agents/echo/tasks", json={"task_data": {}}, headers=from_there))
        read = await client.get("/tasks", headers=from_there)
        asked = await client.options("/agents/echo/tasks", headers={"Origin": ORIGIN, **PREFLIGHT})
        with_token = {**PREFLIGHT, "Access-Control-Request-Headers": "x-csrf-token,content-type"}
        csrf = await client.options("/agents/echo/tasks", headers={"Origin": ORIGIN, **with_token})
        private = {**PREFLIGHT, "Access-Control-Request-Private-Network": "true"}
        inside = await client.options(
            "/agents/echo/tasks", headers={"Origin": "https://evil.example", **private}
        )

    # A page that may call is told what went wrong, and not only that something did.
    assert [one.headers.get("access-control-allow-origin") for one in failed] == [ORIGIN] * 4
    assert [one.status_code for one in failed] == [401, 404, 422, 500]
    exposed = {name.strip() for name in read.headers["access-control-expose-headers"].split(",")}
    assert exposed >= {
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "Location",
        "Link",
        "ETag",
        "X-Request-ID",
    }
    assert "Idempotent-Replayed" in exposed
    assert asked.headers["access-control-allow-methods"] == "GET, POST, PUT, PATCH, DELETE"
    assert "Origin" in asked.headers["vary"]
    assert csrf.status_code == 400
    assert "access-control-allow-private-network" not in inside.headers
    assert "access-control-allow-origin" not in inside.headers
    assert [
        one for one in (read, asked, csrf, inside) if "access-control-allow-credentials" in one.headers
    ] == []


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://*",
        "https://*.example.com",
        "null",
        "",
        "https://board.example/",
        "https://board.example/app",
        "https://board.example?x",
        "https://board.example#x",
        "https://user@board.example",
        "https://board.example:443",
        "http://board.example:80",
        "https://board.example:x",
        "https://Board.example",
        "HTTPS://board.example",
        "https://bücher.example",
        "board.example",
        "//board.example",
        "ftp://board.example",
        "file:///etc/passwd",
        "https://",
        "https://board.example https://evil.example",
        "https://board.example.",
        " https://board.example",
    ],
)
def test_an_origin_that_is_open_to_anyone_or_never_sent_is_refused_at_the_start(
    tmp_path: Path, origin: str
) -> None:
    settings = Settings(data_dir=tmp_path, cors_origins=(ORIGIN, origin))

    with pytest.raises(InvalidInput, match="cors_origins"):
        refuse_unsafe(settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"behind_tls": True}, "behind_tls needs trusted_hosts"),
        (
            {"behind_tls": True, "trusted_hosts": ("a.example",), "cors_origins": ("http://b.example",)},
            "cors_origins",
        ),
        ({"trusted_hosts": ("https://agents.example",)}, "trusted_hosts"),
        ({"trusted_hosts": ("agents.example:443",)}, "trusted_hosts"),
        ({"trusted_hosts": ("agents.example/",)}, "trusted_hosts"),
        ({"trusted_hosts": ("*.agents.example",)}, "trusted_hosts"),
        ({"trusted_hosts": ("",)}, "trusted_hosts"),
        ({"host": "0.0.0.0", "behind_tls": True}, "trusted_hosts"),  # noqa: S104 - what must be refused
    ],
)
def test_settings_that_are_half_secure_are_refused_with_their_name(
    tmp_path: Path, settings: dict[str, object], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        refuse_unsafe(Settings.model_validate({"data_dir": tmp_path, **settings}))


def test_settings_that_are_whole_are_taken(tmp_path: Path) -> None:
    refuse_unsafe(behind_tls(tmp_path))
    origins = (
        "http://localhost:5173",
        "https://board.example:8443",
        "https://xn--bcher-kva.example",
        "http://[::1]:3000",
    )
    refuse_unsafe(behind_tls(tmp_path).model_copy(update={"cors_origins": origins}))
    refuse_unsafe(
        Settings(data_dir=tmp_path, trusted_hosts=("agents", "Agents.Example", "192.0.2.7", "2001:db8::7"))
    )
