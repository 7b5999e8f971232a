"""What commands have in common: options, and the way from a coroutine to an exit code."""

import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from chargehand.cli.exits import ExitCode, Told, code_of, lines_of, say
from chargehand.cli.lazily import Lazily
from chargehand.cli.streams import abandon_output
from chargehand.errors import ChargehandError

if TYPE_CHECKING:
    from chargehand.app import loop
else:
    loop = Lazily("chargehand.app.loop")

_Parameters = ParamSpec("_Parameters")

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="CHARGEHAND_SERVER",
        metavar="URL",
        help="The service to talk to. Without it: the one that runs on the data folder, else one of our own.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write the deliverables into this folder.")
]
Force = Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")]
Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="LIMIT=AMOUNT",
        help="What it may use: usd, tokens, tool_calls, steps, children, depth or wall_seconds; may be repeated.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many at most.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The task's id.")]
AgentId = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id.")]


def typer_app(summary: str) -> typer.Typer:
    """A group of commands that looks like the others."""
    return typer.Typer(
        help=summary,
        no_args_is_help=True,
        add_completion=False,
        context_settings=CONTEXT_SETTINGS,
        # Plain text: rich help costs as much as all the rest of `--help`, and needs more of a terminal.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def command(
    work: Callable[_Parameters, Coroutine[Any, Any, ExitCode]],
) -> Callable[_Parameters, None]:
    """Make a command of a coroutine function."""

    @wraps(work)
    def run(*arguments: _Parameters.args, **options: _Parameters.kwargs) -> None:
        raise typer.Exit(_exit_code_of(lambda: loop.run(work(*arguments, **options))))

    return run


def synchronous(work: Callable[_Parameters, ExitCode]) -> Callable[_Parameters, None]:
    """Make a command of a plain function."""

    @wraps(work)
    def run(*arguments: _Parameters.args, **options: _Parameters.kwargs) -> None:
        raise typer.Exit(_exit_code_of(lambda: work(*arguments, **options)))

    return run


def _exit_code_of(work: Callable[[], ExitCode]) -> ExitCode:
    """The exit code of a command; what went wrong is told on standard error, without a traceback."""
    try:
        code = work()
        # Here, where a reader that is gone is still noticed, not when the interpreter closes its files.
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_output()
        return ExitCode.OUTPUT_CLOSED
    except Told as told:
        lines, code = told.lines, told.code
    except (ChargehandError, OSError) as error:
        lines, code = lines_of(error), code_of(error)
    else:
        return code
    for line in lines:
        say(line)
    return code
