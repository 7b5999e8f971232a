"""The OpenAPI document: complete, and no answer of the service contradicts it."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx2
from fastapi.routing import APIRoute
from starlette.routing import Match

from chargehand.serve.auth import PUBLIC_PATHS
from chargehand.serve.openapi import openapi_of
from chargehand.settings import Settings
from tests.api.service import Service, open_service

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLES = 15
"""Of each operation; a release is tested with more: CHARGEHAND_TEST_EXAMPLES."""


async def test_the_document_names_the_service_and_every_route(
    service: Service, stranger: httpx2.AsyncClient
) -> None:
    document = (await stranger.get("/openapi.json")).json()

    assert document["info"]["title"] == "AI Agent Service"
    documented = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    registered = {
        (route.path_format, method)
        for route in service.http.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or set[str]()
    }
    assert documented == registered


async def test_every_reference_and_link_leads_somewhere(stranger: httpx2.AsyncClient) -> None:
    answer = await stranger.get("/openapi.json")
    document, text = answer.json(), answer.text

    schemas = document["components"]["schemas"]
    operations = [one for item in document["paths"].values() for one in item.values()]
    names = [one["operationId"] for one in operations]

    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= schemas.keys()
    assert set(re.findall(r'"\$ref":"([^"]+)"', text)) == {
        f"#/components/schemas/{name}" for name in re.findall(r'"#/components/schemas/(\w+)"', text)
    }
    assert len(names) == len(set(names))
    links = [
        link for one in operations for answer in one["responses"].values() for link in answer.get("links", {})
    ]
    assert links
    assert set(links) <= set(names)


async def test_every_bound_is_named_as_json_schema_names_it(stranger: httpx2.AsyncClient) -> None:
    text = (await stranger.get("/openapi.json")).text

    assert re.findall(r'"(?:ge|gt|le|lt|min_length|max_length)":', text) == []


async def test_every_operation_is_explained_and_says_how_it_fails(stranger: httpx2.AsyncClient) -> None:
    document = (await stranger.get("/openapi.json")).json()

    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["description"], f"{method} {path}"
            failures = {status: one for status, one in operation["responses"].items() if status >= "400"}
            assert {"500", "503"} <= failures.keys()
            for status, failure in failures.items():
                if (path, status) != ("/health/ready", "503"):
                    assert list(failure["content"]) == ["application/problem+json"], f"{method} {path}"
            for parameter in operation.get("parameters", []):
                assert parameter["description"], parameter["name"]


async def test_the_document_names_each_way_in_and_asks_for_a_token_only_with_a_session_that_changes(
    stranger: httpx2.AsyncClient,
) -> None:
    document = (await stranger.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    found = {
        f"{method.upper()} {path}": one.get("security")
        for path, item in document["paths"].items()
        for method, one in item.items()
    }

    assert {(one.get("scheme"), one.get("in"), one.get("name")) for one in schemes.values()} == {
        ("bearer", None, None),
        (None, "cookie", "chargehand_sid"),
        (None, "header", "X-CSRF-Token"),
    }
    assert found.pop("POST /session") == [{"key": []}]
    assert found.pop("GET /session") == [{"session": []}]
    assert found.pop("DELETE /session") == [{"session": [], "csrf": []}]
    for name, asked in found.items():
        method, path = name.split()
        changing: dict[str, list[str]] = {"session": [], "csrf": []}
        both: list[dict[str, list[str]]] = [{"key": []}, {"session": []} if method == "GET" else changing]
        assert asked == (None if path in PUBLIC_PATHS else both), name


async def test_behind_tls_the_document_names_the_cookie_that_is_sent_there(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, behind_tls=True, trusted_hosts=("agents.example",))
    async with open_service(tmp_path, settings=settings) as service:
        schemes = openapi_of(service.http)["components"]["securitySchemes"]

    assert schemes["session"]["name"] == "__Host-sid"


async def test_the_page_needs_no_script_and_nothing_from_elsewhere(stranger: httpx2.AsyncClient) -> None:
    document = (await stranger.get("/openapi.json")).json()

    answer = await stranger.get("/docs")

    assert answer.headers["content-type"].startswith("text/html")
    assert re.findall(r"<script|javascript:|style=|\son\w+=|@import|url\(", answer.text) == []
    assert re.findall(r"(?:src|href)=\"(?!#|/openapi\.json\")[^\"]*\"", answer.text) == []
    assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
    for path, item in document["paths"].items():
        for method, one in item.items():
            assert path in answer.text
            assert f'<section id="{one["operationId"]}">' in answer.text, f"{method} {path}"
    for scheme in document["components"]["securitySchemes"].values():
        assert scheme.get("name", "Bearer") in answer.text
    targets = set(re.findall(r'href="#([^"]+)"', answer.text))
    assert targets <= set(re.findall(r'id="([^"]+)"', answer.text))


async def test_generated_requests_find_no_contradiction_and_no_server_error(
    service: Service, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
        "NO_COLOR": "1",
    }
    examples = os.environ.get("CHARGEHAND_TEST_EXAMPLES", str(EXAMPLES))
    async with service.listening() as (url, _):
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "schemathesis"),
            f"--config-file={HERE / 'schemathesis.toml'}",
            "run",
            f"{url}/openapi.json",
            f"--header=Authorization: Bearer {service.key}",
            f"--max-examples={examples}",
            "--phases=examples,coverage,fuzzing",
            "--continue-on-failure",
            "--generation-database=none",
            "--seed=1",
            cwd=tmp_path,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()[-6000:]
    found = re.search(rb"(\d+) generated", output)
    assert found is not None
    assert int(found[1]) > 500


def test_the_reference_page_calls_every_route_and_no_other(service: Service) -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    examples = [one.replace("\\\n", " ") for one in re.findall(r"^curl (?:.*\\\n)*.*$", page, re.MULTILINE)]
    called: set[tuple[str, str]] = set()

    for example in examples:
        method = match[1] if (match := re.search(r"-X (\w+)", example)) else "GET"
        path = re.findall(r"\$CHARGEHAND_URL(/[^\"?]*)", example)[0]
        called.add((method, template_of(service, method, path)))

    routes = {
        (method, route.path)
        for route in service.http.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or set[str]()
    }
    assert called == routes
    for method, path in routes:
        assert path in PUBLIC_PATHS | {"/whoami"} or f"`{method} {path.replace(':path', '')}`" in page


def template_of(service: Service, method: str, path: str) -> str:
    """The route that a call reaches."""
    scope: dict[str, Any] = {"type": "http", "path": path, "method": method, "headers": []}
    for route in service.http.router.routes:
        if isinstance(route, APIRoute) and route.matches(scope)[0] is Match.FULL:
            return route.path
    raise AssertionError(f"the page calls {method} {path}, which is no route")
