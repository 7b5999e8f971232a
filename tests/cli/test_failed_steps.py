"""Why something went wrong is told where a person looks: in the watched lines, in the journal, at the end."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chargehand.cli.steps import standing
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.task import Status
from chargehand.wire.rest import StepBody, TaskBody
from tests.cli.service import Cli, cli_in, definition

COMMAND = """---
name: breaker
description: Breaks.
chargehand:
  runtime: command
  command: [python3, -c, "import sys; [print('line', n, file=sys.stderr) for n in range(40)]; sys.exit(3)"]
---
Break.
"""


@pytest.fixture
def stumbling(tmp_path: Path) -> Cli:
    cli = cli_in(tmp_path)
    agents = tmp_path / "agents"
    (agents / "stumbler.md").write_text(definition("stumbler", "  playbook: stumble\n"), encoding="utf-8")
    (agents / "jotter.md").write_text(definition("jotter", "  playbook: jot\n"), encoding="utf-8")
    (agents / "breaker.md").write_text(COMMAND, encoding="utf-8")
    (tmp_path / "policy.yaml").write_text("- {tool: Write, action: deny, reason: paper is dear}\n", "utf-8")
    playbooks = cli.environment["CHARGEHAND_PLAYBOOKS"].replace(
        "[", '["jot=cli_crew:jot","stumble=cli_crew:stumble",'
    )
    return cli.with_environment(
        CHARGEHAND_PLAYBOOKS=playbooks, CHARGEHAND_POLICY_FILE=str(tmp_path / "policy.yaml")
    )


def test_a_failed_and_a_denied_call_tell_why_while_watched_and_in_the_journal(stumbling: Cli) -> None:
    ran = stumbling.run("run", "stumbler")
    assert ran.returncode == 0, ran.stderr
    task_id = ran.stdout.split("task ")[1].split()[0]
    shown = stumbling.run("tasks", "show", task_id, "--steps").stdout

    said = ran.stdout + ran.stderr
    read, write = (
        next(line for line in said.splitlines() if f"ERROR {name}" in line) for name in ("Read", "Write")
    )
    assert "nowhere.txt" in read.split(" s): ")[1]
    assert "paper is dear" in write
    rows = {line.split()[0]: line for line in shown.splitlines() if line.startswith("0/")}
    assert rows["0/0"].split()[2] == "ERROR"
    assert rows["0/0"].endswith(read.split(" s): ")[1])
    assert rows["0/1"].split()[2] == "denied"
    assert "paper is dear" in rows["0/1"]


def test_a_program_that_failed_shows_the_last_of_its_standard_error(stumbling: Cli) -> None:
    ran = stumbling.run("run", "breaker")
    task_id = ran.stderr.split("tasks show ")[1].split()[0]
    shown = stumbling.run("tasks", "show", task_id, "--steps").stdout

    assert ran.returncode == 1
    for text in (ran.stderr, shown):
        assert "\n  line 39\n" in text
        assert "line 29\n" not in text
    assert next(line for line in shown.splitlines() if line.startswith("0/0")).split()[2:4] == ["cut", "off"]


def test_the_way_out_of_a_used_up_budget_names_one_that_suffices(stumbling: Cli) -> None:
    ran = stumbling.run("run", "jotter", "--budget", "tool_calls=1")
    again = ran.stderr.split("try again from its journal: chargehand ")[1].split()
    less = stumbling.run(*again[:-1], "tool_calls=1")
    enough = stumbling.run(*again)

    assert ran.returncode == 1
    assert again[-2:] == ["--budget", "tool_calls=2"]
    assert less.returncode == 2
    assert "1 are spent already; 1 leaves nothing: write more than 1" in less.stderr
    assert enough.returncode == 0, enough.stderr


def a_step(status: StepStatus, result: Any) -> StepBody:
    now = datetime(2026, 7, 1, tzinfo=UTC)
    return StepBody.model_construct(
        path="0/0", kind=StepKind.TOOL, name="Bash", status=status, result=result, started_at=now
    )


@pytest.mark.parametrize(
    ("task_status", "status", "code", "told"),
    [
        (Status.FAILED, StepStatus.RUNNING, None, "cut off"),
        (Status.RUNNING, StepStatus.RUNNING, None, "running"),
        (Status.RUNNING, StepStatus.DONE, "outcome_unknown", "unknown"),
        (Status.RUNNING, StepStatus.DONE, "approval_denied", "denied"),
        (Status.COMPLETED, StepStatus.DONE, "tool_error", "ERROR"),
    ],
)
def test_a_step_is_told_by_what_it_came_to(
    task_status: Status, status: StepStatus, code: str | None, told: str
) -> None:
    task = TaskBody.model_construct(status=task_status)
    result = {"content": "Why.\n" + "x" * 900, "details": {"code": code}, "is_error": True}

    found, why = standing(task, a_step(status, result))

    assert found == told
    assert why == ("Why." if status is StepStatus.DONE else "")
