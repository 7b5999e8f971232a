"""The log: one JSON object a line, and on each line of a request or an attempt whose it is."""

import asyncio
import io
import json
import logging
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from starlette.types import Receive, Scope, Send

from chargehand.serve.edge import Edge
from chargehand.serve.secure_headers import SecureHeaders
from chargehand.telemetry.logs import configure_logging
from chargehand.telemetry.metrics import Metrics
from tests.cli.service import Cli, cli_in


@pytest.fixture
def logged() -> Generator[io.StringIO]:
    """What is logged as JSON meanwhile."""
    root, lines = logging.getLogger(), io.StringIO()
    before, level = root.handlers, root.level
    configure_logging("info", "json", logging.StreamHandler(lines))
    yield lines
    root.handlers, root.level = before, level
    structlog.reset_defaults()


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that says something, waits for others, says more and breaks."""
    del receive, send
    logging.getLogger("app").info("begun %s", scope["path"])
    await asyncio.sleep(0)
    await asyncio.to_thread(logging.getLogger("app.thread").info, "aside %s", scope["path"])
    raise RuntimeError("broken")


async def test_every_line_of_a_request_carries_its_id_also_of_requests_at_the_same_moment(
    logged: io.StringIO,
) -> None:
    transport = httpx2.ASGITransport(Edge(failing, (), Metrics(), SecureHeaders()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        calls = [client.get(f"/{number}", headers={"X-Request-ID": f"id-{number}"}) for number in range(3)]
        answers = await asyncio.gather(*calls)
    logging.getLogger("app").info("afterwards")

    *lines, last = [line for line in objects(logged.getvalue()) if not line["logger"].startswith("httpx")]
    assert [one.status_code for one in answers] == [500] * 3
    assert len(lines) == 9
    for number in range(3):
        own = [line for line in lines if line["request_id"] == f"id-{number}"]
        assert [line["level"] for line in own] == ["info", "info", "error"]
        assert [line["event"] for line in own][:2] == [f"begun /{number}", f"aside /{number}"]
        assert "RuntimeError: broken" in own[2]["exception"]
    assert "request_id" not in last


def test_every_line_of_an_attempt_carries_the_tasks_id(tmp_path: Path) -> None:
    cli: Cli = cli_in(tmp_path).with_environment(
        CHARGEHAND_LOG_LEVEL="info", CHARGEHAND_LOG_FORMAT="json", CHARGEHAND_SANDBOX="none"
    )
    with cli.start("serve", "--port", "0") as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "curl" in line:
                    break
            done = cli.run("run", "failer", "--prompt", "x", "--json")
        finally:
            process.send_signal(signal.SIGTERM)
            _, rest = process.communicate(timeout=60)
    task_id = json.loads(done.stdout.splitlines()[-1])["task"]["id"]

    told = [line for line in objects(rest) if line["logger"] in ("chargehand.runner", "chargehand.playbook")]

    assert told, rest
    assert {line["task_id"] for line in told} == {task_id}
    assert [(line["event"], line["attempt"], line["agent_id"]) for line in told][-1] == (
        "attempt ended", 1, "failer",
    )  # fmt: skip
