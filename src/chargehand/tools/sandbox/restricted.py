"""Level `restricted`: Landlock and supervised system calls, with no namespace and nothing to install.

Rule: what a command may open is a list; what it may connect to is decided one call at a time, by the runner.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from chargehand.tools.sandbox.base import Ended, OnLine, SandboxCommand, SandboxLevel
from chargehand.tools.sandbox.cgroup import GroupHome
from chargehand.tools.sandbox.environment import Toolchains, build_environment
from chargehand.tools.sandbox.guard import Guard
from chargehand.tools.sandbox.limits import process_limits
from chargehand.tools.sandbox.request import checked_argv, open_workspace
from chargehand.tools.sandbox.runner.forms import Form
from chargehand.tools.sandbox.runner_start import run_by_runner
from chargehand.tools.sandbox.scratch import Scratch, scratch_folders
from chargehand.tools.sandbox.seccomp import ASK_SUPERVISOR, build_filter, host_architecture
from chargehand.tools.sandbox.seccomp_profiles import supervised_rules
from chargehand.tools.sandbox.seccomp_table import syscall_number

_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64")
# A file that is there but may not be opened fails programs that would do without it, so the list is generous:
# configuration that holds no secrets, whatever the host.
_ETC = (
    *(
        "alternatives",
        "bash.bashrc",
        "debian_version",
        "fonts",
        "gai.conf",
        "gitconfig",
        "group",
        "host.conf",
    ),
    *("hostname", "hosts", "inputrc", "java", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias"),
    *("locale.conf", "localtime", "lsb-release", "magic", "mime.types", "networks"),
    *("nsswitch.conf", "os-release", "passwd", "perl", "pki/tls", "profile", "profile.d", "protocols"),
    *("resolv.conf", "rpc", "services", "shells", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone"),
    *("vim", "xdg"),
)
_PROC = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version")
_READABLE = (
    *(f"/{name}" for name in _SYSTEM),
    *(f"/etc/{name}" for name in _ETC),
    *(f"/proc/{name}" for name in _PROC),
    "/sys/devices/system/cpu",
)
_DEVICES = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")]


@dataclass(slots=True, kw_only=True)
class RestrictedSandbox:
    """Runs commands through the runner, confined by the kernel's Landlock."""

    toolchains: Toolchains
    groups: GroupHome | None
    landlock_abi: int
    """The version to use: the kernel's, or an older one."""
    may_take_sockets: bool = True
    """Whether to try it; where it is forbidden, sockets are replaced all the same."""
    level: SandboxLevel = field(default=SandboxLevel.RESTRICTED, init=False)
    _filter: str = field(init=False, repr=False)
    _calls: list[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rules = supervised_rules(landlock_abi=self.landlock_abi, memory_is_counted=self.groups is not None)
        architecture = host_architecture()
        self._filter = build_filter(rules, architecture).hex()
        asked = {rule.syscall for rule in rules if rule.action == ASK_SUPERVISOR}
        self._calls = [
            f"{number}={name}" for name in asked if (number := syscall_number(name, architecture)) is not None
        ]

    async def run(self, command: SandboxCommand, *, on_stdout_line: OnLine | None = None) -> Ended:
        """Run the command to its end; see `Sandbox.run`."""
        argv = checked_argv(command)
        os.close(open_workspace(command))
        with scratch_folders() as scratch:
            form = self._form(command, argv, scratch)
            guard = Guard(limits=command.limits, groups=self.groups, scratch=scratch)
            return await run_by_runner(command, form, guard, on_stdout_line=on_stdout_line)

    def _form(self, command: SandboxCommand, argv: list[str], scratch: Scratch) -> Form:
        workspace = command.workspace.resolve()
        environment = build_environment(
            home=str(scratch.home),
            temporary=str(scratch.temporary),
            bin_folders=self.toolchains.bin_folders,
            added=command.environment,
        )
        limits = process_limits(command.limits, count_processes=False)
        readable = [*_READABLE, *map(str, self.toolchains.folders)]
        return {
            "mode": ["restricted"],
            "argv": argv,
            "names": list(environment),
            "values": list(environment.values()),
            "cwd": [str(workspace / command.cwd)],
            "limits": [f"{name} {soft} {hard}" for name, (soft, hard) in limits.items()],
            "readable": [path for path in readable if Path(path).exists()],
            "writable": [str(workspace), str(scratch.home), str(scratch.temporary)],
            "devices": [path for path in _DEVICES if Path(path).exists()],
            "landlock": [str(self.landlock_abi)],
            "filter": [self._filter],
            "calls": self._calls,
            "sockets": ["taken" if self.may_take_sockets else "replaced"],
            "processes": [str(command.limits.processes)],
        }
