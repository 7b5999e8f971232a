"""What the tests of tools begin with: a held workspace, and a caller that speaks as an agent does."""

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from chargehand.domain.values import JsonValue
from chargehand.tools.base import Tool, ToolContext, ToolResult, call_tool
from chargehand.tools.catalogue import catalogue
from chargehand.tools.ledger import ReadLedger
from chargehand.tools.sandbox.base import SandboxLimits
from chargehand.tools.sandbox.environment import find_toolchains
from chargehand.tools.sandbox.plain import PlainSandbox
from chargehand.tools.workspace import Workspace

# They import what holds folders by descriptor, which Windows does not have.
collect_ignore = (
    ["test_workspace.py", "test_hostile_tree.py", "test_path_race.py"] if sys.platform == "win32" else []
)

Call = Callable[..., Awaitable[ToolResult]]

TOOLS: Mapping[str, Tool] = catalogue()


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
        sandbox=PlainSandbox(toolchains=find_toolchains()),
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
