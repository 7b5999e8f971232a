"""What `restricted` allows inside, and that it holds on kernels whose Landlock knows less."""

import json
import os
import socket
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from chargehand.tools.sandbox import EndedBy, Sandbox, SandboxCommand
from chargehand.tools.sandbox.landlock import landlock_abi
from chargehand.tools.sandbox.restricted import RestrictedSandbox
from tests.sandbox.conftest import output_of, run_bash, run_python


@pytest.fixture(params=[1, 2, 3, 5])
def older(request: pytest.FixtureRequest, restricted: Sandbox) -> RestrictedSandbox:
    """The sandbox as it is where the kernel has an older Landlock."""
    assert isinstance(restricted, RestrictedSandbox)
    if request.param > landlock_abi():
        pytest.skip(f"this kernel's Landlock is older than version {request.param}")
    return RestrictedSandbox(
        toolchains=restricted.toolchains, groups=restricted.groups, landlock_abi=request.param
    )


@pytest.fixture(params=["taken", "replaced"])
def networked(request: pytest.FixtureRequest, restricted: Sandbox) -> RestrictedSandbox:
    """The sandbox on a host, and as it is in containers that forbid taking another process's socket."""
    assert isinstance(restricted, RestrictedSandbox)
    return replace(restricted, may_take_sockets=request.param == "taken")


async def test_sockets_of_the_commands_own_work(networked: Sandbox, workspace: Path) -> None:
    script = """
import os, socket, threading
def both_ways(family, address):
    server = socket.socket(family)
    server.bind(address)
    server.listen()
    client = socket.socket(family)
    client.connect(server.getsockname() if family != socket.AF_UNIX else address)
    accepted, _ = server.accept()
    client.sendall(b"there"); assert accepted.recv(10) == b"there"
    accepted.sendall(b"back"); assert client.recv(10) == b"back"
both_ways(socket.AF_INET, ("127.0.0.1", 0))
both_ways(socket.AF_INET, ("0.0.0.0", 0))
both_ways(socket.AF_INET6, ("::1", 0))
both_ways(socket.AF_UNIX, "socket")
both_ways(socket.AF_UNIX, os.path.join(os.environ["TMPDIR"], "socket"))
both_ways(socket.AF_UNIX, "\\0abstract-of-a-test")
a, b = socket.socketpair(); a.sendall(b"x"); assert b.recv(1) == b"x"
print("all")
"""

    assert output_of(await run_python(networked, workspace, script)) == "all\n"


async def test_a_connection_that_nobody_takes_up_is_refused(networked: Sandbox, workspace: Path) -> None:
    script = """
import socket
bound = socket.socket(); bound.bind(("127.0.0.1", 0))
try:
    socket.create_connection(bound.getsockname(), 5)
except ConnectionRefusedError:
    print("refused")
"""

    assert output_of(await run_python(networked, workspace, script)) == "refused\n"


async def test_a_listener_of_its_own_opens_no_way_out_on_the_same_port(
    networked: Sandbox, workspace: Path
) -> None:
    script = """
import socket
mine = socket.socket(); mine.bind(("127.0.0.1", 0)); mine.listen()
for host in ("192.0.2.1", "169.254.169.254"):
    try:
        socket.create_connection((host, mine.getsockname()[1]), 1)
    except OSError as error:
        print(error.errno)
"""

    assert output_of(await run_python(networked, workspace, script)).split() == ["101", "101"]


async def test_an_event_loop_with_its_server_works(networked: Sandbox, workspace: Path) -> None:
    script = """
import asyncio
async def greet(reader, writer):
    writer.write(b"hello " + await reader.readline()); writer.close()
async def main():
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async def ask(number):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"%d\\n" % number)
        return await reader.read()
    answers = await asyncio.gather(*(ask(number) for number in range(30)))
    print(len(set(answers)))
asyncio.run(main())
"""

    assert output_of(await run_python(networked, workspace, script)) == "30\n"


async def test_a_port_is_free_again_when_its_listener_is_closed(networked: Sandbox, workspace: Path) -> None:
    script = """
import socket
def listening(port):
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.listen()
    return made
first = listening(0)
port = first.getsockname()[1]
try:
    listening(port)
except OSError as error:
    print(error.errno)
first.close()
try:
    socket.create_connection(("127.0.0.1", port), 2)
except ConnectionRefusedError:
    print("refused")
second = listening(port)
socket.create_connection(("127.0.0.1", port), 2)
print("again")
"""

    assert output_of(await run_python(networked, workspace, script)).split() == ["98", "refused", "again"]


async def test_a_host_that_takes_the_port_over_is_not_reached(networked: Sandbox, workspace: Path) -> None:
    # The command once listened on the port; now a service of the host does.
    script = """
import os, socket, sys
mine = socket.socket(); mine.bind(("127.0.0.1", 0)); mine.listen()
port = mine.getsockname()[1]
mine.close()
print(port, flush=True)
while not os.path.exists("taken"):
    pass
try:
    socket.create_connection(("127.0.0.1", port), 2)
except OSError as error:
    print(type(error).__name__)
"""
    with closing(socket.socket()) as host:

        async def take(line: bytes) -> None:
            if line.strip().isdigit():
                host.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                host.bind(("127.0.0.1", int(line)))
                host.listen()
                (workspace / "taken").touch()

        command = SandboxCommand(argv=("python", "-c", script), workspace=workspace)
        ended = await networked.run(command, on_stdout_line=take)

        assert ended.stdout.split()[1:] == [b"ConnectionRefusedError"], ended.stderr
        host.setblocking(False)
        with pytest.raises(BlockingIOError):
            host.accept()


