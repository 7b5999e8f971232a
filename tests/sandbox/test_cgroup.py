"""Control groups, where this machine lets the tests make them; elsewhere they are passed over."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chargehand.tools.sandbox import EndedBy, Sandbox
from chargehand.tools.sandbox.bubblewrap import BubblewrapSandbox
from chargehand.tools.sandbox.cgroup import GroupHome, find_group_home
from chargehand.tools.sandbox.restricted import RestrictedSandbox
from tests.sandbox.conftest import MIB, run_python


@pytest.fixture
def home() -> GroupHome:
    found = find_group_home()
    if found is None:
        pytest.skip("no control group can be made here")
    return found


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        yield process.pid
        process.kill()


def groups_in(home: GroupHome) -> set[Path]:
    return {
        path
        for parent in (home.memory, home.processes)
        for path in parent.glob(f"chargehand-{os.getpid()}-*")
    }


def test_a_process_is_moved_into_a_group_with_its_limits(home: GroupHome, sleeper: int) -> None:
    group = home.make(memory_bytes=64 * MIB, processes=9)

    group.add(sleeper)

    limit = "memory.limit_in_bytes" if home.version == 1 else "memory.max"
    assert group.members() == {sleeper}
    assert int((group.memory / limit).read_text()) == 64 * MIB
    assert (group.folders[-1] / "pids.max").read_text() == "9\n"
    assert not group.was_out_of_memory()
    os.kill(sleeper, 9)
    os.waitid(os.P_PID, sleeper, os.WEXITED | os.WNOWAIT)
    group.remove()
    assert groups_in(home) == set()


def test_what_a_killed_service_left_is_removed_at_the_next_start(home: GroupHome) -> None:
    with subprocess.Popen(["/bin/true"]) as gone:
        gone.wait()
    left = home.memory / f"chargehand-{gone.pid}-1"
    left.mkdir()

    find_group_home()

    assert not left.exists()


async def test_a_command_leaves_no_group_behind(confining: Sandbox, workspace: Path, home: GroupHome) -> None:
    await run_python(confining, workspace, "import time; time.sleep(0.3)")

    assert groups_in(home) == set()


@pytest.mark.parametrize("groups", ["with", "without"])
async def test_memory_ends_at_the_limit_with_and_without_a_group(
    confining: Sandbox, workspace: Path, groups: str
) -> None:
    assert isinstance(confining, BubblewrapSandbox | RestrictedSandbox)
    sandbox = replace(confining, groups=find_group_home() if groups == "with" else None)
    script = """
import mmap, time
shared = mmap.mmap(-1, 1 << 30)
for page in range(0, 1 << 30, 4096):
    shared[page] = 1
"""

    ended = await run_python(sandbox, workspace, script, memory_bytes=150 * MIB)

    assert ended.ended_by is EndedBy.MEMORY
