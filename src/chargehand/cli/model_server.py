"""The work of `chargehand dev model-server`."""

import logging
import sys
from pathlib import Path

from chargehand.app.loop import stop_signals
from chargehand.cli.exits import ExitCode, naming
from chargehand.cli.output import write
from chargehand.serve.server import bind, url_of
from chargehand.testkit.request_log import RequestLog
from chargehand.testkit.script import read_script
from chargehand.testkit.server import serve_models


async def serve(script: Path, *, host: str, port: int, log: Path | None) -> ExitCode:
    """Answer until told to stop."""
    with naming(str(script)):
        parsed = read_script(script)
    requests = RequestLog(log)
    # An answer that is cut because the script says so is no error of the server, which would tell it as one.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    with bind(host, port) as listener, stop_signals() as stopping:
        url = url_of(listener, host)
        await serve_models(
            parsed, requests, listener=listener, stopping=stopping, on_listening=lambda: _greet(url)
        )
    return ExitCode.OK


def _greet(url: str) -> None:
    # One line, which a script that starts the server can read the address from.
    write(
        f"{url} answers as a model: ANTHROPIC_BASE_URL={url} OPENAI_BASE_URL={url}/v1"
        f" GOOGLE_GEMINI_BASE_URL={url} (any API key will do)"
    )
    # Now, because whoever reads it through a pipe waits for it.
    sys.stdout.flush()
