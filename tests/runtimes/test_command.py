"""Commands: external programs in the real sandbox, spoken to in JSON lines."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.history import EventKind
from chargehand.domain.task import Status, Task
from chargehand.domain.values import JsonObject
from chargehand.tools.sandbox import Sandbox
from tests import given
from tests.given import ME

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the programs here are POSIX shell and Python"
)

PYTHON = """
import json, os, sys, time
order = json.load(sys.stdin)
say = lambda **said: print(json.dumps(said), flush=True)
"""


async def run(core: Core, script: str, data: JsonObject | None = None, **block: Any) -> Task:
    """The ended task of an agent whose program is this Python script."""
    await given.an_agent(core, "it", command=["python", "-c", PYTHON + script], **block)
    return await given.ended(core, await given.a_task(core, "it", data))


def message(task: Task) -> str:
    assert task.error is not None
    return str(task.error["message"])


async def progress(core: Core, task: Task) -> list[str]:
    events = await core.watch.events(ME, task.id)
    return [str(event.data["message"]) for event in events if event.kind == EventKind.PROGRESS]


async def test_a_program_reads_its_order_tells_its_progress_and_gives_its_result(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    script = """
say(type="progress", message="on it")
say(type="result", result={"got": order["task_data"], "keys": sorted(order)})
say(type="progress", message="tidying up")
"""
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        task = await run(core, script, {"n": 1, "text": "Grüße"})

        keys = ["agent_id", "context_id", "failures", "round", "task_data", "task_id"]
        assert task.result == {"got": {"n": 1, "text": "Grüße"}, "keys": keys}
        assert await progress(core, task) == ["on it", "tidying up"]


async def test_a_program_that_says_nothing_completes_with_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        task = await run(core, "")

        assert (task.status, task.result) == (Status.COMPLETED, None)


async def test_an_error_that_a_program_tells_fails_the_task_with_its_words(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        task = await run(core, 'say(type="error", message="no such customer")')

        assert (task.status, task.reason, message(task)) == (Status.FAILED, "agent_error", "no such customer")


async def test_an_error_that_may_be_tried_again_is_tried_again(tmp_path: Path, sandbox: Sandbox) -> None:
    script = """
if not os.path.exists("tried"):
    open("tried", "w").close()
    say(type="error", message="busy", may_retry=True)
else:
    say(type="result", result="done")
"""
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        task = await run(core, script, attempts=2, retry_seconds=0)

        assert (task.result, task.attempt) == ("done", 2)


async def test_an_exit_code_fails_the_task_and_shows_the_end_of_what_was_said(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    script = 'print("x" * 5000 + "the reason", file=sys.stderr); say(type="result", result=1); sys.exit(7)'
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        task = await run(core, script)

    assert message(task) == "python ended with exit code 7"
    assert task.error is not None
    details = task.error["details"]
    assert isinstance(details, dict)
    assert str(details["stderr"]).endswith("the reason\n")
    assert len(str(details["stderr"])) == 2000


async def test_a_program_that_is_killed_fails_the_task(tmp_path: Path, sandbox: Sandbox) -> None:
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        task = await run(core, "os.kill(os.getpid(), 9)")

        assert task.status is Status.FAILED
        assert "signal" in message(task) or "exit code" in message(task)


async def test_lines_that_are_no_messages_are_told_as_progress(tmp_path: Path, sandbox: Sandbox) -> None:
    script = """
out = sys.stdout.buffer
for line in (b"plain text", b"{broken", b"[1, 2]", b'{"type": "unknown"}', b"\\xff\\xfe", b"", b"  ",
             b'{"type": "result", "result": NaN}', b'{"type": "result", "result": "\\\\ud800"}',
             b'{"type": "progress"}'):
    out.write(line + b"\\n")
