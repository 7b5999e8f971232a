"""The commands against a running service: what they print, as text and as JSON, and what they exit with."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.service import LIMIT_SECONDS, Cli, Running, definition


def ran(cli: Cli, *arguments: str, code: int = 0) -> str:
    done = cli.call(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def json_of(cli: Cli, *arguments: str) -> Any:
    return json.loads(ran(cli, *arguments, "--json"))


def submitted(cli: Cli, agent: str, *arguments: str) -> str:
    """The id of a task that nobody watches."""
    done = cli.call("run", agent, "--no-wait", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def waits(cli: Cli, task_id: str) -> None:
    """Return when a task waits; its events are followed, not polled."""
    with subprocess.Popen(
        cli.argv("tasks", "watch", task_id, "--json"),
        env=dict(cli.environment),
        cwd=cli.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as watching:
        assert watching.stdout is not None
        for line in watching.stdout:
            if json.loads(line)["kind"] == "task.waiting":
                break
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=LIMIT_SECONDS)


def test_the_service_tells_where_it_answers_and_how_to_call_it(cli: Cli, service: Running) -> None:
    assert any("made at this first start" in line for line in service.greeting)
    assert any(
        f"{service.url}/agents" in line and str(cli.data_dir / "admin.key") in line
        for line in service.greeting
    )
    key = (cli.data_dir / "admin.key").read_text(encoding="ascii").strip()
    assert not any(key in line for line in service.greeting)


def test_a_task_is_run_to_its_end_and_told_in_lines(cli: Cli, service: Running, tmp_path: Path) -> None:
    out = tmp_path / "out"

    done = cli.run(
        "run", "greeter", "--data", '{"name": "Zoë"}', "--out", str(out), "--label", "team=billing"
    )

    assert done.returncode == 0, done.stderr
    assert "greeter                thinking of words" in done.stdout
    assert "check passed: greeting: it greets" in done.stdout
    assert "completed in " in done.stdout
    assert (out / "Zoë.txt").read_text(encoding="utf-8") == "Hello Zoë!\n"
    assert [path.name for path in out.iterdir()] == ["Zoë.txt"]


def test_the_children_of_a_task_are_told_too(cli: Cli, service: Running, tmp_path: Path) -> None:
    done = cli.run("run", "leader", "--out", str(tmp_path / "book"))

    assert done.returncode == 0, done.stderr
    assert "leader                 hands work to greeter, greeter" in done.stdout
    assert done.stdout.count("greeter                completed") == 2
    found = sorted(
        path.relative_to(tmp_path / "book").as_posix() for path in (tmp_path / "book").rglob("*.txt")
    )
    assert found == ["deeper/last.txt", "page-0.txt", "page-1.txt"]


def test_json_lines_hold_every_event_of_the_tree_once_and_in_order_and_then_the_end(
    cli: Cli, service: Running
) -> None:
    lines = [json.loads(line) for line in ran(cli, "run", "leader", "--json").splitlines()]

    *events, end = lines
    assert end["kind"] == "chargehand.ended"
    assert end["task"]["status"] == "completed"
    assert [one["name"] for one in end["deliverables"]] == ["book"]
    sequences: dict[str, list[int]] = {}
    for event in events:
        sequences.setdefault(event["task_id"], []).append(event["sequence"])
    assert len(sequences) == 3
    assert all(found == list(range(1, len(found) + 1)) for found in sequences.values())


def test_a_failed_check_fails_the_command_with_its_evidence_and_the_way_on(
    cli: Cli, service: Running
) -> None:
    done = cli.run("run", "failer")

    assert done.returncode == 1
    assert "failed (checks_failed)" in done.stderr
    assert "check failed: answer: the answer is right\n  it is 41" in done.stderr
    assert "chargehand tasks retry " in done.stderr


def test_a_task_is_found_by_agent_status_and_label(cli: Cli, service: Running) -> None:
    task_id = submitted(cli, "waiter", "--label", "test=found-by")

    found = json_of(cli, "tasks", "list", "--agent", "waiter", "--label", "test=found-by")
    none = json_of(cli, "tasks", "list", "--label", "test=found-by", "--status", "completed")
    text = ran(cli, "tasks", "list", "--label", "test=found-by")

    assert [one["id"] for one in found] == [task_id]
    assert none == []
    assert text.splitlines()[0].split() == ["TASK", "STATUS", "AGENT", "CREATED"]
    assert task_id in text.splitlines()[1]
    ran(cli, "tasks", "cancel", task_id)


def test_a_list_goes_on_over_pages_up_to_its_limit(cli: Cli, service: Running) -> None:
    for _ in range(3):
        ran(cli, "tasks", "cancel", submitted(cli, "waiter", "--label", "test=pages"))

    done = cli.call("tasks", "list", "--label", "test=pages", "--limit", "2", "--json")

    assert len(json.loads(done.stdout)) == 2


def test_a_task_is_shown_with_its_journal_and_evidence(cli: Cli, service: Running) -> None:
    ended = json.loads(ran(cli, "run", "leader", "--json").splitlines()[-1])
    task_id = ended["task"]["id"]

    text = ran(cli, "tasks", "show", task_id, "--steps")
    shown = json_of(cli, "tasks", "show", task_id, "--steps")

    assert "status    completed" in text
    assert "passed: it has an end" in text
    assert "Write " in text
    assert len(shown["children"]) == 2
    assert [step["kind"] for step in shown["steps"]].count("delegation") == 1


def test_the_same_idempotency_key_means_the_same_task(cli: Cli, service: Running) -> None:
    first = submitted(cli, "greeter", "--idempotency-key", "once-only")

    second = submitted(cli, "greeter", "--idempotency-key", "once-only")
    other = cli.call("run", "greeter", "--idempotency-key", "once-only", "--data", '{"name": "else"}')

    assert first == second
    assert other.returncode == 2
    assert "was used with another payload" in other.stderr


def test_a_canceled_task_exits_with_3_and_a_retry_takes_it_up_again(cli: Cli, service: Running) -> None:
    task_id = submitted(cli, "waiter")
    waits(cli, task_id)

    canceled = ran(cli, "tasks", "cancel", task_id)
    watched = cli.call("tasks", "watch", task_id)
    again = ran(cli, "tasks", "retry", task_id)

    assert "canceled: nothing of task" in canceled
    assert watched.returncode == 3
    assert "is pending again" in again
    ran(cli, "tasks", "cancel", task_id)


def test_a_question_is_shown_answered_and_checked_against_its_choices(cli: Cli, service: Running) -> None:
    task_id = submitted(cli, "asker")
    waits(cli, task_id)

    shown = ran(cli, "tasks", "show", task_id)
    refused = cli.call("tasks", "answer", task_id, "green")
    answered = ran(cli, "tasks", "answer", task_id, "blue")
    watched = ran(cli, "tasks", "watch", task_id)
    late = cli.call("tasks", "answer", task_id, "red")

    assert "Which color?" in shown
    assert "one of: red, blue" in shown
    assert (refused.returncode, refused.stderr) == (
        2,
        "chargehand: the answer is one of red, blue, not 'green'\n",
    )
    assert "answered: Which color?" in answered
    assert 'result: {"color": "blue"}' in watched
    assert late.returncode == 4


def test_a_question_that_nobody_can_answer_here_is_told_with_the_command_that_does(
    cli: Cli, service: Running
) -> None:
    task_id = submitted(cli, "asker")
    waits(cli, task_id)
    watching = cli.start("tasks", "watch", task_id)
    assert watching.stderr is not None

    told = [watching.stderr.readline(), watching.stderr.readline()]
    ran(cli, "tasks", "answer", task_id, "red")
    watching.communicate(timeout=LIMIT_SECONDS)

    assert "asks: Which color? [red, blue]" in told[0]
    assert f"chargehand tasks answer {task_id} ANSWER --question " in told[1]
    assert watching.returncode == 0


def test_ctrl_c_only_stops_watching_what_a_service_carries_out(cli: Cli, service: Running) -> None:
    task_id = submitted(cli, "waiter")
    watching = cli.start("tasks", "watch", task_id)
    assert watching.stdout is not None
    watching.stdout.readline()

    watching.send_signal(signal.SIGINT)
    _, told = watching.communicate(timeout=LIMIT_SECONDS)

    assert watching.returncode == 130
    assert (
        told == f"stopped watching; the task goes on. Watch it again with: chargehand tasks watch {task_id}\n"
    )
    assert json_of(cli, "tasks", "show", task_id)["task"]["status"] in {"pending", "running", "waiting"}
    ran(cli, "tasks", "cancel", task_id)


def test_agents_are_put_shown_and_versioned(cli: Cli, service: Running, tmp_path: Path) -> None:
    file = tmp_path / "Echo Agent.md"
    file.write_text(definition("echo-agent", "  playbook: greet\n"), encoding="utf-8")

    first = ran(cli, "agents", "put", str(file))
    same = ran(cli, "agents", "put", str(file))
    file.write_text(definition("echo-agent", "  playbook: lead\n"), encoding="utf-8")
    ran(cli, "agents", "put", str(file))

    assert first.startswith("echo-agent: registered, version ")
    assert same.startswith("echo-agent: unchanged, version ")
    assert len(json_of(cli, "agents", "versions", "echo-agent")) == 2
    assert "echo-agent" in [one["id"] for one in json_of(cli, "agents", "list")]
    assert ran(cli, "agents", "show", "echo-agent", "--source") == file.read_text(encoding="utf-8")


def test_deliverables_are_listed_and_fetched_afterwards(cli: Cli, service: Running, tmp_path: Path) -> None:
    ended = json.loads(ran(cli, "run", "leader", "--json").splitlines()[-1])
    task_id = ended["task"]["id"]

    listed = ran(cli, "deliverables", "list", task_id)
    fetched = ran(cli, "deliverables", "get", task_id, "book", "--out", str(tmp_path / "a"))
    refused = cli.call("deliverables", "get", task_id, "--out", str(tmp_path / "a"))
    forced = cli.call("deliverables", "get", task_id, "--out", str(tmp_path / "a"), "--force")
    unknown = cli.call("deliverables", "get", task_id, "film", "--out", str(tmp_path / "b"))

    assert "book: 3 files" in listed
    assert fetched == f"3 files written to {tmp_path / 'a'}\n"
    assert refused.returncode == 2
    assert "is not empty" in refused.stderr
    assert forced.returncode == 0
    assert (unknown.returncode, "stored: book" in unknown.stderr) == (4, True)
    assert not (tmp_path / "b").exists()


def test_files_that_were_there_before_stay(cli: Cli, service: Running, tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "deeper" / "mine.txt").write_text("mine too", encoding="utf-8")
    (tmp_path / "page-0.txt").write_text("old", encoding="utf-8")

    done = cli.run("run", "leader", "--out", str(tmp_path), "--force")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "deeper" / "mine.txt").read_text(encoding="utf-8") == "mine too"
    assert (tmp_path / "page-0.txt").read_text(encoding="utf-8") != "old"
    assert (tmp_path / "deeper" / "last.txt").exists()


def test_a_reader_that_goes_away_ends_the_command_quietly(cli: Cli, service: Running) -> None:
    with subprocess.Popen(
        cli.argv("agents", "list", "--json"),
        env=dict(cli.environment),
        cwd=cli.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as listing:
        assert listing.stdout is not None
        listing.stdout.close()
        assert listing.stderr is not None
        told = listing.stderr.read()

    assert told == b""
    assert listing.returncode == 141


@pytest.mark.parametrize("arguments", [["agents", "list"], ["run", "greeter"], ["run", "greeter", "--json"]])
def test_output_in_a_code_page_that_lacks_characters_is_no_error(
    cli: Cli, service: Running, arguments: list[str]
) -> None:
    old = cli.with_environment(PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    data = ["--data", '{"name": "\\u010cesk\\u00fd \\ud83d\\ude00"}'] if arguments[0] == "run" else []

    done = old.run(*arguments, *data)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
