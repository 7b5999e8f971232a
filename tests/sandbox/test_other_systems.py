"""What can be checked here of the levels for macOS and Windows: their pure parts, and the tree that psutil sees."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chargehand.errors import InvalidInput, SandboxUnavailable
from chargehand.tools.sandbox import SandboxCommand, SandboxLimits
from chargehand.tools.sandbox.environment import Toolchains
from chargehand.tools.sandbox.job import JobSandbox, folder_inside, job_form, windows_environment
from chargehand.tools.sandbox.runner.forms import decode, encode
from chargehand.tools.sandbox.runner.windows_job import BasicLimits, ExtendedLimits, limits_of
from chargehand.tools.sandbox.scratch import Scratch
from chargehand.tools.sandbox.seatbelt import seatbelt_argv, seatbelt_profile
from chargehand.tools.sandbox.trees import PsutilTree

SCRATCH = Scratch(home=Path("scratch/home"), temporary=Path("scratch/tmp"))


def test_no_path_becomes_part_of_the_seatbelt_profile() -> None:
    hostile = Path('/tmp/x") (allow default) ("')

    argv = seatbelt_argv(["/bin/ls", "-l"], writable=[hostile], readable=[Path("/opt/tools")])

    profile = argv[argv.index("-p") + 1]
    assert "allow default" not in profile
    assert f"WRITABLE_0={hostile}" in argv
    assert argv[-2:] == ["/bin/ls", "-l"]


def test_the_seatbelt_profile_denies_what_it_does_not_name() -> None:
    profile = seatbelt_profile(["WRITABLE_0", "READABLE_0"])

    lines = profile.splitlines()
    assert lines[:2] == ["(version 1)", "(deny default)"]
    assert profile.count("(") == profile.count(")")
    writes = [line for line in lines if "file-write*" in line]
    assert writes == ['(allow file-write* (subpath (param "WRITABLE_0")))']
    assert not any(
        "network" in line and "localhost" not in line and "WRITABLE_0" not in line for line in lines
    )


def test_a_form_comes_back_as_it_went() -> None:
    form = {"argv": ["a b", "", "ü", "line\nbreak"], "none": [], "names": ["argv"]}

    assert decode(encode(form)) == form


def test_a_windows_job_has_the_layout_that_the_interface_names() -> None:
    pointer = ctypes.sizeof(ctypes.c_size_t)

    assert ctypes.sizeof(BasicLimits) == (64 if pointer == 8 else 48)
    assert ctypes.sizeof(ExtendedLimits) == ctypes.sizeof(BasicLimits) + 48 + 4 * pointer


def test_a_windows_job_bounds_time_memory_and_processes_and_ends_with_its_handle(tmp_path: Path) -> None:
    command = SandboxCommand(
        argv=("x",), workspace=tmp_path, limits=SandboxLimits(cpu_seconds=3, memory_bytes=5000, processes=7)
    )

    limits = limits_of(job_form(command, ["x"], str(tmp_path), {}))

    assert limits.basic.process_time == 30_000_000
    assert limits.basic.active_processes == 8
    assert limits.job_memory == 5000
    assert limits.basic.flags & 0x2000
    assert not limits.basic.flags & 0x1800, "nothing may break away"


def test_on_windows_only_what_windows_needs_is_passed_on() -> None:
    own = {"SYSTEMROOT": r"D:\Windows", "PATHEXT": ".EXE", "API_TOKEN": "secret", "PATH": r"C:\secret"}

    environment = windows_environment(own, SCRATCH, Toolchains(folders=(), bin_folders=()), {"GIVEN": "yes"})

    assert "API_TOKEN" not in environment
    assert "secret" not in environment["PATH"]
    assert r"D:\Windows\System32" in environment["PATH"]
    assert environment["GIVEN"] == "yes"


@pytest.mark.parametrize("cwd", ["..", r"a\..\..", r"C:\x", "C:x", r"\\host\share", "/x", "missing"])
def test_on_windows_a_command_starts_inside_the_workspace_or_not_at_all(tmp_path: Path, cwd: str) -> None:
    with pytest.raises(InvalidInput, match="workspace"):
        folder_inside(SandboxCommand(argv=("x",), workspace=tmp_path, cwd=cwd))


@pytest.mark.skipif(os.name == "nt", reason="needs fork")
def test_the_tree_that_psutil_sees_remembers_a_daemon_and_ends_it() -> None:
    script = """
import os, signal, sys
if os.fork() == 0:
    os.setsid()
    print(os.getpid(), flush=True)
    signal.pause()
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        daemon = int(parent.stdout.readline())
        tree = PsutilTree()
        try:
            seen = tree.below(parent.pid)
            assert {parent.pid, daemon} <= set(seen)
            assert tree.count_tasks(seen) >= 2
            assert tree.resident_bytes(seen) > 1_000_000
        finally:
            tree.kill_strays()
        # The end of its output says that the daemon, too, is gone.
        assert parent.stdout.read() == b""
    assert parent.returncode == -signal.SIGKILL


async def test_the_level_job_says_that_it_holds_no_conversation(tmp_path: Path) -> None:
    async def asked() -> AsyncIterator[bytes]:
        yield b"anybody there?"

    sandbox = JobSandbox(toolchains=Toolchains(folders=(), bin_folders=()))
    command = SandboxCommand(argv=("program",), workspace=tmp_path, stdin=asked())
    with pytest.raises(SandboxUnavailable, match="cannot hold a conversation"):
        await sandbox.run(command)
