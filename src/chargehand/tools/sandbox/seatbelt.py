"""Level `seatbelt`: macOS's sandbox-exec with a generated profile. Written from its documentation, untried.

Rule: deny by default. Paths go in as parameters, never as text of the profile, so that no name can change it.
What it cannot do: tell the command's own loopback listeners from the host's.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from chargehand.tools.sandbox.base import Ended, OnLine, SandboxCommand, SandboxLevel
from chargehand.tools.sandbox.environment import Toolchains
from chargehand.tools.sandbox.guard import Guard
from chargehand.tools.sandbox.plain import plain_form
from chargehand.tools.sandbox.request import checked_argv, open_workspace
from chargehand.tools.sandbox.runner_start import run_by_runner
from chargehand.tools.sandbox.scratch import Scratch, scratch_folders

BINARY = Path("/usr/bin/sandbox-exec")

_READABLE_FOLDERS = (
    *("/usr", "/bin", "/sbin", "/System", "/Library/Apple", "/Library/Developer", "/opt/homebrew"),
    *("/private/etc/ssl", "/private/var/db/timezone", "/private/var/db/dyld", "/dev/fd"),
)
_READABLE_FILES = (
    *("/", "/etc", "/tmp", "/var", "/private", "/private/etc/hosts", "/private/etc/localtime"),  # noqa: S108 - macOS links them elsewhere
    *(
        "/private/etc/passwd",
        "/private/etc/protocols",
        "/private/etc/services",
        "/dev/random",
        "/dev/urandom",
    ),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/tty")


@dataclass(slots=True, kw_only=True)
class SeatbeltSandbox:
    """Runs commands through sandbox-exec, below the runner that limits and ends them."""

    toolchains: Toolchains
    level: SandboxLevel = field(default=SandboxLevel.SEATBELT, init=False)

    async def run(self, command: SandboxCommand, *, on_stdout_line: OnLine | None = None) -> Ended:
        """Run the command to its end; see `Sandbox.run`."""
        argv = checked_argv(command)
        os.close(open_workspace(command))
        with scratch_folders() as scratch:
            confined = seatbelt_argv(
                argv,
                writable=[command.workspace.resolve(), scratch.home.resolve(), scratch.temporary.resolve()],
                readable=self.toolchains.folders,
            )
            form = plain_form(command, confined, _resolved(scratch), self.toolchains)
            guard = Guard(limits=command.limits, groups=None, scratch=scratch)
            return await run_by_runner(command, form, guard, on_stdout_line=on_stdout_line)


def seatbelt_argv(argv: Iterable[str], *, writable: Iterable[Path], readable: Iterable[Path]) -> list[str]:
    """The command below sandbox-exec. Paths must be real ones: the kernel compares resolved names."""
    named = {
        **{f"WRITABLE_{number}": str(path) for number, path in enumerate(writable)},
        **{f"READABLE_{number}": str(path) for number, path in enumerate(readable)},
    }
    definitions = [word for name, path in named.items() for word in ("-D", f"{name}={path}")]
    return [str(BINARY), *definitions, "-p", seatbelt_profile(named), *argv]


def seatbelt_profile(names: Iterable[str]) -> str:
    """The policy; `names` are the parameters that stand for the writable and readable folders."""
    ours = list(names)
    write = [f'(subpath (param "{name}"))' for name in ours if name.startswith("WRITABLE_")]
    read = [f'(subpath (param "{name}"))' for name in ours]
    folders = [f'(subpath "{path}")' for path in _READABLE_FOLDERS]
    files = [f'(literal "{path}")' for path in _READABLE_FILES]
    devices = [f'(literal "{path}")' for path in _DEVICES]
    return "\n".join(
        (
            "(version 1)",
            "(deny default)",
            "(allow process-fork)",
            _allow("process-exec", folders, read),
            "(allow signal (target same-sandbox))",
            "(allow process-info* (target same-sandbox))",
            "(allow sysctl-read)",
            "(allow file-read-metadata)",
            _allow("file-read*", folders, files, devices, read),
            _allow("file-write*", write),
            _allow("file-write-data file-ioctl", devices),
            '(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))',
            '(allow network* (local ip "localhost:*"))',
            '(allow network-outbound (remote ip "localhost:*"))',
            _allow("network*", write),
        )
    )


def _allow(operations: str, *filters: Iterable[str]) -> str:
    return f"(allow {operations} {' '.join(part for group in filters for part in group)})"


def _resolved(scratch: Scratch) -> Scratch:
    return Scratch(home=scratch.home.resolve(), temporary=scratch.temporary.resolve())
