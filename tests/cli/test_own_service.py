"""Without a running service a command brings one of its own, and what it leaves behind goes on later."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.service import LIMIT_SECONDS, Cli, running_service


def started(cli: Cli, *arguments: str, until: str) -> tuple[subprocess.Popen[str], str]:
    """A command that runs, and the line of its output that holds a text."""
    process = cli.start(*arguments)
    assert process.stdout is not None
    for line in process.stdout:
        if until in line:
            return process, line
    raise AssertionError(process.communicate()[1])


def test_a_task_runs_to_its_end_without_a_service(alone: Cli, tmp_path: Path) -> None:
    done = alone.run("run", "leader", "--out", str(tmp_path / "out"))

    assert done.returncode == 0, done.stderr
    assert "at a service in this process" in done.stderr
    assert (tmp_path / "out" / "deeper" / "last.txt").exists()
    assert alone.run("tasks", "list", "--status", "completed").stdout.count("completed") == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_task_that_was_stopped_goes_on_from_its_journal(alone: Cli, number: signal.Signals) -> None:
    process, line = started(alone, "run", "asker", "--json", until="task.waiting")
    task_id = json.loads(line)["task_id"]

    process.send_signal(number)
    _, told = process.communicate(timeout=LIMIT_SECONDS)
    answered = alone.run("tasks", "answer", task_id, "red")
    watched = alone.run("tasks", "watch", task_id)

    assert process.returncode == 130
    advice = f"goes on from it with: chargehand tasks watch {task_id}\n"
    assert told.endswith(f"stopped; the task keeps its journal and {advice}")
    assert answered.returncode == 0, answered.stderr
    assert f"go on with: chargehand tasks watch {task_id}" in answered.stderr
    assert watched.returncode == 0, watched.stderr
    assert 'result: {"color": "red"}' in watched.stdout


def test_a_task_whose_process_was_killed_goes_on_from_its_journal(alone: Cli) -> None:
    process, line = started(alone, "run", "asker", "--json", until="task.waiting")
    task_id = json.loads(line)["task_id"]

    process.kill()
    process.communicate(timeout=LIMIT_SECONDS)
    alone.run("tasks", "answer", task_id, "blue")
    watched = alone.run("tasks", "watch", task_id)

    assert watched.returncode == 0, watched.stderr
    assert 'result: {"color": "blue"}' in watched.stdout


def test_a_second_command_talks_to_the_service_that_the_first_one_brought(alone: Cli) -> None:
    process, line = started(alone, "run", "asker", "--json", until="task.waiting")
    task_id = json.loads(line)["task_id"]

    answered = alone.run("tasks", "answer", task_id, "blue")
    rest, _ = process.communicate(timeout=LIMIT_SECONDS)

    assert answered.returncode == 0, answered.stderr
    assert process.returncode == 0
    assert json.loads(rest.splitlines()[-1])["task"]["result"] == {"color": "blue"}


def test_a_task_left_behind_is_carried_out_by_the_service_that_comes(alone: Cli) -> None:
    left = alone.run("run", "greeter", "--no-wait")
    task_id = left.stdout.strip()

    with running_service(alone):
        watched = alone.run("tasks", "watch", task_id)

    assert "no service runs; the task is stored" in left.stderr
    assert watched.returncode == 0, watched.stderr


def test_a_lock_text_that_a_killed_service_left_leads_nobody_astray(alone: Cli) -> None:
    alone.data_dir.mkdir()
    text = json.dumps({"pid": 2**22 - 1, "url": "http://127.0.0.1:9"})
    (alone.data_dir / "lock").write_text(text, encoding="utf-8")

    done = alone.run("agents", "list")

    assert done.returncode == 0, done.stderr
    assert "greeter" in done.stdout


def test_the_key_of_the_data_folder_is_not_sent_to_a_process_that_only_has_the_number_of_the_holder(
    alone: Cli,
) -> None:
    assert alone.run("agents", "list").returncode == 0
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        text = json.dumps({"pid": stranger.pid, "url": "http://127.0.0.1:9"})
        lock = alone.data_dir / "lock"
        lock.write_text(text, encoding="utf-8")
        long_ago = lock.stat().st_mtime - 3600
        os.utime(lock, (long_ago, long_ago))

        done = alone.run("agents", "list")
        stranger.kill()

    assert done.returncode == 0, done.stderr


def test_the_database_is_upgraded_and_told(alone: Cli) -> None:
    first = alone.run("db", "upgrade")
    second = alone.run("db", "upgrade")

    assert (first.returncode, second.returncode) == (0, 0)
    assert "from nothing to " in first.stdout
    assert "nothing to do" in second.stdout


def test_a_service_stops_on_sigterm_and_says_that_it_did(alone: Cli) -> None:
    with running_service(alone) as running:
        running.process.send_signal(signal.SIGTERM)
        _, told = running.process.communicate(timeout=LIMIT_SECONDS)

    assert running.process.returncode == 0
    assert "stopped; what was running goes on at the next start" in told
    assert not (alone.data_dir / "lock").exists()


def test_a_readme_among_the_agents_is_passed_over_and_a_broken_definition_stops_the_service(
    alone: Cli,
) -> None:
    agents = Path(alone.environment["CHARGEHAND_AGENTS_DIR"])
    (agents / "README.md").write_text("# Our agents\n\nNo front matter.\n", encoding="utf-8")
    cli = alone.with_environment(CHARGEHAND_LOG_LEVEL="warning")

    done = cli.run("agents", "list")
    (agents / "broken.md").write_text("---\nname: broken\ndescription: d\n", encoding="utf-8")
    stopped = cli.run("agents", "list")

    assert (done.returncode, "greeter" in done.stdout) == (0, True), done.stderr
    assert "passed over" in done.stderr
    assert "README.md" in done.stderr
    assert stopped.returncode == 2
    assert "broken.md: the definition lacks its closing ---" in stopped.stderr
