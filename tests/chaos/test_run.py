"""Short real runs: processes are killed, and every promise is checked from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from chaos import servers
from tests.house.tree import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")

LIMIT_SECONDS = 400.0
PROGRAMS = (
    ("initdb", "usr/lib/postgresql/*/bin"),
    ("redis-server",),
    ("rabbitmq-server", "usr/lib/rabbitmq/bin"),
    ("epmd",),
)
START = [sys.executable, str(ROOT / "chaos" / "start.py")]


def test_one_process_killed_over_and_over_keeps_every_promise(tmp_path: Path) -> None:
    command = [
        *START,
        "--engine",
        "embedded",
        "--minutes",
        "0.25",
        "--kills-per-second",
        "3",
        "--clients",
        "4",
    ]

    done = subprocess.run(
        [*command, "--report", str(tmp_path / "out")],
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "out" / "chaos.json").read_text(encoding="utf-8"))
    assert told["holds"]
    assert len(told["kills"]) >= 3, "too few kills to say anything"
    assert told["tasks"]["seen to end"] >= 4, "too few tasks to say anything"
    assert told["faults"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process_and_no_folder(tmp_path: Path, number: int) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [*START, "--engine", "embedded", "--minutes", "5", "--report", str(tmp_path / "out")]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert "kills" in process.stdout.readline()
        ours = psutil.Process(process.pid).children(recursive=True)
        assert ours

        # To all that share its terminal, as Ctrl-C and a runner's limit do.
        os.killpg(process.pid, number)
        output, _ = process.communicate(timeout=LIMIT_SECONDS)

    assert process.returncode == 130, output
    _, left = psutil.wait_procs(ours, timeout=10)
    assert left == []
    assert list(tmp_path.iterdir()) == []


def test_a_harness_that_is_killed_takes_its_processes_with_it(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [*START, "--engine", "embedded", "--minutes", "5", "--report", str(tmp_path / "out")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stderr is not None
        assert "kills" in process.stderr.readline()
        ours = psutil.Process(process.pid).children(recursive=True)
        assert ours

        process.kill()

    _, left = psutil.wait_procs(ours, timeout=20)
    assert left == []
    unmount_leftovers(tmp_path)


def unmount_leftovers(folder: Path) -> None:
    """What a killed harness cannot give back itself: its small disk."""
    for disk in folder.glob("chargehand-chaos-*/disk"):
        deadline = time.monotonic() + 10
        while os.path.ismount(disk) and time.monotonic() < deadline:
            subprocess.run(["umount", str(disk)], check=False)  # noqa: S607 - the system's own, by name


def test_a_fleet_is_broken_on_servers_of_its_own_and_keeps_every_promise(tmp_path: Path) -> None:
    require_programs()
    command = [*START, "--minutes", "0.3", "--workers", "2", "--upkeeps", "1", "--clients", "4"]

    done = subprocess.run(
        [*command, "--kills-per-second", "1", "--report", str(tmp_path / "out")],
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "out" / "chaos.json").read_text(encoding="utf-8"))
    assert told["holds"]
    assert told["kills"]
    assert told["tasks"]["seen to end"] >= 4, "too few tasks to say anything"


def require_programs() -> None:
    """The servers' programs: without them a skip, and a failure of the pipeline."""
    try:
        for name, *places in PROGRAMS:
            servers.binary(name, *places)
    except servers.ServerMissing as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(str(reason))
        pytest.skip(str(reason))
