"""A model server that says what a script tells it to, as a process of its own or inside a test."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.routing import Route

from chargehand.clock import SystemClock
from chargehand.serve.server import config_for, run_on
from chargehand.testkit.anthropic_messages import ANTHROPIC_MESSAGES
from chargehand.testkit.desk import Desk
from chargehand.testkit.endpoint import Endpoint, Stage
from chargehand.testkit.gemini import GEMINI
from chargehand.testkit.openai_chat import OPENAI_CHAT
from chargehand.testkit.openai_responses import OPENAI_RESPONSES
from chargehand.testkit.request_log import Exchange, RequestLog
from chargehand.testkit.script import Script, read_script, script_of_data, script_of_text

ADDRESSES = {
    "/v1/messages": ANTHROPIC_MESSAGES,
    "/v1/chat/completions": OPENAI_CHAT,
    "/v1/responses": OPENAI_RESPONSES,
    "/v1beta/models/{model}:{method}": GEMINI,
}


class Scripted(NamedTuple):
    """A running model server: where it answers, and what it was asked so far."""

    url: str
    log: Sequence[Exchange]


@asynccontextmanager
async def scripted_models(
    script: Path | str | Sequence[Any], *, log: Path | None = None
) -> AsyncGenerator[Scripted, None]:
    """A model server in this process: `async with scripted_models(script) as (url, log)`.

    The script is a file, YAML text, or the list itself. With `log` each request is also appended to that file.
    """
    match script:
        case Path():
            parsed = read_script(script)
        case str():
            parsed = script_of_text(script)
        case _:
            parsed = script_of_data(script)
    requests, stopping, started = RequestLog(log), asyncio.Event(), asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        serving = asyncio.ensure_future(
            serve_models(parsed, requests, listener=listener, stopping=stopping, on_listening=started.set)
        )
        waiting = asyncio.ensure_future(started.wait())
        try:
            await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
            yield Scripted(f"http://127.0.0.1:{port}", requests.exchanges)
        finally:
            waiting.cancel()
            stopping.set()
            await serving


async def serve_models(
    script: Script,
    log: RequestLog,
    *,
    listener: socket.socket,
    stopping: asyncio.Event,
    on_listening: Callable[[], object],
) -> None:
    """Answer on the socket until `stopping` is set; what hangs by script is ended then."""
    stage = Stage(desk=Desk(script), log=log, clock=SystemClock(), stopping=stopping)
    app = Starlette(
        # An unknown address gets 404 in plain text: which protocol it was meant for is not known.
        routes=[
            Route(path, Endpoint(dialect, stage), methods=["POST"]) for path, dialect in ADDRESSES.items()
        ]
    )
    await run_on(listener, config_for(app), stopping, on_listening, stopping.set)
