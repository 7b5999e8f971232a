"""The race between checking a path and opening it: a process swaps names for links during the opens.

The usual way (resolve, check, open) runs in the same harness and must leak, so that a pass means something.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chargehand.errors import ToolError
from chargehand.tools.beneath import Opener, best_opener, open_by_kernel, open_by_walk
from chargehand.tools.paths import LogicalPath
from chargehand.tools.root_posix import PosixRoot
from chargehand.tools.workspace import Workspace

RACED_OPENS = 100_000
RACED_WRITES = 300
SECONDS_TO_LEAK = 30
TARGETS = (LogicalPath(("folder", "file.txt")), LogicalPath(("file.txt",)))


@pytest.fixture
def swapped(folder: Path, tmp_path: Path) -> Iterator[Path]:
    """A workspace in which another process keeps swapping a folder and a file for links to secrets."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "file.txt").write_bytes(b"secret")
    (folder / "folder").mkdir()
    (folder / "folder" / "file.txt").write_bytes(b"inside")
    (folder / "file.txt").write_bytes(b"inside")
    (folder / "folder-link").symlink_to("../secrets")
    (folder / "file-link").symlink_to("../secrets/file.txt")
    program = [sys.executable, str(Path(__file__).with_name("swapper.py")), str(folder)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as swapper:
        assert swapper.stdout is not None
        assert swapper.stdin is not None
        assert swapper.stdout.readline() == b"swapping\n"
        yield folder
        assert swapper.poll() is None, "the attack ended early, so nothing was raced"
        swapper.stdin.close()
        swapper.wait(10)


@pytest.mark.parametrize("opener", [open_by_kernel, open_by_walk])
def test_no_raced_open_leads_outside(swapped: Path, opener: Opener) -> None:
    if opener is open_by_kernel and best_opener() is not open_by_kernel:
        pytest.skip("this kernel has no openat2")
    root = PosixRoot(swapped, opener=opener)
    seen = {b"inside": 0, b"secret": 0}
    refused = 0

    for number in range(RACED_OPENS):
        try:
            descriptor = root.open_file(TARGETS[number & 1])
        except OSError:
            refused += 1
            continue
        seen[os.read(descriptor, 16)] += 1
        os.close(descriptor)
    root.close()

    assert seen[b"secret"] == 0
    # Both outcomes are frequent, so the swaps did fall between and into the opens.
    assert seen[b"inside"] > RACED_OPENS // 100
    assert refused > RACED_OPENS // 100


def test_the_usual_way_leaks_in_the_same_harness(swapped: Path) -> None:
    leaks = leaks_of(resolve_then_open, swapped, opens=RACED_OPENS)

    assert leaks > 0


def test_no_raced_write_lands_outside(swapped: Path, tmp_path: Path) -> None:
    done = 0
    with Workspace(swapped) as workspace:
        for number in range(RACED_WRITES):
            with suppress(ToolError):
                workspace.write_bytes(TARGETS[number & 1], b"inside")
                done += 1

    assert done > RACED_WRITES // 100
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["file.txt"]
    assert (tmp_path / "secrets" / "file.txt").read_bytes() == b"secret"


def leaks_of(open_file: Callable[[Path, Path], bytes], folder: Path, *, opens: int) -> int:
    """How many secrets the opener gave out; a few are enough."""
    until = time.monotonic() + SECONDS_TO_LEAK
    leaks = 0
    for number in range(opens):
        with suppress(OSError):
            leaks += open_file(folder, folder.joinpath(*TARGETS[number & 1].parts)) == b"secret"
        if leaks >= 3 or time.monotonic() > until:
            break
    return leaks


def resolve_then_open(folder: Path, path: Path) -> bytes:
    """What most file tools do: the check is on a string, and the open comes later."""
    if not path.resolve().is_relative_to(folder):
        raise PermissionError(path)
    return path.read_bytes()
