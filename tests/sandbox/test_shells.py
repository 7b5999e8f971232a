"""Commands in the background: polled, waited for, ended, and never left behind. On every level of the sandbox."""

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from chargehand.domain.values import JsonValue
from chargehand.tools.background import MAX_RUNNING, Background
from chargehand.tools.base import ToolContext, ToolResult, call_tool
from chargehand.tools.catalogue import catalogue
from chargehand.tools.ledger import ReadLedger
from chargehand.tools.sandbox import Sandbox, SandboxLimits
from chargehand.tools.workspace import Workspace
from tests import given

WAIT = 20_000
FOREVER = "echo x >> alive; echo begun; while :; do echo x >> alive; sleep 0.05; done"


@pytest.fixture
async def context(sandbox: Sandbox, workspace: Path) -> AsyncGenerator[ToolContext]:
    with Workspace(workspace) as held:
        async with Background() as background:
            yield ToolContext(
                workspace=held,
                sandbox=sandbox,
                limits=SandboxLimits(),
                task_id="task",
                reads=ReadLedger(),
                background=background,
            )


async def call(context: ToolContext, name: str, **arguments: JsonValue) -> ToolResult:
    return await call_tool(catalogue(), context, name, arguments)


async def begun(context: ToolContext, command: str, **arguments: JsonValue) -> str:
    result = await call(context, "Bash", command=command, run_in_background=True, **arguments)
    assert not result.is_error
    assert str(result.details["shell_id"]) in result.content
    return str(result.details["shell_id"])


async def ended_output(context: ToolContext, shell_id: str, **arguments: JsonValue) -> ToolResult:
    """Poll until it has ended; the last answer."""
    while True:
        result = await call(context, "BashOutput", bash_id=shell_id, wait=WAIT, **arguments)
        if result.details.get("status") != "running":
            return result


async def grows(file: Path) -> bool:
    size = (await asyncio.to_thread(file.stat)).st_size
    await asyncio.sleep(0.3)
    return (await asyncio.to_thread(file.stat)).st_size != size


async def finished(context: ToolContext, shell_id: str) -> None:
    async def is_over() -> bool:
        command = context.background.get(shell_id)
        return command is not None and not command.is_running

    await given.eventually(is_over)


async def test_each_poll_tells_what_is_new_and_the_last_one_how_it_ended(
    context: ToolContext, workspace: Path
) -> None:
    shell_id = await begun(context, "echo one; until [ -e go ]; do sleep 0.02; done; echo two >&2; exit 3")

    first = await call(context, "BashOutput", bash_id=shell_id, wait=WAIT)
    nothing = await call(context, "BashOutput", bash_id=shell_id)
    (workspace / "go").touch()
    last = await ended_output(context, shell_id)

    assert first.content == "one\n[still running]"
    assert nothing.content == "[no new output]\n[still running]"
    assert last.content.endswith("[exit code 3]")
    assert (last.details["status"], last.details["exit_code"]) == ("ended", 3)
    assert "one" not in last.content


async def test_a_filter_shows_the_lines_that_match_and_passes_over_the_others(context: ToolContext) -> None:
    shell_id = await begun(context, "echo ok 1; echo Error: a; echo ok 2")
    await finished(context, shell_id)

    wrong = await call(context, "BashOutput", bash_id=shell_id, filter="(")
    found = await call(context, "BashOutput", bash_id=shell_id, filter="Err.r")
    rest = await call(context, "BashOutput", bash_id=shell_id)

    assert wrong.is_error
    assert "no output was passed over" in wrong.content
    assert found.content == "Error: a\n[completed, exit code 0]"
    assert rest.content == "[no new output]\n[completed, exit code 0]"


async def test_kill_ends_it_and_what_it_started(context: ToolContext, workspace: Path) -> None:
    shell_id = await begun(context, f"({FOREVER}) & wait")
    await call(context, "BashOutput", bash_id=shell_id, wait=WAIT)

    killed = await call(context, "KillShell", shell_id=shell_id)
    again = await call(context, "KillShell", shell_id=shell_id)

    assert "was ended" in killed.content
    assert "had ended already: ended by KillShell" in again.content
    assert not await grows(workspace / "alive")


async def test_the_end_of_the_attempt_ends_it_and_a_later_attempt_is_told(
    context: ToolContext, workspace: Path
) -> None:
    shell_id = await begun(context, FOREVER)

    async def is_alive() -> bool:
        return await asyncio.to_thread((workspace / "alive").exists)

    await given.eventually(is_alive)
    await context.background.end_all()

    assert not await grows(workspace / "alive")
    result = await call(context, "BashOutput", bash_id=shell_id)
    assert result.is_error
    assert result.details["code"] == "outcome_unknown"
    assert "does not run any more" in result.content
    unheard_of = await call(context, "KillShell", shell_id="bash_0")
    assert "there is no command 'bash_0' in the background; there are: none" in unheard_of.content


async def test_more_than_fits_is_in_a_file_and_more_than_is_kept_is_counted(
    context: ToolContext, workspace: Path
) -> None:
    shell_id = await begun(context, "seq 400000; until [ -e go ]; do sleep 0.02; done")

    async def is_too_much() -> bool:
        command = context.background.get(shell_id)
        return command is not None and command.dropped_bytes > 0

    await given.eventually(is_too_much)
    (workspace / "go").touch()
    await finished(context, shell_id)

    result = await call(context, "BashOutput", bash_id=shell_id)

    assert len(result.content) < 31_000
    file = str(result.details["output_file"])
    assert f"read them in {file}" in result.content
    assert (workspace / file).read_text("utf-8").startswith("1\n2\n3\n")
    assert re.search(r"\[[\d,]+ bytes were written faster", result.content)


async def test_its_own_time_limit_ends_it_and_only_so_many_run_at_once(context: ToolContext) -> None:
    timed = await begun(context, "sleep 60", timeout=200)
    assert (await ended_output(context, timed)).details["ended_by"] == "timeout"

    for _ in range(MAX_RUNNING):
        await begun(context, "sleep 60")
    refused = await call(context, "Bash", command="sleep 60", run_in_background=True)
    assert refused.is_error
    assert "end one with KillShell" in refused.content