out.write(b'{"type": "result", "result": "no newline at the end"}')
out.flush()
"""
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        task = await run(core, script)

        assert task.result == "no newline at the end"
        assert await progress(core, task) == [
            "plain text",
            "{broken",
            "[1, 2]",
            '{"type": "unknown"}',
            "\ufffd\ufffd",
            '{"type": "result", "result": NaN}',
            '{"type": "result", "result": "\\ud800"}',
            "",
        ]


async def test_a_flood_of_output_is_drained_and_told_in_part(tmp_path: Path, sandbox: Sandbox) -> None:
    script = """
for number in range(20000):
    print("line", number)
print("x" * 5_000_000)
say(type="result", result="survived")
"""
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        task = await run(core, script)

        assert task.result == "survived"
        [(told,)] = given.rows(
            core, "SELECT count(*) FROM task_events WHERE task_id = ? AND kind = 'task.progress'", task.id
        )
        assert told == 1000


async def test_a_program_works_in_the_workspace_of_its_task(tmp_path: Path, sandbox: Sandbox) -> None:
    promise = {"name": "report", "path": "report.txt", "checks": [{"run": "grep -q done report.txt"}]}
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        task = await run(core, 'open("report.txt", "w").write("done")', deliverables=[promise])

        assert task.status is Status.COMPLETED
        found = await core.watch.deliverable(ME, task.id, "report")
        assert await core.watch.content(found.sha256) == b"done"


async def test_a_program_is_told_what_its_checks_found_wrong(tmp_path: Path, sandbox: Sandbox) -> None:
    script = """
with open("report.txt", "w") as file:
    file.write(json.dumps(order["failures"]) if order["round"] else "wrong")
"""
    promise = {"name": "report", "path": "report.txt", "checks": [{"json": True}]}
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        task = await run(core, script, deliverables=[promise])

        found = await core.watch.deliverable(ME, task.id, "report")
        [failure] = json.loads(await core.watch.content(found.sha256))
    assert (failure["deliverable"], failure["check"], failure["passed"]) == ("report", "is JSON", False)
    assert "report.txt is not JSON" in failure["output"]


async def test_a_program_that_does_not_exist_fails_the_task(tmp_path: Path, sandbox: Sandbox) -> None:
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        await given.an_agent(core, "it", command=["no-such-program"])
        task = await given.ended(core, await given.a_task(core, "it"))

        assert task.status is Status.FAILED
        assert "no-such-program" in message(task)


async def test_canceling_kills_the_program_and_all_that_it_started_within_a_second(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    script = """
import subprocess
subprocess.Popen(["sh", "-c", "while :; do date +%s.%N > beat; sleep 0.05; done"])
while not os.path.exists("beat"):
    time.sleep(0.01)
say(type="progress", message="started")
time.sleep(60)
"""
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        await given.an_agent(core, "it", command=["python", "-c", PYTHON + script])
        task = await given.a_task(core, "it")
        await given.event(core, task, EventKind.PROGRESS)
        started = core.clock.monotonic()

        assert await core.tasks.cancel(ME, task.id) == "requested"
        ended = await given.ended(core, task)

        assert ended.status is Status.CANCELED
        assert core.clock.monotonic() - started < 1.0
        beat = core.settings.workspaces_dir / task.id / "beat"
        last = written_at(beat)
        await asyncio.sleep(0.3)
        assert written_at(beat) == last


def written_at(path: Path) -> int:
    return path.stat().st_mtime_ns


async def test_bash_of_a_playbook_is_killed_by_a_cancel_too(tmp_path: Path, sandbox: Sandbox) -> None:
    async def it(ctx: Any) -> None:
        await ctx.tool("Bash", command="touch started; sleep 60 & sleep 60")

    async with given.a_core(tmp_path, playbooks={"it": it}, sandbox=sandbox) as core:
        task = await given.a_task(core, "it")
        started = core.settings.workspaces_dir / task.id / "started"

        async def it_runs() -> bool:
            return started.exists()

        await given.eventually(it_runs)
        since = core.clock.monotonic()
        assert await core.tasks.cancel(ME, task.id) == "requested"

        assert (await given.ended(core, task)).status is Status.CANCELED
        assert core.clock.monotonic() - since < 1.0
        assert await core.tasks.cancel(ME, task.id) == "confirmed"
