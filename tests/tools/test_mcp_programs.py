"""MCP servers that are programs, in real sandboxes: pinned and called like others, confined, and gone afterwards."""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from chargehand.app.core import Core
from chargehand.domain.history import EventKind
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.runtimes.playbook import Playbook, PlaybookContext
from chargehand.tools.sandbox import Sandbox, SandboxLevel
from tests import given
from tests.given import ME
from tests.listening import listening
from tests.sandbox.conftest import opened_or_skip

HERE = Path(__file__).parent.parent
BY_HAND = (HERE / "mcp_program.py").read_text("utf-8")
BY_PACKAGE = (HERE / "mcp_sdk_program.py").read_text("utf-8")


@pytest.fixture(params=[SandboxLevel.STRICT, SandboxLevel.RESTRICTED], ids=str)
def confining(request: pytest.FixtureRequest) -> Sandbox:
    return opened_or_skip(request.param)


@pytest.fixture
def sandbox() -> Sandbox:
    """The strongest here."""
    return opened_or_skip(SandboxLevel.STRICT if sys.platform == "linux" else SandboxLevel.NONE)


async def calls(ctx: PlaybookContext) -> JsonValue:
    """Call the tool with each of the texts in the task's data."""
    said: list[JsonValue] = []
    for text in cast("list[str]", ctx.data["texts"]):
        result = await ctx.tool("mcp__desk__do", text=text)
        said.append([result.is_error, result.content])
    return said


@asynccontextmanager
async def a_calling_core(
    folder: Path, sandbox: Sandbox, *, program: str = BY_HAND, first_use: str = "trust", **entry: Any
) -> AsyncGenerator[Core, None]:
    file = folder / "mcp.json"
    arguments = ["-c", program, *entry.pop("arguments", [])]
    desk = {"command": "python", "args": arguments, **entry}
    file.write_text(json.dumps({"mcpServers": {"desk": desk}}), "utf-8")
    books = {"calls": Playbook(name="calls", run=calls)}
    options: dict[str, Any] = {"mcp_file": file, "mcp_first_use": first_use, "shutdown_grace_seconds": 0}
    async with given.a_core(folder, playbooks=books, sandbox=sandbox, **options) as core:
        text = (
            "---\nname: caller\ndescription: Calls.\ntools: Read\nmcpServers: [desk]\n"
            "chargehand: {runtime: playbook, playbook: calls}\n---\nCall.\n"
        )
        await core.agents.publish(ME, text)
        yield core


async def said_to(core: Core, *texts: str) -> list[Any]:
    ended = await given.ended(core, await given.a_task(core, "caller", {"texts": list(texts)}))
    assert isinstance(ended.result, list), ended.error
    return ended.result


@pytest.mark.parametrize("program", [BY_HAND, BY_PACKAGE], ids=["by-hand", "by-package"])
async def test_a_program_is_pinned_approved_and_called_like_any_server(
    tmp_path: Path, confining: Sandbox, program: str
) -> None:
    async with a_calling_core(tmp_path, confining, program=program, first_use="ask") as core:
        [[is_error, content]] = await said_to(core, "it")
        assert (is_error, "There is no tool" in content) == (True, True)

        [pin], problems = await core.mcp_pins.all(ME)
        assert (pin.tool.name, pin.state, problems) == ("do", "new", {"desk": ""})
        await core.mcp_pins.approve(ME, "desk", "do", pin.seen_hash)
        assert await said_to(core, "it", "it again") == [[False, "did it"], [False, "did it again"]]


