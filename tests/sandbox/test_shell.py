"""Bash, called as an agent calls it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chargehand.domain.values import JsonValue
from chargehand.tools.base import ToolContext, ToolResult, call_tool
from chargehand.tools.ledger import ReadLedger
from chargehand.tools.sandbox import Sandbox, SandboxLimits
from chargehand.tools.shell import BASH, MAX_SHOWN_CHARACTERS, MAX_SHOWN_OF_A_FAILURE, shell_argv
from chargehand.tools.workspace import Quota, Workspace


@pytest.fixture
def context(sandbox: Sandbox, workspace: Path) -> Iterator[ToolContext]:
    with Workspace(workspace, quota=Quota(max_bytes=4_000_000, max_files=20)) as held:
        yield ToolContext(
            workspace=held, sandbox=sandbox, limits=SandboxLimits(), task_id="task", reads=ReadLedger()
        )


async def bash(context: ToolContext, command: str, **arguments: JsonValue) -> ToolResult:
    return await call_tool({"Bash": BASH}, context, "Bash", {"command": command, **arguments})


async def test_a_command_shows_its_output_and_nothing_else(context: ToolContext) -> None:
    result = await bash(context, "echo out; echo err >&2", description="Say two words")

    assert (result.content, result.is_error) == ("out\nerr", False)
    assert (result.details["exit_code"], result.details["ended_by"]) == (0, "exit")


async def test_a_command_without_output_says_so(context: ToolContext) -> None:
    assert (await bash(context, "true")).content == "[no output]"


async def test_a_failure_tells_its_exit_code(context: ToolContext) -> None:
    result = await bash(context, "echo half; exit 4")

    assert (result.content, result.is_error) == ("half\n[exit code 4]", True)
    assert result.details["exit_code"] == 4


async def test_it_is_bash_with_pipes_and_arrays(context: ToolContext) -> None:
    result = await bash(context, "words=(a b c); cat <(echo ${words[2]}) | tr c d")

    assert result.content == "d"


async def test_a_time_out_is_told_with_what_came_before(context: ToolContext) -> None:
    result = await bash(context, "echo begun; sleep 60", timeout=300)

    assert result.is_error
    assert result.content.startswith("begun\n[timed out after 0.3 s")
    assert result.details["ended_by"] == "timeout"


async def test_a_long_output_is_cut_and_kept_whole_in_a_file(context: ToolContext, workspace: Path) -> None:
    result = await bash(context, "seq 1 20000")

    whole = "\n".join(map(str, range(1, 20001)))
    assert result.content.startswith(whole[:MAX_SHOWN_CHARACTERS])
    assert f"{len(whole) - MAX_SHOWN_CHARACTERS:,} characters are not shown" in result.content
    kept = workspace / str(result.details["output_file"])
    assert kept.parent == workspace / ".chargehand" / "output"
    assert kept.read_text() == whole
    assert str(result.details["output_file"]) in result.content


async def test_a_long_failure_shows_both_its_ends(context: ToolContext, workspace: Path) -> None:
    result = await bash(context, "seq 1 20000; echo 'the reason'; exit 1")

    assert result.content.startswith("1\n2\n3\n")
    assert "the reason\n[exit code 1]" in result.content
    assert len(result.content) < MAX_SHOWN_OF_A_FAILURE + 500
    assert "the reason" in (workspace / str(result.details["output_file"])).read_text()


async def test_output_beyond_what_is_kept_is_counted(context: ToolContext) -> None:
    result = await bash(context, "head -c 3000000 /dev/zero | tr '\\0' x")

    assert result.details["dropped_bytes"] == 3_000_000 - SandboxLimits().output_bytes
    assert "more bytes were written and not kept" in result.content


async def test_bytes_that_are_no_text_do_not_stop_the_answer(context: ToolContext) -> None:
    result = await bash(context, r"printf 'a\xff\x00b'")

    assert result.content == "a\ufffdb"


async def test_a_full_workspace_is_told(context: ToolContext) -> None:
    result = await bash(context, "for n in $(seq 30); do : > file$n; done")

    assert "30 files, more than its 20" in result.content


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"command": ""}, "command"),
        ({"command": "echo a\0b"}, "NUL"),
        ({"command": "true", "timeout": 0}, "timeout"),
        ({"command": "true", "timeout": 600_001}, "timeout"),
        ({"command": "true", "shell": "zsh"}, "shell"),
    ],
)
async def test_arguments_that_cannot_be_meant_are_named(
    context: ToolContext, arguments: dict[str, JsonValue], told: str
) -> None:
    result = await call_tool({"Bash": BASH}, context, "Bash", arguments)

    assert result.is_error
    assert told in result.content


def test_each_system_has_its_shell() -> None:
    assert shell_argv("x", is_windows=False, bash=None) == ("/bin/bash", "-c", "x")
    assert shell_argv("x", is_windows=True, bash="C:/Git/bin/bash.exe") == ("C:/Git/bin/bash.exe", "-c", "x")
    assert shell_argv("x", is_windows=True, bash=None)[0] == "powershell.exe"
    assert shell_argv("x", is_windows=True, bash=None)[-2:] == ("-Command", "x")


@pytest.mark.parametrize(
    ("command", "is_error"),
    [
        ("echo a | grep b", False),
        ("[ -e nothing ]", False),
        ("true && test 1 = 2", False),
        ("false", True),
        ("grep -q x missing.txt", True),
        ("grep a x; exit 1", True),
    ],
)
async def test_finding_nothing_is_an_answer_and_no_failure(
    context: ToolContext, command: str, is_error: bool
) -> None:
    result = await bash(context, command)

    assert result.is_error is is_error
    assert "[exit code" in result.content
