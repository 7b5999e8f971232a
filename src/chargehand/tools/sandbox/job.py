"""Level `job`: a Windows job object, by a runner that puts itself into it. Untried on Windows.

Rule: it bounds memory, processes and time, and ends the whole tree; it is no boundary for files or network.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from chargehand.errors import InvalidInput, SandboxUnavailable
from chargehand.tools.sandbox.attend import CHUNK_BYTES, Attended
from chargehand.tools.sandbox.base import Ended, EndedBy, OnLine, SandboxCommand, SandboxLevel
from chargehand.tools.sandbox.environment import Toolchains, checked_variables
from chargehand.tools.sandbox.outcome import ended
from chargehand.tools.sandbox.output import Capture, LineCutter
from chargehand.tools.sandbox.request import checked_argv
from chargehand.tools.sandbox.runner.forms import Form, encode
from chargehand.tools.sandbox.runner.windows_job import NOT_LIMITED
from chargehand.tools.sandbox.scratch import Scratch, scratch_folders

_FOLDER = str(Path(__file__).parent)
_START = "import sys; sys.path.append(sys.argv[1]); from runner.windows_job import main; main()"
_NEEDED = ("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "NUMBER_OF_PROCESSORS")
"""Variables without which programs do not start on Windows; none of them is a secret."""

_PIPE_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class JobSandbox:
    """Runs commands in a job object."""

    toolchains: Toolchains
    level: SandboxLevel = SandboxLevel.JOB

    async def run(self, command: SandboxCommand, *, on_stdout_line: OnLine | None = None) -> Ended:
        """Run the command to its end; see `Sandbox.run`."""
        argv = checked_argv(command)
        folder = folder_inside(command)
        if not isinstance(command.stdin, bytes):
            raise SandboxUnavailable(
                "the sandbox level job cannot hold a conversation with a command; nothing was run"
            )
        with scratch_folders() as scratch:
            added = checked_variables(command.environment)
            environment = windows_environment(os.environ, scratch, self.toolchains, added)
            form_file = scratch.home.parent / "form"
            await asyncio.to_thread(
                form_file.write_bytes, encode(job_form(command, argv, folder, environment))
            )
            runner = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _START, _FOLDER, str(form_file), str(os.getpid())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
            )
            attended = await _attended(runner, command, on_stdout_line)
        if attended.returncode == NOT_LIMITED and attended.killed_for is None:
            said = attended.stderr.decode(errors="replace").strip()
            raise SandboxUnavailable(f"the job object could not be set up: {said}; nothing was run")
        return ended(attended, exit_code=None if attended.killed_for else attended.returncode)


def folder_inside(command: SandboxCommand) -> str:
    """The folder to start in; `InvalidInput` when it is not in the workspace."""
    cwd = PureWindowsPath(command.cwd)
    if cwd.drive or cwd.root or ".." in cwd.parts or "\0" in command.cwd:
        raise InvalidInput(f"the folder {command.cwd!r} is not in the workspace: give a path relative to it")
    folder = command.workspace / command.cwd
    if not folder.is_dir():
        raise InvalidInput(f"the workspace has no folder {command.cwd!r}")
    return str(folder)


def windows_environment(
    own: Mapping[str, str], scratch: Scratch, toolchains: Toolchains, added: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a command: what Windows itself needs, and nothing else of the service's."""
    needed = {name: own[name] for name in _NEEDED if name in own}
    root = needed.get("SYSTEMROOT", r"C:\Windows")
    system = [rf"{root}\System32", root, rf"{root}\System32\WindowsPowerShell\v1.0"]
    return {
        **needed,
        "PATH": ";".join([*map(str, toolchains.bin_folders), *system]),
        "HOME": str(scratch.home),
        "USERPROFILE": str(scratch.home),
        "TEMP": str(scratch.temporary),
        "TMP": str(scratch.temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        **added,
    }


def job_form(command: SandboxCommand, argv: list[str], folder: str, environment: Mapping[str, str]) -> Form:
    """What the runner needs to know."""
    return {
        "argv": argv,
        "names": list(environment),
        "values": list(environment.values()),
        "cwd": [folder],
        "cpu_seconds": [str(command.limits.cpu_seconds)],
        "memory_bytes": [str(command.limits.memory_bytes)],
        "processes": [str(command.limits.processes)],
    }


async def _attended(
    runner: asyncio.subprocess.Process, command: SandboxCommand, on_stdout_line: OnLine | None
) -> Attended:
    """Stay with the runner to its end. Killing it closes the job, which ends all that is in it."""
    started = time.monotonic()
    stdout, stderr = Capture(command.limits.output_bytes), Capture(command.limits.output_bytes)
    lines = LineCutter(command.limits.output_bytes)
    work = [
        asyncio.create_task(_drain(runner.stdout, stdout, lines, on_stdout_line)),
        asyncio.create_task(_drain(runner.stderr, stderr, lines, None)),
        asyncio.create_task(_feed(runner.stdin, command.stdin if isinstance(command.stdin, bytes) else b"")),
    ]
    ending = asyncio.create_task(runner.wait())
    try:
        await asyncio.wait(
            {ending, *work}, timeout=command.limits.wall_seconds, return_when=asyncio.FIRST_EXCEPTION
        )
    finally:
        killed_for = None if ending.done() else EndedBy.TIMEOUT
        if not ending.done():
            runner.kill()
        await asyncio.wait({ending, *work}, timeout=_PIPE_SECONDS)
        for task in (ending, *work):
            task.cancel()
        ends = await asyncio.gather(*work, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
    return Attended(
        returncode=runner.returncode,
        killed_for=killed_for,
        stdout=stdout.kept,
        stderr=stderr.kept,
        dropped_bytes=stdout.dropped_bytes + stderr.dropped_bytes,
        duration_seconds=time.monotonic() - started,
    )


async def _drain(
    reader: asyncio.StreamReader | None, capture: Capture, lines: LineCutter, listen: OnLine | None
) -> None:
    while reader is not None and (chunk := await reader.read(CHUNK_BYTES)):
        capture.feed(chunk)
        if listen is not None:
            for line in lines.feed(chunk):
                await listen(line)
    if listen is not None and (rest := lines.rest()):
        await listen(rest)


async def _feed(writer: asyncio.StreamWriter | None, content: bytes) -> None:
    if writer is None:
        return
    try:
        writer.write(content)
        await writer.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # a command need not read what it is given
    finally:
        writer.close()
