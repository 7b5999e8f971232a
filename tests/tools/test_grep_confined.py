"""Grep in the sandboxes that are boundaries: ripgrep is found there, and sees the workspace and nothing else."""

import dataclasses
from pathlib import Path

import pytest

from chargehand.tools.base import ToolContext, call_tool
from chargehand.tools.sandbox.base import SandboxLevel
from tests.sandbox.conftest import opened_or_skip
from tests.tools.conftest import TOOLS


@pytest.fixture(params=[SandboxLevel.STRICT, SandboxLevel.RESTRICTED], ids=str)
def confined(request: pytest.FixtureRequest, context: ToolContext) -> ToolContext:
    return dataclasses.replace(context, sandbox=opened_or_skip(request.param))


async def test_grep_searches_the_workspace(confined: ToolContext, folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "src" / "a.py").write_bytes(b"needle\n")

    listed = await call_tool(TOOLS, confined, "Grep", {"pattern": "need.e"})
    shown = await call_tool(TOOLS, confined, "Grep", {"pattern": "needle", "output_mode": "content"})

    assert listed.content == "src/a.py"
    assert shown.content == "src/a.py:1:needle"


async def test_an_error_of_ripgrep_names_no_folder_of_the_host(confined: ToolContext, folder: Path) -> None:
    result = await call_tool(TOOLS, confined, "Grep", {"pattern": "("})

    assert result.is_error
    assert "unclosed group" in result.content
    assert str(folder) not in result.content
