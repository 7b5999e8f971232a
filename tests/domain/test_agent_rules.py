"""Patterns beside a definition's tools let through what they say and nothing else."""

import pytest

from chargehand.domain.agent_rules import rule_refusal
from chargehand.domain.agent_tools import ToolRule
from chargehand.domain.values import JsonObject

GIT = [ToolRule(tool="Bash", pattern="git:*"), ToolRule(tool="Bash", pattern="npm test")]
SOURCE = [ToolRule(tool="Read", pattern="src/*")]


@pytest.mark.parametrize("command", ["git", "git status", "  git log -n 3 ", "npm test"])
def test_a_command_that_the_pattern_names_passes(command: str) -> None:
    assert rule_refusal("Bash", {"command": command}, GIT, []) is None


@pytest.mark.parametrize(
    "command",
    [
        "gitk", "rm -rf .", "npm test --fix", "git status; rm x", "git log | sh", "git log && rm x", "git log &",
        "git $(rm x)", "git `rm x`", "git log > x", "git log\nrm x", "GIT=1 git log", "",
    ],
)  # fmt: skip
def test_a_command_that_does_more_is_refused_with_what_is_allowed(command: str) -> None:
    refusal = rule_refusal("Bash", {"command": command}, GIT, [])

    assert refusal is not None
    assert "Bash(git:*), Bash(npm test)" in refusal


@pytest.mark.parametrize(
    ("arguments", "passes"),
    [
        ({"file_path": "src/a.py"}, True),
        ({"file_path": "src/../secret"}, False),
        ({"file_path": "other/a.py"}, False),
        ({}, False),
        ({"file_path": 1}, False),
    ],
)
def test_a_path_is_held_against_the_pattern(arguments: JsonObject, passes: bool) -> None:
    assert (rule_refusal("Read", arguments, SOURCE, []) is None) is passes


def test_a_tool_without_a_pattern_is_not_narrowed() -> None:
    assert rule_refusal("Write", {"file_path": "x"}, [*GIT, *SOURCE], []) is None


@pytest.mark.parametrize("command", ["rm x", "true; rm x", "true && rm -r .", "echo $(rm x)"])
def test_a_denied_command_is_found_in_a_chain(command: str) -> None:
    denied = [ToolRule(tool="Bash", pattern="rm:*")]

    assert rule_refusal("Bash", {"command": command}, [], denied) is not None
    assert rule_refusal("Bash", {"command": "ls"}, [], denied) is None


@pytest.mark.parametrize("path", [".env", "./.env", "a/../.env", ".//.env", "/workspace/.env", 1])
def test_a_denied_path_is_denied_however_it_is_written(path: str | int) -> None:
    for pattern in (".env", "./.env"):
        denied = [ToolRule(tool="Read", pattern=pattern)]

        assert rule_refusal("Read", {"file_path": path}, [], denied) is not None
        assert rule_refusal("Read", {"file_path": "other"}, [], denied) is None


@pytest.mark.parametrize(
    ("rule", "tool", "arguments"),
    [
        (ToolRule(tool="Read", pattern="secret/*"), "Read", {"file_path": "SECRET/key"}),
        (ToolRule(tool="Write", pattern="deploy/*"), "Edit", {"file_path": "deploy/run"}),
        (ToolRule(tool="Edit", pattern="deploy/*"), "MultiEdit", {"file_path": "deploy/run"}),
        (
            ToolRule(tool="WebFetch", pattern="domain:Evil.example"),
            "WebFetch",
            {"url": "http://evil.example/"},
        ),
        (
            ToolRule(tool="WebFetch", pattern="domain:evil.example"),
            "WebFetch",
            {"url": "http://A.EVIL.example./"},
        ),
    ],
)
def test_a_denial_is_not_passed_by_another_case_or_another_way_to_write(
    rule: ToolRule, tool: str, arguments: JsonObject
) -> None:
    assert rule_refusal(tool, arguments, [], [rule]) is not None


def test_a_list_of_agents_lets_through_each_of_them() -> None:
    agents = [ToolRule(tool="Delegate", pattern="reviewer, tester")]

    assert rule_refusal("Delegate", {"subagent_type": "tester"}, agents, []) is None
    assert rule_refusal("Delegate", {"subagent_type": "other"}, agents, []) is not None
