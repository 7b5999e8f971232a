"""However a command ends, nothing of it lives a second longer.

A process inside holds the writing end of a named pipe in the workspace: its reading end, outside, sees the end of
the stream when the last such process is dead.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chargehand.errors import SandboxUnavailable
from chargehand.tools.sandbox import EndedBy, Sandbox, SandboxLevel, open_sandbox
from tests.sandbox.conftest import run_python

ALIVE_SECONDS = 1.0

DAEMON = """
import os, signal
heard, told = os.pipe()
def daemon():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.setsid()
    if os.fork():
        os._exit(0)
    held = os.open("alive", os.O_WRONLY)
    os.write(held, b"up")
    os.write(told, b"!")
    {close}
    while True:
        signal.pause()
if os.fork() == 0:
    daemon()
os.read(heard, 1)  # from here on the daemon is there
os.wait()
"""

CLOSES_ITS_PIPES = "os.closerange(0, held)"
KEEPS_ITS_PIPES = "pass"


class Alive:
    """The reading end of the pipe that processes inside hold open."""

    def __init__(self, workspace: Path) -> None:
        self.path = workspace / "alive"
        os.mkfifo(self.path)
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    async def wait_until_up(self) -> None:
        await asyncio.wait_for(self._next(), 10)

    async def wait_until_dead(self) -> float:
        """Seconds until the end of the stream."""
        begun = time.monotonic()
        while await asyncio.wait_for(self._next(), 10):
            pass
        return time.monotonic() - begun

    def close(self) -> None:
        os.close(self._descriptor)

    async def _next(self) -> bytes:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._descriptor)
        return os.read(self._descriptor, 100)


@pytest.fixture
def alive(workspace: Path) -> Iterator[Alive]:
    made = Alive(workspace)
    yield made
    made.close()


@pytest.mark.parametrize("pipes", [CLOSES_ITS_PIPES, KEEPS_ITS_PIPES], ids=["closed", "held"])
async def test_a_daemon_is_dead_when_its_command_has_ended(
    sandbox: Sandbox, workspace: Path, alive: Alive, pipes: str
) -> None:
    script = DAEMON.format(close=pipes) + "\nprint('ended')\n"
    waiting = asyncio.create_task(alive.wait_until_up())

    ended = await run_python(sandbox, workspace, script)
    await waiting

    assert (ended.ended_by, ended.stdout) == (EndedBy.EXIT, b"ended\n")
    assert await alive.wait_until_dead() < ALIVE_SECONDS


async def test_a_time_out_ends_those_too_that_ignore_signals(
    sandbox: Sandbox, workspace: Path, alive: Alive
) -> None:
    script = DAEMON.format(close=KEEPS_ITS_PIPES) + "\nwhile True: signal.pause()\n"
    waiting = asyncio.create_task(alive.wait_until_up())

    ended = await run_python(sandbox, workspace, script, wall_seconds=1.0)
    await waiting

    assert (ended.ended_by, ended.exit_code, ended.signal) == (EndedBy.TIMEOUT, None, 9)
    assert 1.0 <= ended.duration_seconds < 2.5
    assert await alive.wait_until_dead() < ALIVE_SECONDS


async def test_cancelling_the_caller_ends_the_whole_tree(
    sandbox: Sandbox, workspace: Path, alive: Alive
) -> None:
    script = DAEMON.format(close=KEEPS_ITS_PIPES) + "\nwhile True: signal.pause()\n"
    running = asyncio.create_task(run_python(sandbox, workspace, script))
    await alive.wait_until_up()

    running.cancel()
    begun = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert time.monotonic() - begun < ALIVE_SECONDS
    assert await alive.wait_until_dead() < ALIVE_SECONDS


async def test_cancelling_while_the_command_is_being_started_leaves_nothing(
    sandbox: Sandbox, workspace: Path
) -> None:
    before = children()
    for delay_seconds in (0, 0.001, 0.003, 0.01, 0.03):
        running = asyncio.create_task(run_python(sandbox, workspace, "import time; time.sleep(60)"))
        await asyncio.sleep(delay_seconds)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert children() == before


def children() -> set[str]:
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= set((task / "children").read_text().split())
    return found


async def test_an_overstepped_limit_ends_the_whole_tree(
    confining: Sandbox, workspace: Path, alive: Alive
) -> None:
    script = (
        DAEMON.format(close=KEEPS_ITS_PIPES)
        + """
import mmap
shared = mmap.mmap(-1, 1 << 30)
for page in range(0, 1 << 30, 4096):
    shared[page] = 1
"""
    )
    waiting = asyncio.create_task(alive.wait_until_up())

    ended = await run_python(confining, workspace, script, memory_bytes=200 << 20)
    await waiting

    assert ended.ended_by is EndedBy.MEMORY
    assert await alive.wait_until_dead() < ALIVE_SECONDS


SERVICE = """
import asyncio, sys
from pathlib import Path
from chargehand.tools.sandbox import SandboxCommand, SandboxLevel, open_sandbox
async def main():
    sandbox = await open_sandbox(SandboxLevel(sys.argv[1]))
    await sandbox.run(SandboxCommand(argv=("python", "-c", sys.argv[3]), workspace=Path(sys.argv[2])))
asyncio.run(main())
"""


async def test_a_killed_service_takes_its_commands_along(
    sandbox: Sandbox, workspace: Path, alive: Alive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # looked up anew
    script = DAEMON.format(close=CLOSES_ITS_PIPES) + "\nwhile True: signal.pause()\n"
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, sandbox.level.value, str(workspace), script
    )
    try:
        await alive.wait_until_up()
    finally:
        service.kill()
        await service.wait()

    assert await alive.wait_until_dead() < ALIVE_SECONDS
    # What it could not remove any more, the next service removes.
    await open_sandbox(SandboxLevel.NONE)
    assert sorted(os.listdir(tmp_path)) == ["workspace"]  # noqa: PTH208 - the names alone


async def test_a_runner_that_is_killed_is_an_error_and_leaves_nothing(
    restricted: Sandbox, workspace: Path, alive: Alive
) -> None:
    before = children()
    running = asyncio.create_task(
        run_python(restricted, workspace, DAEMON.format(close=CLOSES_ITS_PIPES) + "\nsignal.pause()")
    )
    await alive.wait_until_up()

    for pid in children() - before:
        os.kill(int(pid), signal.SIGKILL)

    with pytest.raises(SandboxUnavailable, match="runner"):
        await running
    assert await alive.wait_until_dead() < ALIVE_SECONDS
