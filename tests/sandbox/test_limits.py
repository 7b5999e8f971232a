"""Attempts to take more than a sandbox gives: processor time, memory, processes, files, descriptors.

Where a limit shows itself depends on what the machine allows: a refused call, or the end of the whole tree.
"""

from pathlib import Path

from chargehand.tools.sandbox import EndedBy, Sandbox, SandboxLevel
from tests.sandbox.conftest import MIB, report_of, run_bash, run_python


async def test_a_fork_bomb_stops_at_the_limit(confining: Sandbox, workspace: Path) -> None:
    script = """
import json, os, signal, time
born = []
for _ in range(5000):
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        signal.pause()
    born.append(pid)
time.sleep(0.5)  # more than the limit may be there for a moment, not for longer
print(json.dumps(len(born)), flush=True)
"""

    ended = await run_python(confining, workspace, script, processes=64)

    if ended.ended_by is EndedBy.EXIT:
        assert 0 < int(ended.stdout) <= 64
    else:
        assert ended.ended_by is EndedBy.PROCESSES


async def test_threads_count_as_processes(confining: Sandbox, workspace: Path) -> None:
    script = """
import json, threading, time
started = 0
go_on = threading.Event()
try:
    for _ in range(500):
        threading.Thread(target=go_on.wait, daemon=True).start()
        started += 1
        time.sleep(0.002)
except RuntimeError:
    pass
print(json.dumps(started), flush=True)
"""

    ended = await run_python(confining, workspace, script, processes=64)

    assert ended.ended_by is EndedBy.PROCESSES or int(ended.stdout) <= 64


async def test_memory_ends_at_the_limit(confining: Sandbox, workspace: Path) -> None:
    script = """
import json
taken = []
try:
    while len(taken) < 128:
        taken.append(bytearray(16 << 20))
except MemoryError:
    print(json.dumps(len(taken)), flush=True)
"""

    ended = await run_python(confining, workspace, script, memory_bytes=256 * MIB)

    assert ended.ended_by is EndedBy.MEMORY or int(ended.stdout) <= 16


SHARED_MEMORY = """
import mmap
shared = mmap.mmap(-1, 1 << 30)
for page in range(0, 1 << 30, 4096):
    shared[page] = 1
print("all of it")
"""


async def test_shared_memory_ends_at_the_limit(confining: Sandbox, workspace: Path) -> None:
    ended = await run_python(confining, workspace, SHARED_MEMORY, memory_bytes=200 * MIB)

    assert (ended.ended_by, ended.stdout) == (EndedBy.MEMORY, b"")


async def test_many_processes_share_one_limit_of_memory(confining: Sandbox, workspace: Path) -> None:
    script = """
import os, signal
for _ in range(6):
    if os.fork() == 0:
        taken = bytearray(b"x") * (60 << 20)
        signal.pause()
signal.pause()
"""

    ended = await run_python(confining, workspace, script, memory_bytes=200 * MIB)

    assert ended.ended_by is EndedBy.MEMORY


async def test_files_end_at_their_limit(confining: Sandbox, workspace: Path) -> None:
    places = '"$TMPDIR/big" big' + (" /dev/shm/big" if confining.level is SandboxLevel.STRICT else "")
    script = f"for place in {places}; do (head -c 100000000 /dev/zero > $place); stat -c %s $place; rm $place; done"

    ended = await run_bash(confining, workspace, script, file_bytes=16 * MIB, scratch_bytes=64 * MIB)

    assert {int(size) for size in ended.stdout.split()} == {16 * MIB}


async def test_many_files_in_the_private_folders_end_at_their_size(
    confining: Sandbox, workspace: Path
) -> None:
    script = """
import os, time
for number in range(100):
    try:
        with open(os.path.join(os.environ["TMPDIR"], str(number)), "wb") as file:
            file.write(bytes(1 << 20))
    except OSError as error:
        print(error.strerror)
        break
    time.sleep(0.02)
"""

    ended = await run_python(confining, workspace, script, scratch_bytes=8 * MIB)

    assert ended.ended_by is EndedBy.DISK or ended.stdout == b"No space left on device\n"


async def test_processor_time_ends_at_the_limit(confining: Sandbox, workspace: Path) -> None:
    ended = await run_python(confining, workspace, "while True: pass", cpu_seconds=1)

    assert (ended.ended_by, ended.signal, ended.exit_code) == (EndedBy.CPU, 24, 152)
    assert ended.duration_seconds < 10


async def test_open_files_end_at_the_limit(confining: Sandbox, workspace: Path) -> None:
    script = """
import errno, json
held = []
try:
    while len(held) < 5000:
        held.append(open("/dev/null"))
except OSError as error:
    print(json.dumps([len(held), error.errno == errno.EMFILE]))
"""

    count, is_limit = await report_of(confining, workspace, script, open_files=256)

    assert (count, is_limit) == (253, True)
