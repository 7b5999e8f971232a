"""Finds the sandbox level of this machine by really running a child in each.

Rule: never `none` unless the operator asked for it by name, and never a level whose child read a file that it
must not see.
"""

import asyncio
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chargehand.errors import SandboxUnavailable
from chargehand.tools.sandbox.base import Sandbox, SandboxCommand, SandboxLevel, SandboxLimits
from chargehand.tools.sandbox.bubblewrap import BubblewrapSandbox, find_binaries
from chargehand.tools.sandbox.cgroup import find_group_home
from chargehand.tools.sandbox.environment import Toolchains, find_toolchains
from chargehand.tools.sandbox.job import JobSandbox
from chargehand.tools.sandbox.landlock import landlock_abi
from chargehand.tools.sandbox.plain import PlainSandbox
from chargehand.tools.sandbox.restricted import RestrictedSandbox
from chargehand.tools.sandbox.scratch import private_folder, remove_leftovers
from chargehand.tools.sandbox.seatbelt import SeatbeltSandbox

_CONFINING = (SandboxLevel.STRICT, SandboxLevel.RESTRICTED, SandboxLevel.SEATBELT, SandboxLevel.JOB)
"""From the strongest to the weakest; `none` is not among them."""

_KEEPS_FILES = (SandboxLevel.STRICT, SandboxLevel.RESTRICTED, SandboxLevel.SEATBELT)
"""Levels that are a boundary for files; `job` is none."""

_READY, _LEAKED = b"ready", b"leaked"
_PROBE_LIMITS = SandboxLimits(wall_seconds=20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelReport:
    """Whether a level can be had here, and if not, why."""

    level: SandboxLevel
    is_available: bool
    reason: str


async def open_sandbox(wanted: SandboxLevel | None = None, *, toolchains: Sequence[Path] = ()) -> Sandbox:
    """The wanted level, or the strongest that ran a child here; `toolchains` are further read-only folders.

    Raises `SandboxUnavailable` with what was tried and the way out.
    """
    await asyncio.to_thread(remove_leftovers)
    found = find_toolchains(toolchains)
    failures: list[str] = []
    for level in (wanted,) if wanted is not None else _CONFINING:
        try:
            return await _open(level, found)
        except SandboxUnavailable as error:
            failures.append(f"{level}: {error.message}")
    raise SandboxUnavailable(f"no sandbox can be had here ({'; '.join(failures)}). {_way_out()}")


async def probe_levels() -> list[LevelReport]:
    """Every level with whether it works here, strongest first."""
    toolchains = find_toolchains()
    reports: list[LevelReport] = []
    for level in (*_CONFINING, SandboxLevel.NONE):
        try:
            await _open(level, toolchains)
        except SandboxUnavailable as error:
            reports.append(LevelReport(level=level, is_available=False, reason=error.message))
        else:
            reason = "a child ran in it" if level is not SandboxLevel.NONE else "only when asked for by name"
            reports.append(LevelReport(level=level, is_available=True, reason=reason))
    return reports


async def _open(level: SandboxLevel, toolchains: Toolchains) -> Sandbox:
    failures: list[str] = []
    for sandbox in _candidates(level, toolchains):
        try:
            await _try(sandbox)
        except SandboxUnavailable as error:
            failures.append(error.message)
        else:
            return sandbox
    raise SandboxUnavailable("; ".join(failures))


def _candidates(level: SandboxLevel, toolchains: Toolchains) -> list[Sandbox]:
    """Ways to get the level, best first; raises `SandboxUnavailable` where this system has none."""
    if level is SandboxLevel.STRICT:
        if not sys.platform.startswith("linux"):
            raise SandboxUnavailable("bubblewrap runs on Linux only")
        groups = find_group_home()
        return [
            BubblewrapSandbox(binary=binary, toolchains=toolchains, groups=groups)
            for binary in find_binaries()
        ]
    if level is SandboxLevel.SEATBELT:
        return [_seatbelt(toolchains)]
    if level is SandboxLevel.JOB:
        return [_job(toolchains)]
    if level is SandboxLevel.RESTRICTED:
        return [_restricted(toolchains)]
    if os.name == "nt":
        return [JobSandbox(toolchains=toolchains, level=SandboxLevel.NONE)]
    return [PlainSandbox(toolchains=toolchains)]


def _seatbelt(toolchains: Toolchains) -> Sandbox:
    if sys.platform != "darwin":
        raise SandboxUnavailable("sandbox-exec exists on macOS only")
    return SeatbeltSandbox(toolchains=toolchains)


def _job(toolchains: Toolchains) -> Sandbox:
    if os.name != "nt":
        raise SandboxUnavailable("job objects exist on Windows only")
    return JobSandbox(toolchains=toolchains)


def _restricted(toolchains: Toolchains) -> Sandbox:
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailable("Landlock exists on Linux only")
    version = landlock_abi()
    if version == 0:
        raise SandboxUnavailable(
            "this kernel has no Landlock, or it is switched off (it came with Linux 5.13)"
        )
    return RestrictedSandbox(toolchains=toolchains, groups=find_group_home(), landlock_abi=version)


async def _try(sandbox: Sandbox) -> None:
    """Run a child that tries to read a file beside its workspace."""
    with _probe_folder() as (workspace, secret):
        command = SandboxCommand(argv=_trial(secret), workspace=workspace, limits=_PROBE_LIMITS)
        ended = await sandbox.run(command)
    if _LEAKED in ended.stdout and sandbox.level in _KEEPS_FILES:
        raise SandboxUnavailable("a child read a file outside its workspace")
    if not ended.succeeded or not ended.stdout.rstrip().endswith(_READY):
        told = ended.stderr.decode(errors="replace").strip() or f"it ended by {ended.ended_by}"
        raise SandboxUnavailable(f"a child did not run: {told}")


def _trial(secret: Path) -> tuple[str, ...]:
    """Try to read the secret, then say that the child ran."""
    if os.name == "nt":
        return ("cmd.exe", "/d", "/c", f'type "{secret}" & echo ready')
    return ("/bin/sh", "-c", f"cat '{secret}' 2>/dev/null; cat ../secret 2>/dev/null; printf ready")


@contextmanager
def _probe_folder() -> Generator[tuple[Path, Path]]:
    """A workspace, and beside it a file that no confined child may read."""
    with private_folder() as folder:
        secret, workspace = folder / "secret", folder / "workspace"
        secret.write_bytes(_LEAKED)
        workspace.mkdir()
        yield workspace, secret


def _way_out() -> str:
    if sys.platform.startswith("linux"):
        return (
            "Install bubblewrap (package 'bubblewrap', or 'pip install chargehand[sandbox]') and allow "
            "unprivileged user namespaces, or use a kernel with Landlock (5.13 or later)"
        )
    return "Run the service on Linux, in WSL 2 or in a container"
