"""The work of `chargehand service`."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from chargehand.cli.configured import load_settings
from chargehand.cli.exits import ExitCode, code_of, say
from chargehand.cli.output import write, write_fields, write_json
from chargehand.errors import InvalidInput
from chargehand.settings import Settings
from chargehand.telemetry.logs import configure_logging
from chargehand.windows import control, dispatch
from chargehand.windows.host import EventLogHandler, log_file
from chargehand.windows.lifecycle import State
from chargehand.windows.plan import Interpreter, StartType, install_plan
from chargehand.windows.settings_file import FILE_NAME, read_settings_file
from chargehand.windows.win32 import require_windows, win32


def install(
    *, name: str, account: str | None, password_stdin: bool, start: str, data_dir: str | None, dry_run: bool
) -> ExitCode:
    """Register the service, or tell what that would do."""
    require_windows()
    plan = install_plan(
        name=name,
        account=account,
        start=StartType(start),
        data_dir=data_dir or str(Path(os.environ.get("PROGRAMDATA") or r"C:\ProgramData") / name),
        interpreter=Interpreter(program=sys.executable, base=_base_program()),
        grace_seconds=load_settings().shutdown_grace_seconds,
    )
    if dry_run:
        write("would make:")
        for line in plan.lines():
            write(line)
        return ExitCode.OK
    if plan.account.needs_password and not password_stdin:
        raise InvalidInput(
            f"{plan.account.name} has a password: give --password-stdin and write it to standard input"
        )
    password = sys.stdin.readline().rstrip("\r\n") if plan.account.needs_password else None
    control.install(plan, password)
    say(f"the service {name} is installed; settings: {plan.data_dir / FILE_NAME}")
    say("start it with `chargehand service start`")
    return ExitCode.OK


def _base_program() -> str:
    base: object = getattr(sys, "_base_executable", None)
    return base if isinstance(base, str) and base else sys.executable


def start(name: str) -> ExitCode:
    """Start it."""
    control.start(name)
    say(f"the service {name} runs")
    return ExitCode.OK


def stop(name: str) -> ExitCode:
    """Stop it."""
    control.stop(name)
    say(f"the service {name} has stopped; what was running goes on at the next start")
    return ExitCode.OK


def restart(name: str) -> ExitCode:
    """Stop it if need be, and start it."""
    if control.standing(name).state is not State.STOPPED:
        control.stop(name)
    return start(name)


def status(name: str, *, as_json: bool) -> ExitCode:
    """How it stands."""
    found = control.standing(name)
    state = found.state.name.lower()
    if as_json:
        write_json(
            {
                "name": name,
                "state": state,
                "pid": found.pid or None,
                "exit_code": found.exit_code,
                "account": found.account,
                "start": found.start.value,
                "command": found.command,
            }
        )
    else:
        fields = [("name", name), ("state", state), ("process", str(found.pid or ""))]
        ended = str(found.exit_code) if found.exit_code else ""
        fields += [("ended with", ended), ("account", found.account), ("start", found.start.value)]
        write_fields([*fields, ("command", found.command)])
    return ExitCode.OK if found.state is State.RUNNING else ExitCode.UNAVAILABLE


def uninstall(name: str, *, dry_run: bool) -> ExitCode:
    """Remove it."""
    require_windows()
    if dry_run:
        found = control.standing(name)
        write(f"would stop and remove the service {name} ({found.command}); its data folder would stay")
        return ExitCode.OK
    control.uninstall(name)
    say(f"the service {name} is removed; its data folder stays as it is")
    return ExitCode.OK


def run(name: str) -> ExitCode:
    """Be the service, in the process that Windows started."""
    require_windows()
    manager = win32("servicemanager")
    folder = Path(os.environ.get("CHARGEHAND_DATA_DIR") or "")
    if not folder.is_absolute():
        raise InvalidInput(
            "CHARGEHAND_DATA_DIR is missing from the service's environment; install the service anew"
        )

    async def serve(stopping: asyncio.Event, answers: Callable[[str], None]) -> None:
        # Only here, because the other commands need no service of their own.
        from chargehand.app.service import listen, open_app  # noqa: PLC0415 - as said above

        settings = service_settings(folder, manager.LogErrorMsg)
        async with open_app(settings) as app:
            await listen(app, stopping, on_listening=answers)

    return ExitCode.OK if dispatch.host_service(name, serve, code_of) == 0 else ExitCode.FAILED


def service_settings(folder: Path, to_event_log: Callable[[str], object]) -> Settings:
    """The settings of the folder's file over those of the environment; from here on the log is in the folder."""
    given = read_settings_file(folder / FILE_NAME)
    if "CHARGEHAND_DATA_DIR" in given:
        raise InvalidInput(
            f"{FILE_NAME} cannot name another data folder; `chargehand service install --data-dir` does, and closes it"
        )
    os.environ.update(given)
    # A task's relative path must not mean a folder of Windows.
    os.chdir(folder)
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format, log_file(folder / "logs"))
    logging.getLogger().addHandler(EventLogHandler(to_event_log))
    return settings
