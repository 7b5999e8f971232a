"""Which level is opened, and that nothing is ever run without one."""

import os
import stat
import sys
from pathlib import Path

import pytest

from chargehand.errors import SandboxUnavailable
from chargehand.tools.sandbox import Sandbox, SandboxCommand, SandboxLevel, open_sandbox, probe_levels
from chargehand.tools.sandbox.bubblewrap import BubblewrapSandbox, find_binaries
from chargehand.tools.sandbox.environment import Toolchains, find_toolchains
from chargehand.tools.sandbox.plain import PlainSandbox
from tests.sandbox.conftest import run_bash


async def test_without_a_wish_the_strongest_level_is_opened(confining: Sandbox) -> None:
    reports = {report.level: report.is_available for report in await probe_levels()}
    strongest = next(level for level in reports if reports[level])

    opened = await open_sandbox()

    assert opened.level is strongest
    assert strongest is not SandboxLevel.NONE


async def test_none_is_opened_only_by_its_name() -> None:
    assert (await open_sandbox(SandboxLevel.NONE)).level is SandboxLevel.NONE


async def test_every_level_is_reported_with_a_reason() -> None:
    reports = await probe_levels()

    assert [report.level for report in reports] == list(SandboxLevel)
    assert all(report.reason for report in reports)


@pytest.mark.parametrize("level", [SandboxLevel.SEATBELT, SandboxLevel.JOB], ids=str)
async def test_a_level_of_another_system_is_refused_with_the_way_out(level: SandboxLevel) -> None:
    with pytest.raises(SandboxUnavailable, match=f"{level}.*Install bubblewrap"):
        await open_sandbox(level)


def fake_program(folder: Path, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1", "Permission denied"),
        ("exit 0", "without a word"),
        ("exec 2>&-; exec sleep 0.1", "without a word"),
    ],
)
async def test_a_launcher_that_fails_in_mid_run_is_an_error_and_nothing_is_run(
    workspace: Path, tmp_path: Path, script: str, told: str
) -> None:
    broken = BubblewrapSandbox(
        binary=fake_program(tmp_path / "bin", script), toolchains=find_toolchains(), groups=None
    )

    with pytest.raises(SandboxUnavailable, match=told):
        await run_bash(broken, workspace, "touch ran")

    assert not (workspace / "ran").exists()


async def test_a_launcher_that_is_gone_is_an_error_and_nothing_is_run(
    workspace: Path, tmp_path: Path
) -> None:
    gone = BubblewrapSandbox(binary=tmp_path / "gone", toolchains=find_toolchains(), groups=None)

    with pytest.raises(SandboxUnavailable, match="gone"):
        await run_bash(gone, workspace, "touch ran")

    assert not (workspace / "ran").exists()


async def test_a_launcher_that_lies_in_the_workspace_is_not_trusted(workspace: Path) -> None:
    planted = BubblewrapSandbox(
        binary=fake_program(workspace / "bin", "touch ran"), toolchains=find_toolchains(), groups=None
    )

    with pytest.raises(SandboxUnavailable, match="not trusted"):
        await run_bash(planted, workspace, "true")

    assert not (workspace / "ran").exists()


def absent(name: str) -> None:
    """No package is found."""


async def test_a_launcher_that_ran_nothing_does_not_pass_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It answers as bubblewrap would, and confines nothing.
    fake_program(tmp_path, 'shift 3; exec "$@"')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", absent)

    with pytest.raises(SandboxUnavailable):
        await open_sandbox(SandboxLevel.STRICT)


def test_programs_are_looked_for_in_absolute_folders_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fake_program(tmp_path / "bin", "exit 0")
    fake_program(tmp_path / "here", "exit 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join(["here", "", ".", str(tmp_path / "bin")]))

    assert find_binaries()[0] == found


def test_a_toolchain_that_would_show_too_much_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = find_toolchains([Path("/"), Path.home(), Path("/usr/lib")])

    assert not {Path("/"), Path.home(), *Path.home().parents} & set(chosen.folders)
    assert not any(folder.is_relative_to("/usr") for folder in chosen.folders)


async def test_a_further_toolchain_can_be_read_and_run_but_not_written(
    confining: Sandbox, workspace: Path, tmp_path: Path
) -> None:
    tool = tmp_path / "kit" / "bin" / "tool"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho from the kit\n")
    tool.chmod(0o755)
    sandbox = await open_sandbox(confining.level, toolchains=[tmp_path / "kit"])

    ended = await run_bash(sandbox, workspace, f"tool; echo x >> {tool}")

    assert ended.stdout == b"from the kit\n"
    assert ended.exit_code == 1


async def test_plain_runs_without_a_boundary_because_it_was_asked_for_by_name(
    workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "beside").write_text("seen")
    plain = PlainSandbox(toolchains=Toolchains(folders=(), bin_folders=()))

    ended = await plain.run(SandboxCommand(argv=("/bin/cat", "../beside"), workspace=workspace))

    assert ended.stdout == b"seen"


CONFINES_NOTHING = """#!{python}
import json, os, subprocess, sys
descriptor = int(sys.argv[sys.argv.index("--args") + 1])
options = os.read(descriptor, 1 << 20).decode().split("\\0")
def value_of(name):
    return int(options[options.index(name) + 1])
status, start = value_of("--json-status-fd"), value_of("--block-fd")
os.write(status, json.dumps({{"child-pid": os.getpid()}}).encode() + b"\\n")
os.read(start, 1)
os.fchdir(os.open(f"/proc/self/fd/{{value_of('--bind-fd')}}", os.O_RDONLY))
code = subprocess.call(sys.argv[sys.argv.index("--") + 1:], env={{"PATH": "/usr/bin:/bin"}})
os.write(status, json.dumps({{"exit-code": code}}).encode() + b"\\n")
"""


async def test_a_launcher_that_runs_its_child_without_confinement_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake_program(tmp_path, "")
    program.write_text(CONFINES_NOTHING.format(python=sys.executable))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", absent)

    with pytest.raises(SandboxUnavailable, match="read a file outside its workspace"):
        await open_sandbox(SandboxLevel.STRICT)
