"""What holds for every answer: headers, request ids, the Host check, CORS, problems instead of tracebacks."""

import logging
from pathlib import Path

import httpx2
import pytest

from chargehand.errors import InvalidInput
from chargehand.serve.exposure import refuse_unsafe
from chargehand.settings import Settings
from tests.api.service import Service, open_service

ORIGIN = "https://board.example"


async def test_a_request_id_is_given_back_and_made_when_there_is_none(client: httpx2.AsyncClient) -> None:
    given = await client.get("/tasks/x", headers={"X-Request-ID": "trace-42.a_b"})
    made = [(await client.get("/health")).headers["x-request-id"] for _ in range(2)]

    assert given.headers["x-request-id"] == given.json()["request_id"] == "trace-42.a_b"
    assert made[0] != made[1]


@pytest.mark.parametrize("wrong", ["a b", "a" * 65, "<script>", "", "\u00e9", "a\tb"])
async def test_a_request_id_of_another_form_is_replaced(client: httpx2.AsyncClient, wrong: str) -> None:
    answer = await client.get("/health", headers={b"X-Request-ID": wrong.encode()})

    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != wrong


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:9", 200),
        ("127.0.0.1:8700", 200),
        ("[::1]:8700", 200),
        ("agents.internal", 200),
        ("agents.internal:443", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1.evil.example:8700", 400),
        ("evil.example@127.0.0.1", 400),
        ("127.0.0.1/x", 400),
        ("", 400),
        ("\u00e9", 400),
        ("a" * 5000, 400),
    ],
)
async def test_only_names_of_this_service_are_answered(tmp_path: Path, host: str, status: int) -> None:
    settings = Settings(data_dir=tmp_path, trusted_hosts=("Agents.internal",))

    async with open_service(tmp_path, settings=settings) as service, service.client(None) as client:
        answer = await client.get("/health", headers={b"Host": host.encode()})

    assert answer.status_code == status


async def test_what_goes_wrong_inside_is_logged_and_not_told(
    service: Service, client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    service.space.error = RuntimeError("secret of the house")

    answer = await client.post("/agents/echo/tasks", json={"task_data": {}}, headers={"X-Request-ID": "r-1"})

    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert "r-1" in record.getMessage()
    assert record.exc_info is not None
    assert "secret of the house" in str(record.exc_info[1])


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/agents/echo", "GET, PUT"),
        ("PATCH", "/agents/echo/tasks", "GET, POST"),
        ("POST", "/tasks", "GET"),
        ("PUT", "/health", "GET"),
        ("OPTIONS", "/tasks", "GET"),
    ],
)
async def test_a_method_that_a_path_does_not_take_is_told_with_those_that_it_takes(
    client: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/tasks/", "//tasks", "/tasks/a/b/c/d", "/docs/oauth2-redirect"]
)
async def test_a_path_that_is_none_is_a_problem_too(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(f"http://127.0.0.1:8700{path}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_no_page_elsewhere_may_call_the_service(client: httpx2.AsyncClient) -> None:
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}

    answers = [
        await client.get("/tasks", headers={"Origin": ORIGIN}),
        await client.options("/agents/echo/tasks", headers=preflight),
    ]

    assert [name for answer in answers for name in answer.headers if name.startswith("access-control")] == []


async def test_a_configured_origin_may_call_without_cookies_and_others_may_not(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, cors_origins=(ORIGIN,))
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }

    async with open_service(tmp_path, settings=settings) as service, service.client(service.key) as client:
        read = await client.get("/tasks", headers={"Origin": ORIGIN})
        asked = await client.options("/agents/echo/tasks", headers={"Origin": ORIGIN, **preflight})
        others = [
            await client.get("/tasks", headers={"Origin": origin})
            for origin in ("https://evil.example", "null")
        ]

    assert read.headers["access-control-allow-origin"] == ORIGIN
    assert "x-request-id" in read.headers["access-control-expose-headers"].lower()
    assert asked.status_code == 200
    assert asked.headers["access-control-max-age"] == "600"
    answers = [read, asked, *others]
    assert [one for one in answers if "access-control-allow-credentials" in one.headers] == []
    assert [one for one in others if "access-control-allow-origin" in one.headers] == []


@pytest.mark.parametrize(
    ("unsafe", "says"),
    [
        ({"cors_origins": ("*",)}, "cors_origins"),
        ({"cors_origins": (ORIGIN, "*")}, "cors_origins"),
        ({"trusted_hosts": ("*",)}, "trusted_hosts"),
        ({"host": "0.0.0.0"}, "trusted_hosts"),  # noqa: S104 - what must be refused
        ({"host": "192.0.2.7"}, "trusted_hosts"),
        ({"host": "::"}, "trusted_hosts"),
        ({"host": ""}, "trusted_hosts"),
    ],
)
def test_settings_that_open_the_service_to_anyone_are_refused(
    tmp_path: Path, unsafe: dict[str, object], says: str
) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, **unsafe})

    with pytest.raises(InvalidInput, match=says):
        refuse_unsafe(settings)


def test_settings_that_name_who_may_call_are_taken(tmp_path: Path) -> None:
    refuse_unsafe(Settings(data_dir=tmp_path))
    refuse_unsafe(Settings(data_dir=tmp_path, host="::1"))
    refuse_unsafe(Settings(data_dir=tmp_path, host="192.0.2.7", trusted_hosts=("agents.internal",)))