async def test_what_a_program_does_wrong_is_an_error_of_that_call(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_TOKEN", "canary-123")
    entry: dict[str, Any] = {"env_from": ["DESK_TOKEN"], "timeout_seconds": 2, "arguments": ["greets"]}
    async with a_calling_core(tmp_path, sandbox, **entry) as core:
        texts = ("garbage {", "many", "long", "endless", "die", "it")
        garbage, many, long, endless, died, good = await said_to(core, *texts)

        assert garbage == [False, "did garbage {"]
        assert (many[0], "what is no message of MCP" in many[1]) == (True, True)
        assert (long[0], "a line of more than 8,388,608 bytes" in long[1]) == (True, True)
        assert (endless[0], "did not answer within 2 s" in endless[1]) == (True, True)
        assert died == [True, "the server 'desk' ended with exit code 3: cannot go on with [redacted]"]
        assert good == [False, "did it"]
        for path in (tmp_path / "data").rglob("*"):
            assert not path.is_file() or b"canary-123" not in path.read_bytes()


@pytest.mark.parametrize("end", ["time-out", "cancel", "stop"])
async def test_a_program_that_hangs_is_gone_with_all_that_it_started(
    tmp_path: Path, confining: Sandbox, end: str
) -> None:
    seconds = f"{secrets.randbelow(10**8)}.5"
    async with a_calling_core(tmp_path, confining, timeout_seconds=2 if end == "time-out" else 60) as core:
        task = await given.a_task(core, "caller", {"texts": [f"hang {seconds}"]})
        async with asyncio.timeout(10):
            while not sleeping(seconds):  # noqa: ASYNC110 - nothing tells when a process inside is there
                await asyncio.sleep(0.02)
        if end == "cancel":
            await core.tasks.cancel(ME, task.id)
        if end != "stop":
            ended = await given.ended(core, task)
            assert ended.status.value == ("canceled" if end == "cancel" else "completed")
            assert not sleeping(seconds)
    assert not sleeping(seconds)


def sleeping(seconds: str) -> bool:
    """Whether a process that the program has started, in a session of its own, is there."""
    return any(one.info["cmdline"] == ["sleep", seconds] for one in psutil.process_iter(["cmdline"]))


async def test_a_program_reaches_no_network_no_file_and_no_variable_of_the_service(
    tmp_path: Path, confining: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "canary-123")
    monkeypatch.setenv("DESK_TOKEN", "given")
    knocks: list[asyncio.StreamWriter] = []

    async def knocked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        knocks.append(writer)

    secret = tmp_path / "secret"
    secret.write_text("canary-456", "utf-8")
    entry: dict[str, Any] = {"env": {"MODE": "quiet"}, "env_from": ["DESK_TOKEN"]}
    async with listening(knocked) as port, a_calling_core(tmp_path, confining, **entry) as core:
        attempts = (
            f"connect {port}",
            f"read {secret}",
            f"read {core.settings.database_path}",
            f"write {secret}",
            "write ./scratch",
            "read ./scratch",
            "environment",
        )
        *refused, made, lost, environment = [said for _, said in await said_to(core, *attempts)]

    assert [said.partition(":")[0] for said in refused] == ["could not"] * 4
    assert (made, lost) == ("could: 1", "could not: FileNotFoundError"), (
        "each conversation has a folder of its own"
    )
    variables: JsonObject = json.loads(environment)
    assert (variables["MODE"], variables["DESK_TOKEN"]) == ("quiet", "given")
    assert "canary" not in environment
    assert (knocks, secret.read_text("utf-8")) == ([], "canary-456")


async def test_a_program_that_cannot_be_started_is_told_with_the_way_out(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    async with a_calling_core(tmp_path, sandbox, env_from=["NOT_SET_HERE"]) as core:
        assert "needs the variable NOT_SET_HERE" in (await core.mcp_pins.all(ME))[1]["desk"]
    async with a_calling_core(tmp_path, sandbox, command="no-such-program") as core:
        assert "ended with exit code 127" in (await core.mcp_pins.all(ME))[1]["desk"]
        task = await given.a_task(core, "caller", {"texts": []})
        await given.ended(core, task)
        [note] = [one for one in await core.watch.events(ME, task.id) if one.kind == EventKind.PROGRESS]
        assert "no-such-program" in str(note.data["message"])
