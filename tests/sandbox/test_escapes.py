"""Attempts to get out of a sandbox, or to take more than it gives: each must fail at every level that is a boundary.

Each script runs inside and reports what it achieved; what it must not have done is looked for outside as well.
"""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from chargehand.tools.sandbox import Sandbox, SandboxCommand, SandboxLevel
from tests.sandbox.conftest import report_of, run_bash

SECRET = "canary-of-the-host-4711"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the host with a secret that only the service's user may read, as its home folder would hold."""
    folder = tmp_path / "outside"
    folder.mkdir(mode=0o700)
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o600)
    return folder


def stands(*parts: str) -> bool:
    return os.path.exists(os.path.join(*parts))  # noqa: PTH110, PTH118 - false where the test may not look itself


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_nothing_outside_the_workspace_can_be_written(
    confining: Sandbox, workspace: Path, outside: Path
) -> None:
    places = [
        "/",
        "/usr",
        "/etc",
        "/dev",
        "/var",
        "/opt",
        "/root",
        "/home",
        "..",
        str(outside),
        str(workspace.parent),
    ]
    script = f"""
import json, os
def touched(folder):
    try:
        open(os.path.join(folder, "planted-by-a-test"), "w").close()
    except OSError:
        return False
    return True
own = [".", os.environ["HOME"], os.environ["TMPDIR"]]
print(json.dumps([[place for place in {places!r} if touched(place)], [touched(place) for place in own]]))
"""

    escaped, own = await report_of(confining, workspace, script)

    assert (escaped, own) == ([], [True, True, True])
    assert (workspace / "planted-by-a-test").exists()
    assert [place for place in places[:8] if stands(place, "planted-by-a-test")] == []
    assert not (outside / "planted-by-a-test").exists()


async def test_files_outside_can_neither_be_moved_nor_changed_nor_truncated(
    confining: Sandbox, workspace: Path, outside: Path
) -> None:
    secret = outside / "secret"
    script = f"""
import json, os
secret = {str(secret)!r}
def done(act):
    try:
        act()
    except OSError:
        return False
    return True
acts = [
    lambda: os.unlink(secret), lambda: os.rename(secret, "stolen"), lambda: os.truncate(secret, 0),
    lambda: os.chmod(secret, 0o777), lambda: os.chmod(os.path.dirname(secret), 0o777),
    lambda: os.link(secret, "linked"), lambda: os.chown(secret, 0, 0),
    lambda: os.open(secret, os.O_WRONLY), lambda: os.open(os.path.dirname(secret), os.O_TMPFILE | os.O_WRONLY),
    lambda: os.symlink("x", os.path.dirname(secret) + "/link"), lambda: os.mkdir(os.path.dirname(secret) + "/d"),
    lambda: os.setxattr(secret, "user.x", b"1"),
]
print(json.dumps([number for number, act in enumerate(acts) if done(act)]))
"""

    assert await report_of(confining, workspace, script) == []
    assert secret.read_text() == SECRET
    assert (mode_of(secret), mode_of(outside)) == (0o600, 0o700)
    assert names_in(outside) == ["secret"]


async def test_secrets_of_the_host_cannot_be_read(confining: Sandbox, workspace: Path, outside: Path) -> None:
    script = f"""
import json, os
def content(path):
    try:
        with open(path, "rb") as file:
            return file.read(65536).decode(errors="replace")
    except OSError:
        return ""
places = ["/etc/shadow", "/proc/kcore", "/proc/{os.getpid()}/environ", {str(outside / "secret")!r}, "../outside/secret",
          os.path.expanduser("~root/.bashrc"), "/root/.profile", "/proc/{os.getpid()}/mem"]
print(json.dumps([place for place in places if content(place)]))
"""

    assert await report_of(confining, workspace, script) == []