async def test_modes_change_inside_the_workspace_by_every_name(
    restricted: Sandbox, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "target").write_text("")
    (tmp_path / "target").chmod(0o600)
    (workspace / "out").symlink_to(tmp_path / "target")
    script = """
import json, os
open("file", "w").close(); os.mkdir("folder"); open("folder/below", "w").close()
def refused(act):
    try:
        act()
    except PermissionError:
        return True
    return False
os.chmod("file", 0o711)
here = os.open("folder", os.O_RDONLY)
os.chmod("below", 0o722, dir_fd=here)
os.fchmod(os.open("folder", os.O_RDONLY), 0o755)
modes = [oct(os.stat(path).st_mode & 0o7777) for path in ("file", "folder/below", "folder")]
print(json.dumps([modes, refused(lambda: os.chmod("out", 0o777)), refused(lambda: os.chmod("../target", 0o777)),
                  refused(lambda: os.chmod("/etc/hosts", 0o777))]))
"""

    modes, *refusals = json.loads(output_of(await run_python(restricted, workspace, script)))

    assert modes == ["0o711", "0o722", "0o755"]
    assert refusals == [True, True, True]
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o600


async def test_a_name_that_changes_while_it_is_judged_never_leads_outside(
    restricted: Sandbox, workspace: Path, tmp_path: Path
) -> None:
    # A thread exchanges the path's own bytes while the main thread asks to change the mode behind it.
    outside = tmp_path / "target"
    outside.write_text("")
    outside.chmod(0o600)
    script = f"""
import ctypes, threading
libc = ctypes.CDLL(None)
inside, out = b"inside".ljust(64, b"\\0"), {str(outside)!r}.encode().ljust(256, b"\\0")
open("inside", "w").close()
path = ctypes.create_string_buffer(256)
stop = False
def exchange():
    while not stop:
        ctypes.memmove(path, out, 256); ctypes.memmove(path, inside, 64)
thread = threading.Thread(target=exchange); thread.start()
changed = sum(libc.chmod(path, 0o777) == 0 for _ in range(2000))
stop = True
thread.join()
print(changed > 0)
"""

    ended = await run_python(restricted, workspace, script)

    assert ended.stdout == b"True\n", ended.stderr
    assert outside.stat().st_mode & 0o777 == 0o600


async def test_older_kernels_neither_truncate_nor_signal_outside(
    older: RestrictedSandbox, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("content")
    script = f"""
import json, os, signal
def done(act):
    try:
        act()
    except OSError:
        return False
    return True
print(json.dumps([
    done(lambda: os.truncate("../kept", 0)), done(lambda: os.truncate({str(tmp_path / "kept")!r}, 0)),
    done(lambda: os.kill({os.getpid()}, 0)), done(lambda: os.kill(os.getppid(), 0)), done(lambda: os.kill(-1, 0)),
    done(lambda: os.kill(-{os.getpgid(0)}, 0)), done(lambda: os.killpg({os.getpgid(0)}, 0)),
    done(lambda: signal.pidfd_send_signal(os.pidfd_open({os.getpid()}), 0)),
]))
"""

    achieved = json.loads(output_of(await run_python(older, workspace, script)))

    assert achieved == [False] * 8
    assert (tmp_path / "kept").read_text() == "content"


async def test_on_older_kernels_a_command_still_signals_its_own(
    older: RestrictedSandbox, workspace: Path
) -> None:
    script = """
sleep 60 & kill -TERM $!; wait $!; echo $?
trap 'echo heard' USR1; kill -USR1 $$
(set -m; sleep 60 & kill -KILL -- -$!; wait $!; echo $?)
timeout 0.1 sleep 60; echo $?
"""

    ended = await run_bash(older, workspace, script)

    assert ended.stdout.split() == [b"143", b"heard", b"137", b"124"], ended.stderr


async def test_on_older_kernels_files_are_made_moved_and_removed_inside(
    older: RestrictedSandbox, workspace: Path
) -> None:
    script = "mkdir a b; echo x > a/f; cp a/f b/g; mv b/g b/h; : > a/f; rm a/f; rmdir a; cat b/h"

    assert output_of(await run_bash(older, workspace, script)) == "x\n"


async def test_the_last_process_that_fits_is_born_and_the_next_is_not(
    restricted: Sandbox, workspace: Path
) -> None:
    assert isinstance(restricted, RestrictedSandbox)
    by_the_supervisor_alone = replace(restricted, groups=None)
    script = """
import os, signal
born = 0
try:
    while True:
        if os.fork() == 0:
            signal.pause()
        born += 1
except BlockingIOError:
    print(born)
"""

    ended = await run_python(by_the_supervisor_alone, workspace, script, processes=20)

    assert (ended.ended_by, ended.stdout) == (EndedBy.EXIT, b"19\n")


async def test_short_lived_processes_do_not_use_the_limit_up(restricted: Sandbox, workspace: Path) -> None:
    ended = await run_bash(
        restricted, workspace, "for n in $(seq 200); do /bin/true || exit 1; done; echo all", processes=8
    )

    assert output_of(ended) == "all\n"


async def test_a_daemon_that_ends_first_is_no_zombie_against_the_limit(
    restricted: Sandbox, workspace: Path
) -> None:
    script = "for n in $(seq 40); do (setsid sh -c : &); sleep 0.03; done; echo all"

    ended = await run_bash(restricted, workspace, script, processes=16)

    assert (ended.ended_by, ended.stdout) == (EndedBy.EXIT, b"all\n"), ended.stderr
