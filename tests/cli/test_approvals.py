"""Approvals from the terminal: seen while watching, listed, shown, decided."""

import json
from pathlib import Path

from tests.cli.service import Cli, cli_in, definition, running_service


def a_careful_cli(folder: Path, policy: str = "- {tool: Write, action: ask, reason: notes last}\n") -> Cli:
    cli = cli_in(folder)
    (folder / "agents" / "writer.md").write_text(
        definition("writer", "  playbook: write\n"), encoding="utf-8"
    )
    (folder / "policy.yaml").write_text(policy, encoding="utf-8")
    playbooks = cli.environment["CHARGEHAND_PLAYBOOKS"].replace(
        "[", '["writer=cli_crew:write","write=cli_crew:write",'
    )
    return cli.with_environment(
        CHARGEHAND_PLAYBOOKS=playbooks, CHARGEHAND_POLICY_FILE=str(folder / "policy.yaml")
    )


def test_a_watched_task_tells_what_waits_and_goes_on_when_it_is_decided(tmp_path: Path) -> None:
    cli = a_careful_cli(tmp_path)
    with running_service(cli):
        watching = cli.start("run", "writer")
        assert watching.stderr is not None
        hint = next(line for line in watching.stderr if "decide with" in line)
        approval_id = hint.split("approvals approve ")[1].split(",")[0]

        listed = cli.call("approvals", "list")
        shown = cli.call("approvals", "show", approval_id)
        wrong = cli.call("approvals", "approve", approval_id, "--arguments", "[1]")
        misshapen = cli.call("approvals", "approve", approval_id, "--arguments", '{"cmd": "ls"}')
        edited = '{"file_path": "other.txt", "content": "another"}'
        decided = cli.call("approvals", "approve", approval_id, "--arguments", edited, "--reason", "better")
        again = cli.call("approvals", "deny", approval_id)
        said, _ = watching.communicate(timeout=30)
        every = json.loads(cli.call("approvals", "list", "--status", "all", "--json").stdout)

    assert approval_id in listed.stdout
    assert "Write note.txt" in listed.stdout
    assert "notes last" in shown.stdout
    assert "approvals deny" in shown.stdout
    assert (wrong.returncode, again.returncode) == (2, 2)
    assert "is a JSON object" in wrong.stderr
    assert "edited; only an open one is decided" in again.stderr
    assert misshapen.returncode == 2
    assert "It takes: file_path (required)" in misshapen.stderr
    assert decided.stdout.startswith("edited: Write other.txt")
    assert '"content": "another"' in decided.stdout
    assert watching.returncode == 0
    assert "completed" in said
    assert [(one["id"], one["status"], one["comment"]) for one in every] == [
        (approval_id, "edited", "better")
    ]


def test_without_a_service_a_decision_is_stored_and_the_task_goes_on_later(tmp_path: Path) -> None:
    cli = a_careful_cli(tmp_path)
    with running_service(cli):
        task_id = cli.call("run", "writer", "--no-wait").stdout.strip()
        waiting = cli.start("tasks", "watch", task_id)
        assert waiting.stderr is not None
        hint = next(line for line in waiting.stderr if "decide with" in line)
        approval_id = hint.split("approvals approve ")[1].split(",")[0]
        waiting.terminate()
        waiting.communicate(timeout=30)

    denied = cli.run("approvals", "deny", approval_id, "--reason", "no paper")
    ended = cli.run("tasks", "watch", task_id)
    shown = json.loads(cli.run("tasks", "show", task_id, "--json").stdout)

    assert denied.stdout.startswith("denied: Write note.txt")
    assert "chargehand tasks watch" in denied.stderr
    assert ended.returncode == 0
    assert "no paper" in shown["task"]["result"]["told"]
    assert cli.run("approvals", "show", "0190f7a2-91b4-7c3d-8a55-0242ac120002").returncode == 4


def test_a_policy_that_cannot_be_read_stops_the_start_and_names_the_fault(tmp_path: Path) -> None:
    cli = a_careful_cli(tmp_path, "- {tool: Bsah, action: deny}\n")

    misspelt = cli.run("serve", "--port", "0")
    absent = cli.with_environment(CHARGEHAND_POLICY_FILE=str(tmp_path / "none.yaml")).run(
        "serve", "--port", "0"
    )
    (tmp_path / "policy.yaml").write_bytes(b"- \xff\n")
    garbled = cli.run("serve", "--port", "0")

    assert (misspelt.returncode, absent.returncode, garbled.returncode) == (2, 2, 2)
    assert (
        misspelt.stderr.count("line 1: policy[0].tool: there is no tool 'Bsah' (did you mean 'Bash'?)") == 1
    )
    assert "none.yaml cannot be read" in absent.stderr
    assert "no UTF-8" in garbled.stderr


def test_a_message_to_an_agent_that_no_model_runs_is_refused(cli: Cli) -> None:
    task_id = cli.call("run", "waiter", "--no-wait").stdout.strip()

    refused = cli.call("tasks", "send", task_id, "Use tabs.")

    assert refused.returncode == 2
    assert "only a model takes messages" in refused.stderr
    cli.call("tasks", "cancel", task_id)
