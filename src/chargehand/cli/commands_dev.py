"""`chargehand dev`: what one tests one's agents with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import model_server as server
else:
    server = Lazily("chargehand.cli.model_server")

app = typer_app("Test your agents.")


@app.callback()
def _dev() -> None:
    """Keeps `model-server` a command of the group: a group of one would be that command itself."""


@app.command("model-server")
@command
async def model_server(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="What the models say: a YAML file.")],
    host: Annotated[str, typer.Option("--host", help="Listen here.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 0,
    log: Annotated[
        Path | None, typer.Option("--log", metavar="FILE", help="Append a JSON line for each request.")
    ] = None,
) -> ExitCode:
    """Play a model: answer as Anthropic, OpenAI and Gemini do, with what a script says, until Ctrl-C.

    \b
    Example:
      chargehand dev model-server conversation.yaml --port 8800 --log requests.jsonl

    docs/reference/model-server.md has the format of the script.
    """
    return await server.serve(script, host=host, port=port, log=log)
