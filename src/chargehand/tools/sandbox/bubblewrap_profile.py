"""What a command sees at level `strict`, as options of bubblewrap.

Rule: deny by default. Nothing of the host is there but what stands here: the system's programs, the
toolchains, a handful of files below /etc, the workspace. Only the workspace, HOME and TMPDIR can be written.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from chargehand.tools.sandbox.base import MIB, SandboxLimits

WORKSPACE = "/workspace"
HOME = "/home/user"
TEMPORARY = "/tmp"  # noqa: S108 - a private file system inside the sandbox

_USER_ID = "1000"
_SHARED_MEMORY_BYTES = 64 * MIB
_ETC_OF_THE_HOST = (
    "ld.so.cache",
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "localtime",
    "pki/tls/certs",
)
_ETC_OF_OURS = {
    "passwd": f"user:x:{_USER_ID}:{_USER_ID}::{HOME}:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "group": f"user:x:{_USER_ID}:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_SYSTEM_LINKS = ("bin", "sbin", "lib", "lib64", "lib32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """Open descriptors that bubblewrap reads: they must be passed on to it."""

    workspace: int
    seccomp: int
    status: int
    start: int
    etc: Mapping[str, int]


def etc_files() -> dict[str, bytes]:
    """The files below /etc that every command finds, by name."""
    return {name: text.encode() for name, text in _ETC_OF_OURS.items()}


def packed(options: Iterable[str]) -> bytes:
    """Options as bubblewrap reads them from a descriptor."""
    return b"".join(os.fsencode(option) + b"\0" for option in options)


def system_options() -> list[str]:
    """The first part, alike for all commands. Later options build on earlier ones, so that order matters."""
    return [*_namespaces(), *_system(), *_etc_of_the_host(), *_devices()]


def private_options(limits: SandboxLimits) -> list[str]:
    """HOME and TMPDIR; before the toolchains, which may lie below a folder of the same name."""
    return [
        *("--size", str(limits.scratch_bytes), "--tmpfs", TEMPORARY),
        *("--size", str(max(1, limits.scratch_bytes // 4)), "--perms", "0700", "--tmpfs", HOME),
    ]


def toolchain_options(folders: Iterable[Path]) -> list[str]:
    """Each folder where the host has it; one that is a link there is one here."""
    options: list[str] = []
    for folder in sorted(folders):
        if folder.is_symlink():
            options += ["--symlink", str(folder.resolve()), str(folder)]
        else:
            options += ["--ro-bind", str(folder), str(folder)]
    return options


def workspace_options(descriptors: Descriptors, *, environment: Mapping[str, str], cwd: str) -> list[str]:
    """The last part: the workspace, the command's variables, and the descriptors that are waited on."""
    return [
        *_etc_of_ours(descriptors.etc),
        *("--bind-fd", str(descriptors.workspace), WORKSPACE),
        *("--remount-ro", "/"),
        *("--chdir", str(PurePosixPath(WORKSPACE, cwd))),
        *(part for name, value in environment.items() for part in ("--setenv", name, value)),
        *("--seccomp", str(descriptors.seccomp)),
        *("--json-status-fd", str(descriptors.status)),
        *("--block-fd", str(descriptors.start)),
    ]


def _namespaces() -> list[str]:
    unshared = ["user", "pid", "net", "ipc", "uts", "cgroup-try"]
    return [
        *(f"--unshare-{name}" for name in unshared),
        "--disable-userns",
        *("--uid", _USER_ID, "--gid", _USER_ID, "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"),
    ]


def _system() -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM_LINKS:
        folder = Path("/", name)
        if folder.is_symlink():
            options += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            options += ["--ro-bind", str(folder), str(folder)]
    return options


def _etc_of_the_host() -> list[str]:
    options = ["--dir", "/etc"]
    for name in _ETC_OF_THE_HOST:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"] if Path("/etc", name).exists() else []
    return options


def _etc_of_ours(files: Mapping[str, int]) -> list[str]:
    return [
        part
        for name, descriptor in files.items()
        for part in ("--perms", "0444", "--file", str(descriptor), f"/etc/{name}")
    ]


def _devices() -> list[str]:
    # The /dev that bubblewrap makes is a file system without a size until it is made read-only.
    return [
        *("--proc", "/proc", "--dev", "/dev"),
        *("--size", str(_SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"),  # noqa: S108 - inside the sandbox
        *("--remount-ro", "/dev"),
    ]
