"""`chargehand usage` and `--budget`, against a running service whose model is the scripted server."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.service import Cli, Running


def told(cli: Cli, *arguments: str, code: int = 0) -> str:
    done = cli.call(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_usage_of_nothing_is_told_in_columns_and_as_json(cli: Cli, service: Running) -> None:
    assert service.url
    lines = told(cli, "usage", "--by", "agent").splitlines()
    found: dict[str, Any] = json.loads(told(cli, "usage", "--json"))

    assert [line.split()[0] for line in lines] == ["AGENT", "total"]
    assert found["group_by"] == "day"
    assert found["items"] == []
    assert found["total"]["usd"] == "0.00"


def test_a_task_and_a_retry_take_a_budget(cli: Cli, service: Running) -> None:
    assert service.url
    task_id = told(
        cli, "run", "greeter", "--no-wait", "--budget", "usd=1.50", "--budget", "tool_calls=3"
    ).strip()
    shown: dict[str, Any] = json.loads(told(cli, "tasks", "show", task_id, "--json"))["task"]

    assert (shown["budget"]["usd"], shown["budget"]["tool_calls"]) == ("1.50", 3)
    large = told(cli, "run", "greeter", "--no-wait", "--budget", "usd=1e3").strip()
    assert json.loads(told(cli, "tasks", "show", large, "--json"))["task"]["budget"]["usd"] == "1000.00"
    assert "text: must not be empty" in told(cli, "tasks", "send", task_id, "", code=2)
    assert told(cli, "usage", "--task", task_id).splitlines()[0].startswith("TASK")


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("1.00", "write --budget usd=1.00"),
        ("usdd=1", "did you mean 'usd'"),
        ("tokens=many", "no whole number"),
        ("usd=much", "is an amount in USD"),
    ],
)
def test_a_budget_that_is_none_is_refused_before_anything_is_sent(
    cli: Cli, tmp_path: Path, budget: str, said: str
) -> None:
    del tmp_path
    assert said in told(cli, "run", "greeter", "--budget", budget, code=2)
    assert said in told(
        cli, "tasks", "retry", "0190f7a2-91b4-7c3d-8a55-0242ac120002", "--budget", budget, code=2
    )


def test_a_question_that_cannot_be_answered_is_told(cli: Cli, service: Running) -> None:
    assert service.url
    assert "one of: task, tree, agent, model, day" in told(cli, "usage", "--by", "colour", code=2)
    assert "there is no task" in told(cli, "usage", "--task", "0190f7a2-91b4-7c3d-8a55-0242ac120002", code=4)
