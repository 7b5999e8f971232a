"""What a supervisor sees: readiness, a reload that loses nothing, a stop; and settings that come from files."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from chargehand.app.supervisor import notify
from chargehand.cli.configured import load_settings
from chargehand.errors import InvalidInput
from tests.cli.service import Cli, cli_in, definition

LIMIT_SECONDS = 60


@contextmanager
def systemd(folder: Path) -> Generator[tuple[str, socket.socket]]:
    """The socket that systemd would listen on."""
    place = folder / "notify"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(str(place))
        listener.settimeout(LIMIT_SECONDS)
        yield str(place), listener


def told(listener: socket.socket) -> dict[str, str]:
    lines = listener.recv(4096).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def agents(cli: Cli) -> set[str]:
    listed = json.loads(cli.call("agents", "list", "--json").stdout)
    return {one["id"] for one in listed}


def test_systemd_hears_of_readiness_reloads_and_the_stop(tmp_path: Path) -> None:
    with systemd(tmp_path) as (place, listener):
        cli = cli_in(tmp_path).with_environment(
            NOTIFY_SOCKET=place, CHARGEHAND_PORT="0", CHARGEHAND_SANDBOX="none"
        )
        process = subprocess.Popen(
            cli.argv("serve"),
            env=dict(cli.environment),
            cwd=cli.folder,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,  # without a terminal, as under a supervisor
        )
        try:
            ready = told(listener)
            before = agents(cli)
            (tmp_path / "agents" / "late.md").write_text(definition("late", "  playbook: greet\n"), "utf-8")
            process.send_signal(signal.SIGHUP)
            reloads = [told(listener), told(listener)]
            after = agents(cli)
            (tmp_path / "agents" / "bad.md").write_text("---\nname: bad\n---\n", encoding="utf-8")
            process.send_signal(signal.SIGHUP)
            reloads += [told(listener), told(listener)]
            still = agents(cli)
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=LIMIT_SECONDS)
        stopping = told(listener)

    assert ready["READY"] == "1"
    assert ready["STATUS"].startswith("answers at http://127.0.0.1:")
    assert ("late" in before, "late" in after) == (False, True)
    assert [list(one) for one in reloads] == [["RELOADING", "MONOTONIC_USEC"], ["READY"]] * 2
    assert still == after
    assert "not reloaded" in errors
    assert "bad.md" in errors
    assert stopping["STOPPING"] == "1"
    assert process.returncode == 0


def test_an_abstract_socket_is_told_too_and_nobody_is_no_fault() -> None:
    name = f"chargehand-test-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind("\0" + name)
        listener.settimeout(LIMIT_SECONDS)
        notify("READY=1", environment={"NOTIFY_SOCKET": f"@{name}"})
        heard = told(listener)

    assert heard == {"READY": "1"}
    notify("READY=1", environment={})
    notify("READY=1", environment={"NOTIFY_SOCKET": "/nowhere/at/all"})


def test_secrets_are_read_from_files_named_after_their_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "CHARGEHAND_DATABASE_URL").write_text("postgresql://me:word@db/x\n", encoding="utf-8")
    (tmp_path / "CHARGEHAND_PORT").write_text("8711", encoding="utf-8")
    monkeypatch.setenv("CHARGEHAND_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("CHARGEHAND_PORT", "8712")

    settings = load_settings()

    assert settings.database_url == "postgresql://me:word@db/x"
    assert settings.port == 8712, "the environment is closer"


def test_a_folder_of_secrets_that_is_not_there_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARGEHAND_SECRETS_DIR", str(tmp_path / "none"))

    with pytest.raises(InvalidInput, match="CHARGEHAND_SECRETS_DIR"):
        load_settings()


def test_a_wrong_secret_is_told_by_the_settings_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chargehand_port").write_text("many", encoding="utf-8")
    monkeypatch.setenv("CHARGEHAND_SECRETS_DIR", str(tmp_path))

    with pytest.raises(InvalidInput, match="CHARGEHAND_PORT"):
        load_settings()
