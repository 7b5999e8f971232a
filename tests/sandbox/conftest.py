"""Sandboxes that really run here, and what the tests of them share.

A level that cannot be had is passed over with its reason; with CI=true, Linux must have both of its levels.
"""

import asyncio
import json
import os
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chargehand.errors import SandboxUnavailable
from chargehand.tools.sandbox import Ended, Sandbox, SandboxCommand, SandboxLevel, SandboxLimits, open_sandbox

CONFINING = [SandboxLevel.STRICT, SandboxLevel.RESTRICTED]
MIB = 1024 * 1024


@pytest.fixture(params=[*CONFINING, SandboxLevel.NONE], ids=str)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each level in turn."""
    return opened_or_skip(request.param)


@pytest.fixture(params=CONFINING, ids=str)
def confining(request: pytest.FixtureRequest) -> Sandbox:
    """Each level that is a boundary, in turn."""
    return opened_or_skip(request.param)


@pytest.fixture
def strict() -> Sandbox:
    return opened_or_skip(SandboxLevel.STRICT)


@pytest.fixture
def restricted() -> Sandbox:
    return opened_or_skip(SandboxLevel.RESTRICTED)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


def opened_or_skip(level: SandboxLevel) -> Sandbox:
    found = _open(level)
    if isinstance(found, Sandbox):
        return found
    reason = f"no {level} here: {found[:160]}"
    if os.environ.get("CI") == "true" and sys.platform.startswith("linux"):
        pytest.fail(reason)
    pytest.skip(reason)


@cache
def _open(level: SandboxLevel) -> Sandbox | str:
    try:
        return asyncio.run(open_sandbox(level))
    except SandboxUnavailable as error:
        return error.message


async def run_python(sandbox: Sandbox, workspace: Path, script: str, **limits: Any) -> Ended:
    """Run a script with the interpreter of the tests' own environment, inside."""
    return await run_in(sandbox, workspace, "python", "-c", script, **limits)


async def run_bash(sandbox: Sandbox, workspace: Path, script: str, **limits: Any) -> Ended:
    return await run_in(sandbox, workspace, "/bin/bash", "-c", script, **limits)


async def run_in(sandbox: Sandbox, workspace: Path, *argv: str, **limits: Any) -> Ended:
    chosen = replace(SandboxLimits(wall_seconds=20.0), **limits)
    return await sandbox.run(SandboxCommand(argv=argv, workspace=workspace, limits=chosen))


def output_of(ended: Ended) -> str:
    """Standard output of a command that must have gone well."""
    assert ended.succeeded, (ended.ended_by, ended.exit_code, ended.stdout, ended.stderr)
    return ended.stdout.decode()


async def report_of(sandbox: Sandbox, workspace: Path, script: str, **limits: Any) -> Any:
    """What a script printed last, as JSON."""
    return json.loads(output_of(await run_python(sandbox, workspace, script, **limits)).splitlines()[-1])
