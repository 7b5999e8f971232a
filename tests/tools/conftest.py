"""What the tests of tools begin with: a held workspace, and a caller that speaks as an agent does."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from chargehand.domain.values import JsonValue
from chargehand.tools.base import Tool, ToolContext, ToolResult, call_tool
from chargehand.tools.catalogue import catalogue
from chargehand.tools.ledger import ReadLedger
from chargehand.tools.sandbox.base import Ended, EndedBy, OnLine, SandboxCommand, SandboxLevel, SandboxLimits
from chargehand.tools.workspace import Workspace

Call = Callable[..., Awaitable[ToolResult]]

TOOLS: Mapping[str, Tool] = catalogue()


@dataclass(frozen=True, slots=True)
class PlainSandbox:
    """Runs the program for real, without any boundary: what Grep says to it is what is under test here."""

    level: SandboxLevel = SandboxLevel.NONE

    async def run(self, command: SandboxCommand, *, on_stdout_line: OnLine | None = None) -> Ended:
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            cwd=command.workspace / command.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate()
        kept = stdout[: command.limits.output_bytes]
        return Ended(
            exit_code=process.returncode,
            signal=None,
            ended_by=EndedBy.EXIT,
            stdout=kept,
            stderr=stderr,
            dropped_bytes=len(stdout) - len(kept),
            duration_seconds=0.0,
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The workspace's folder as the host sees it."""
    made = tmp_path / "workspace"
    made.mkdir()
    return made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file beside the workspace that no tool may reach."""
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret", encoding="utf-8")
    return secret


@pytest.fixture
def workspace(folder: Path) -> Iterator[Workspace]:
    with Workspace(folder) as held:
        yield held


@pytest.fixture
def context(workspace: Workspace) -> ToolContext:
    return ToolContext(
        workspace=workspace,
        sandbox=PlainSandbox(),
        limits=SandboxLimits(),
        task_id="task-1",
        reads=ReadLedger(),
    )


@pytest.fixture
def call(context: ToolContext) -> Call:
    """Call a tool by name, as a runtime does for an agent."""

    async def called(name: str, /, **arguments: JsonValue) -> ToolResult:
        return await call_tool(TOOLS, context, name, arguments)

    return called
