"""`chargehand service` against a Windows in memory: what is registered, how it is started, stopped and told."""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import structlog

from chargehand.cli import windows_service
from chargehand.cli.exits import code_of
from chargehand.errors import (
    ChargehandError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    RuntimeMissing,
    Unavailable,
)
from chargehand.windows import control, dispatch, win32
from chargehand.windows.lifecycle import Control, State
from chargehand.windows.plan import Interpreter, StartType, install_plan
from tests.cli.service import Cli, cli_in
from tests.windows.pywin32 import Windows

FOLDER = r"C:\ProgramData\Chargehand"
VENV = Interpreter(program=r"C:\Program Files\Chargehand\Scripts\python.exe", base=r"C:\Python\python.exe")


def installed(folder: Path, account: str | None = None, start: StartType = StartType.DELAYED) -> None:
    plan = install_plan(
        name="Chargehand", account=account, start=start, data_dir=FOLDER, interpreter=VENV, grace_seconds=20
    )
    control.install(plan, "pa ss" if plan.account.needs_password else None)
    del folder


@pytest.fixture(autouse=True)
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders with names of Windows are made here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(control, "LOOK_SECONDS", 0)
    return tmp_path


def test_the_service_is_registered_with_all_that_the_plan_says(windows: Windows, made: Path) -> None:
    installed(made)

    service = windows.services["Chargehand"]
    says = windows.win32service
    assert service.arguments[7].startswith(f'"{VENV.base}" ')
    assert (service.arguments[5], service.arguments[11], service.arguments[12]) == (
        2,
        "NT SERVICE\\Chargehand",
        None,
    )
    failure = service.config[says.SERVICE_CONFIG_FAILURE_ACTIONS]
    assert failure["Actions"] == [(1, 5_000), (1, 30_000), (1, 60_000)]
    assert failure["ResetPeriod"] == 86_400
    assert service.config[says.SERVICE_CONFIG_FAILURE_ACTIONS_FLAG] is True
    assert service.config[says.SERVICE_CONFIG_DELAYED_AUTO_START_INFO] is True
    assert service.config[says.SERVICE_CONFIG_PRESHUTDOWN_INFO] == 50_000
    assert service.config[says.SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO] == ("SeChangeNotifyPrivilege",)
    key = windows.registry[r"SYSTEM\CurrentControlSet\Services\Chargehand"]
    assert key["Environment"][0] == f"CHARGEHAND_DATA_DIR={FOLDER}"
    assert list(windows.rights) == [FOLDER]
    assert "S-1-5-80-" in windows.rights[FOLDER]
    assert windows.sources == {"Chargehand"}


def test_an_account_of_the_operators_may_log_on_and_gets_its_password(windows: Windows, made: Path) -> None:
    installed(made, account="CORP\\runner", start=StartType.MANUAL)

    service = windows.services["Chargehand"]
    assert service.arguments[11:13] == ("CORP\\runner", "pa ss")
    assert service.arguments[5] == 3
    assert windows.allowed == ["sid of CORP\\runner", "SeServiceLogonRight"]


@pytest.mark.parametrize("broken", ["ChangeServiceConfig2", "SetNamedSecurityInfo"])
def test_a_service_half_made_is_taken_away_again(windows: Windows, made: Path, broken: str) -> None:
    windows.fails[broken] = 5

    with pytest.raises(Forbidden, match="Run as administrator"):
        installed(made)

    assert windows.services == {}


def test_a_service_that_is_there_already_is_left_alone(windows: Windows, made: Path) -> None:
    installed(made)
    before = windows.services["Chargehand"]

    with pytest.raises(Conflict, match="already"):
        installed(made)

    assert windows.services == {"Chargehand": before}


@pytest.mark.parametrize(
    ("work", "kind"),
    [
        (control.start, NotFound),
        (control.stop, NotFound),
        (control.standing, NotFound),
        (control.uninstall, NotFound),
    ],
)
def test_a_service_that_is_not_there_is_told(
    windows: Windows, work: Callable[[str], object], kind: type[ChargehandError]
) -> None:
    del windows
    with pytest.raises(kind, match="service install"):
        work("Chargehand")


def test_a_start_is_waited_for_until_the_service_answers(windows: Windows, made: Path) -> None:
    installed(made)
    service = windows.services["Chargehand"]
    service.coming = [{"CurrentState": 2, "CheckPoint": number, "WaitHint": 15_000} for number in range(5)]
    service.coming.append({"CurrentState": 4, "ProcessId": 77})

    control.start("Chargehand")

    told = control.standing("Chargehand")
    assert (told.state, told.pid, told.start, told.account) == (
        State.RUNNING, 77, StartType.DELAYED, "NT SERVICE\\Chargehand",
    )  # fmt: skip


