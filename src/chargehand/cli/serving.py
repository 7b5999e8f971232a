"""The work of `chargehand serve`."""

import os

from chargehand import __version__
from chargehand.app import loop
from chargehand.app.policy import policy_of
from chargehand.app.preflight import unknown_variables
from chargehand.app.service import App
from chargehand.app.service import serve as serve_until_stopped
from chargehand.cli.configured import load_settings
from chargehand.cli.exits import ExitCode, Told, lines_of, say
from chargehand.errors import Conflict
from chargehand.telemetry.logs import configure_logging


def serve(*, host: str | None, port: int | None, engine: str | None = None) -> ExitCode:
    """Run the service until it is told to stop."""
    given = {"host": host, "port": port, "engine": engine}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    configure_logging(settings.log_level, settings.log_format)
    for warning in unknown_variables(os.environ):
        say(warning)
    try:
        loop.run(serve_until_stopped(settings, on_listening=_greet))
    except Conflict as error:
        # A port or a data folder that another process has: not a wrong input, but not now.
        raise Told(lines_of(error), ExitCode.UNAVAILABLE) from error
    say("stopped; what was running goes on at the next start")
    return ExitCode.OK


def _greet(app: App, url: str) -> None:
    """Say where it answers; the key itself is not printed, because output ends up in logs."""
    key_file = app.settings.key_file
    made = " (made at this first start)" if app.admin_key_created else ""
    say(f"Chargehand {__version__} answers at {url}; documentation at {url}/docs")
    if app.settings.model is not None:
        say(f"Agents that name no model of their own use {app.settings.model} (CHARGEHAND_MODEL)")
    if app.settings.policy_file is not None:
        say(f"Calls are judged by the policy {app.settings.policy_file}")
        if not policy_of(app.settings).rules:
            say(
                f"warning: {app.settings.policy_file} holds no rule: nothing is asked and nothing denied by it"
            )
    say(f"The administrator's key is in {key_file}{made}. Try:")
    say(f'  curl -H "Authorization: Bearer $(cat {_quoted(str(key_file))})" {url}/agents')


def _quoted(path: str) -> str:
    return path if path.replace("/", "").replace("-", "").replace(".", "").isalnum() else f"'{path}'"