async def test_the_environment_of_the_service_is_nowhere_to_be_found(
    confining: Sandbox, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARGEHAND_TEST_SECRET", SECRET)
    # The pattern is put together inside, so that the search does not find itself.
    script = """
import glob, json
found = []
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline") + ["/proc/self/environ"]:
    try:
        with open(path, "rb") as file:
            if b"canary-of-the-host-" + b"4711" in file.read():
                found.append(path)
    except OSError:
        pass
print(json.dumps(found))
"""

    assert await report_of(confining, workspace, script) == []


async def test_arguments_and_variables_of_a_command_do_not_show_on_the_host(
    confining: Sandbox, workspace: Path
) -> None:
    fifo = workspace / "fifo"
    os.mkfifo(fifo)
    command = SandboxCommand(
        argv=("/bin/sh", "-c", "echo ready; read line < fifo"),
        workspace=workspace,
        environment={"TOKEN": "token-that-must-not-show"},
    )
    shown: list[bytes] = []

    async def look(line: bytes) -> None:
        shown.extend(await asyncio.to_thread(command_lines))
        fifo.write_text("go on\n")

    await confining.run(command, on_stdout_line=look)

    assert shown
    assert not any(b"token-that-must-not-show" in text for text in shown)


def command_lines() -> list[bytes]:
    """What every user of the host can see of all processes."""
    found: list[bytes] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(entry.read_bytes())
    return found


@pytest.fixture
def listeners(outside: Path) -> Iterator[dict[str, Any]]:
    """Sockets of the host that wait for somebody to come."""
    with ExitStack() as stack:

        def listening(family: int, address: Any, kind: int = socket.SOCK_STREAM) -> socket.socket:
            made = stack.enter_context(closing(socket.socket(family, kind)))
            made.bind(address)
            if kind == socket.SOCK_STREAM:
                made.listen()
            made.setblocking(False)
            return made

        # Unix paths are short: the test's own folder is too deep for one.
        here = os.open(outside, os.O_PATH)
        stack.callback(os.close, here)
        yield {
            "tcp4": listening(socket.AF_INET, ("127.0.0.1", 0)),
            "tcp6": listening(socket.AF_INET6, ("::1", 0)),
            "udp": listening(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM),
            "path": listening(socket.AF_UNIX, f"/proc/self/fd/{here}/socket"),
            "abstract": listening(socket.AF_UNIX, f"\0chargehand-test-{os.getpid()}"),
        }


async def test_nothing_on_the_host_or_beyond_can_be_reached(
    confining: Sandbox, workspace: Path, listeners: dict[str, Any]
) -> None:
    ports = {name: listeners[name].getsockname()[1] for name in ("tcp4", "tcp6", "udp")}
    script = f"""
import json, socket
ports = {ports!r}
def tried(family, address, kind=socket.SOCK_STREAM, flags=None):
    try:
        made = socket.socket(family, kind)
        made.settimeout(1)
        if kind == socket.SOCK_DGRAM:
            made.sendto(b"x", address)
        elif flags is not None:
            made.sendto(b"x", flags, address)
        else:
            made.connect(address)
    except OSError:
        return False
    return True
MSG_FASTOPEN = 0x20000000
attempts = {{
    "tcp4": tried(socket.AF_INET, ("127.0.0.1", ports["tcp4"])),
    "mapped": tried(socket.AF_INET6, ("::ffff:127.0.0.1", ports["tcp4"])),
    "tcp6": tried(socket.AF_INET6, ("::1", ports["tcp6"])),
    "any": tried(socket.AF_INET, ("0.0.0.0", ports["tcp4"])),
    "fast open": tried(socket.AF_INET, ("127.0.0.1", ports["tcp4"]), flags=MSG_FASTOPEN),
    "metadata": tried(socket.AF_INET, ("169.254.169.254", 80)),
    "internet": tried(socket.AF_INET, ("1.1.1.1", 443)),
    "path": tried(socket.AF_UNIX, "../outside/socket"),
    "abstract": tried(socket.AF_UNIX, "\\0chargehand-test-{os.getpid()}"),
}}
try:
    tried(socket.AF_INET, ("127.0.0.1", ports["udp"]), socket.SOCK_DGRAM)
except OSError:
    pass
print(json.dumps([name for name, succeeded in attempts.items() if succeeded]))
"""

    assert await report_of(confining, workspace, script) == []
    for name in ("tcp4", "tcp6", "path", "abstract"):
        with pytest.raises(BlockingIOError):
            listeners[name].accept()
    with pytest.raises(BlockingIOError):
        listeners["udp"].recv(10)


async def test_a_server_inside_cannot_be_reached_from_another_machine(
    restricted: Sandbox, workspace: Path
) -> None:
    script = """
import json, socket
made = socket.socket()
made.bind(("0.0.0.0", 0))
made.listen()
unbound = socket.socket()
try:
    unbound.listen()
    refused = False
except PermissionError:
    refused = True
print(json.dumps([made.getsockname()[0], refused]))
"""

    assert await report_of(restricted, workspace, script) == ["127.0.0.1", True]


@pytest.mark.parametrize(
    ("name", "family"),
    [("vsock", 40), ("netlink", 16), ("packet", 17), ("alg", 38), ("xdp", 44), ("bluetooth", 31)],
)
async def test_other_socket_families_do_not_exist(
    confining: Sandbox, workspace: Path, name: str, family: int
) -> None:
    script = f"""
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
print(json.dumps([libc.socket({family}, 1, 0), ctypes.get_errno()]))
"""

    assert await report_of(confining, workspace, script) == [-1, 97], name


async def test_the_kernels_dangerous_calls_are_refused(confining: Sandbox, workspace: Path) -> None:
    script = """
import ctypes, json, platform
libc = ctypes.CDLL(None, use_errno=True)
numbers = {
    "x86_64": dict(unshare=272, mount=165, ptrace=101, keyctl=250, io_uring_setup=425, bpf=321, setns=308,
                   perf_event_open=298, userfaultfd=323, process_vm_readv=310, init_module=175, kexec_load=246,
                   clone3=435, chroot=161, pidfd_getfd=438),
    "aarch64": dict(unshare=97, mount=40, ptrace=117, keyctl=219, io_uring_setup=425, bpf=280, setns=268,
                    perf_event_open=241, userfaultfd=282, process_vm_readv=270, init_module=105, kexec_load=104,
                    clone3=435, chroot=51, pidfd_getfd=438),
}[platform.machine()]
def errno_of(number, *arguments):
    libc.syscall(number, *arguments)
    return ctypes.get_errno()
found = {name: errno_of(number, 0, 0, 0, 0, 0, 0) for name, number in numbers.items()}
clone = {"x86_64": 56, "aarch64": 220}[platform.machine()]
found["clone into a user namespace"] = errno_of(clone, 0x10000000 | 17, 0, 0, 0, 0)
libc.ioctl(0, 0x5412, b"x")
found["TIOCSTI"] = ctypes.get_errno()
print(json.dumps(found))
"""

    found = await report_of(confining, workspace, script)

    assert found.pop("clone3") == 38
    assert set(found.values()) == {1}, found


async def test_nobody_becomes_somebody_else(confining: Sandbox, workspace: Path) -> None:
    shutil.copy("/bin/true", workspace / "copy")
    script = """
import ctypes, json, os, stat
def done(act):
    try:
        act()
    except OSError:
        return False
    return True
def capabilities():
    version = ctypes.create_string_buffer((0x20080522).to_bytes(4, "little") + bytes(4))
    sets = ctypes.create_string_buffer(24)
    assert ctypes.CDLL(None).capget(version, sets) == 0
    return sets.raw.hex().strip("0")
print(json.dumps([
    done(lambda: os.setuid(1)), done(lambda: os.setgroups([0])), done(lambda: os.chmod("copy", 0o4755)),
    done(lambda: os.mknod("device", 0o666 | stat.S_IFBLK, os.makedev(254, 0))),
    capabilities(),
]))
"""

    setuid, setgroups, chmod, mknod, capabilities = await report_of(confining, workspace, script)

    assert (setuid, setgroups, chmod, mknod, capabilities) == (False, False, False, False, "")
    assert not (workspace / "copy").stat().st_mode & 0o6000


async def test_a_link_left_behind_leads_nowhere_inside(confining: Sandbox, workspace: Path) -> None:
    ended = await run_bash(
        confining, workspace, "ln -s /etc/shadow notes.txt; ln -s /proc/self/environ env.txt; cat notes.txt"
    )

    assert ended.stdout == b""
    assert (workspace / "notes.txt").is_symlink()
    follow = await run_bash(confining, workspace, "cat notes.txt")
    assert follow.stdout == b""


async def test_open_files_of_the_service_are_not_inherited(
    confining: Sandbox, workspace: Path, outside: Path
) -> None:
    with (outside / "secret").open() as held:
        os.set_inheritable(held.fileno(), True)
        script = """
import json, os
found = []
for descriptor in range(3, 256):
    try:
        found.append([descriptor, os.fstat(descriptor).st_mode])
    except OSError:
        pass
print(json.dumps(found))
"""

        assert await report_of(confining, workspace, script) == []


async def test_processes_outside_can_be_neither_seen_nor_signalled_nor_limited(
    confining: Sandbox, workspace: Path
) -> None:
    script = f"""
import json, os, resource, signal
def done(act):
    try:
        act()
    except OSError:
        return False
    return True
target = {os.getpid()}
print(json.dumps([
    done(lambda: os.kill(target, 0)), done(lambda: os.kill(os.getppid() or 1, signal.SIGSTOP)),
    done(lambda: resource.prlimit(target, resource.RLIMIT_NOFILE, (10, 10))),
    done(lambda: os.setpriority(os.PRIO_PROCESS, target, 19)), done(lambda: os.sched_setaffinity(target, {{0}})),
]))
"""

    found = await report_of(confining, workspace, script)

    if confining.level is SandboxLevel.STRICT:
        # The parent is the namespace's own first process, which no signal of its members stops.
        found[1] = False
    assert found == [False] * 5


async def test_what_git_would_run_is_never_run_outside(confining: Sandbox, workspace: Path) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("there is no git here")
    marker = workspace / "ran"
    script = """
git init -q . && git config core.fsmonitor "sh -c 'echo inside > ran; id -u >> ran'" && git status > /dev/null 2>&1
cat ran
"""

    ended = await run_bash(confining, workspace, script)

    # It does run, inside: had the service looked with git, the same would have run outside.
    assert ended.stdout.startswith(b"inside")
    marker.unlink()
    await run_bash(confining, workspace, "true")
    assert not marker.exists()