def test_a_start_that_fails_tells_the_code_and_where_the_reason_is(windows: Windows, made: Path) -> None:
    installed(made)
    windows.services["Chargehand"].coming = [
        {"CurrentState": 2, "CheckPoint": 1}, {"CurrentState": 1, "ServiceSpecificExitCode": 6},
    ]  # fmt: skip

    with pytest.raises(Unavailable, match=r"code 6; logs.service\.log"):
        control.start("Chargehand")


def test_a_start_that_hangs_is_given_up(
    windows: Windows, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(made)
    times = iter(range(0, 1000, 5))
    monkeypatch.setattr(control.time, "monotonic", lambda: next(times))
    windows.services["Chargehand"].coming = [{"CurrentState": 2, "CheckPoint": 1, "WaitHint": 15_000}]

    with pytest.raises(Unavailable, match="does not get on: start_pending"):
        control.start("Chargehand")


def test_uninstalling_stops_first_and_leaves_the_folder(windows: Windows, made: Path) -> None:
    installed(made)
    windows.services["Chargehand"].status["CurrentState"] = 4
    windows.after_control = [{"CurrentState": 3, "CheckPoint": 1}, {"CurrentState": 1, "CheckPoint": 0}]

    control.uninstall("Chargehand")

    assert (windows.services, windows.sources) == ({}, set())
    assert (made / FOLDER).is_dir()


@pytest.mark.parametrize(
    ("code", "kind"), [(1056, Conflict), (1062, Conflict), (1072, Conflict), (1051, Unavailable)]
)
def test_what_windows_refuses_is_told_with_the_way_out(
    windows: Windows, made: Path, code: int, kind: type[ChargehandError]
) -> None:
    installed(made)
    windows.fails["StartService"] = code

    with pytest.raises(kind, match="'Chargehand'"):
        control.start("Chargehand")


def test_without_pywin32_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(win32, "PLATFORM", "win32")

    with pytest.raises(RuntimeMissing, match=r"chargehand\[windows\]"):
        control.start("Chargehand")


def test_status_tells_programs_in_json_and_scripts_by_the_exit_code(
    windows: Windows, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(made)

    code = windows_service.status("Chargehand", as_json=True)
    stopped = json.loads(capsys.readouterr().out)
    windows.services["Chargehand"].status |= {"CurrentState": 4, "ProcessId": 8}
    codes = [code, windows_service.status("Chargehand", as_json=False)]

    assert (stopped["state"], stopped["pid"], codes) == ("stopped", None, [6, 0])
    assert "running" in capsys.readouterr().out


def test_a_dry_run_tells_the_plan_and_touches_nothing(
    windows: Windows, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", VENV.program)
    monkeypatch.setattr(sys, "_base_executable", VENV.base)

    windows_service.install(
        name="Chargehand", account=None, password_stdin=False, start="auto", data_dir=FOLDER, dry_run=True
    )

    assert f'runs "{VENV.base}" -P -s -m chargehand service run' in capsys.readouterr().out
    assert (windows.services, windows.rights, windows.registry) == ({}, {}, {})


def test_a_password_is_never_taken_from_the_command_line(
    windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    del windows
    monkeypatch.setattr(sys, "executable", VENV.base)
    monkeypatch.setattr(sys, "_base_executable", VENV.base)
    with pytest.raises(InvalidInput, match="--password-stdin"):
        windows_service.install(
            name="Chargehand",
            account="me",
            password_stdin=False,
            start="auto",
            data_dir=FOLDER,
            dry_run=False,
        )


def serving(*, error: Exception | None = None) -> Any:
    async def serve(stopping: asyncio.Event, answers: Callable[[str], None]) -> None:
        if error is not None:
            raise error
        answers("http://127.0.0.1:1")
        await stopping.wait()

    return serve


def test_the_process_that_windows_starts_reports_stops_and_ends(windows: Windows) -> None:
    def ask_to_stop(report: tuple[int, ...]) -> None:
        if report[1] == State.RUNNING and windows.handler is not None:
            windows.handler(Control.PRESHUTDOWN, 0, None)

    windows.on_report = ask_to_stop
    windows.dispatch = lambda hosted: hosted(["Chargehand"]).SvcRun()

    code = dispatch.host_service("Chargehand", serving(), code_of)

    assert code == 0
    assert [report[1] for report in windows.reports] == [2, 4, 3, 1]
    assert windows.reports[-1][3:5] == (0, 0)
    assert [kind for kind, _ in windows.events] == ["info", "info"]


def test_a_failure_is_reported_as_one_so_that_windows_starts_it_again(windows: Windows) -> None:
    windows.dispatch = lambda hosted: hosted([]).SvcRun()

    code = dispatch.host_service("Chargehand", serving(error=Unavailable("no database")), code_of)

    assert code == 6
    assert windows.reports[-1][1:5] == (1, 0, 1066, 6)
    assert windows.events[-1][0] == "error"


def test_the_command_of_windows_in_a_terminal_says_what_to_use_instead(windows: Windows) -> None:
    windows.fails["StartServiceCtrlDispatcher"] = 1063

    with pytest.raises(InvalidInput, match="chargehand serve"):
        dispatch.host_service("Chargehand", serving(), code_of)


@pytest.fixture
def own_log() -> Generator[None]:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = before, level
    structlog.reset_defaults()


@pytest.mark.usefixtures("own_log")
def test_the_services_settings_come_from_its_folder_and_its_log_goes_there(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", {"CHARGEHAND_DATA_DIR": str(made), "CHARGEHAND_PORT": "1"})
    (made / "chargehand.env").write_text(
        "CHARGEHAND_PORT=8711\nCHARGEHAND_LOG_LEVEL=warning\n", encoding="utf-8"
    )
    events: list[str] = []

    settings = windows_service.service_settings(made, events.append)
    logging.getLogger("x").error("größer")

    assert (settings.port, Path.cwd()) == (8711, made)
    assert json.loads((made / "logs" / "service.log").read_text(encoding="utf-8"))["event"] == "größer"
    assert len(events) == 1


def test_a_settings_file_cannot_move_the_data_out_of_its_closed_folder(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", {"CHARGEHAND_DATA_DIR": str(made)})
    (made / "chargehand.env").write_text("CHARGEHAND_DATA_DIR=C:\\elsewhere\n", encoding="utf-8")

    with pytest.raises(InvalidInput, match="--data-dir"):
        windows_service.service_settings(made, lambda text: None)


@pytest.mark.parametrize(
    "command", ["install --dry-run", "start", "stop", "restart", "status", "uninstall", "run"]
)
def test_elsewhere_each_command_says_what_does_the_same_there(
    command: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli: Cli = cli_in(made)
    if command != "status":
        # One real process is enough; the others in this one.
        from typer.testing import CliRunner

        from chargehand.cli.main import app

        ended = CliRunner().invoke(app, ["service", *command.split()])
        code, told = ended.exit_code, ended.stderr
    else:
        done = cli.run("service", "status")
        code, told = done.returncode, done.stderr

    assert code == 2, told
    assert "packaging/systemd" in told


@pytest.mark.parametrize(("platform", "word"), [("darwin", "launchd"), ("freebsd14", "supervisor")])
def test_macos_and_others_get_their_own_way(
    monkeypatch: pytest.MonkeyPatch, platform: str, word: str
) -> None:
    monkeypatch.setattr(win32, "PLATFORM", platform)

    with pytest.raises(InvalidInput, match=word):
        control.start("Chargehand")


@pytest.mark.parametrize("code_page", ["cp1252", "cp850"])
def test_a_legacy_console_gets_every_line_with_what_it_lacks_replaced(made: Path, code_page: str) -> None:
    cli = cli_in(made).with_environment(PYTHONUTF8="0", PYTHONIOENCODING=code_page)
    (made / "漢字 größer").mkdir()

    shown = cli.with_environment(CHARGEHAND_DATA_DIR=str(made / "漢字 größer" / "data")).run("doctor")

    assert "data folder" in shown.stdout, shown.stderr
    assert "Traceback" not in shown.stderr
    assert "UnicodeEncodeError" not in shown.stderr


@pytest.mark.usefixtures("own_log")
def test_the_whole_service_lives_and_ends_as_windows_wants_it(
    windows: Windows, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = made / "Träger Daten"
    data.mkdir()
    settings = "CHARGEHAND_PORT=0\nCHARGEHAND_SANDBOX=none\nCHARGEHAND_DISK_RESERVE_BYTES=0\n"
    (data / "chargehand.env").write_text(settings, encoding="utf-8")
    monkeypatch.setenv("CHARGEHAND_DATA_DIR", str(data))
    for line in settings.splitlines():
        monkeypatch.setenv(line.partition("=")[0], "")  # so that what the service sets is undone
    answered: list[int] = []

    def look_and_stop(report: tuple[int, ...]) -> None:
        if report[1] == State.RUNNING and windows.handler is not None:
            answered.append(report[2])
            windows.handler(Control.STOP, 0, None)

    windows.on_report = look_and_stop
    windows.dispatch = lambda hosted: hosted(["Chargehand"]).SvcRun()

    code = windows_service.run("Chargehand")

    events = [json.loads(line) for line in (data / "logs" / "service.log").read_text("utf-8").splitlines()]
    assert (code, answered) == (0, [0x101])
    assert next(report[1] for report in windows.reports if report[1] != 2) == State.RUNNING
    assert windows.reports[-1][1:5] == (1, 0, 0, 0)
    assert "the service answers" in [event["event"] for event in events]
    assert (data / "chargehand.db").is_file()
