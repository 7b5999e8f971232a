"""Starts the runner for one command and brings back what it tells (POSIX)."""

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chargehand.errors import SandboxUnavailable
from chargehand.tools.sandbox.attend import Attended, PipeReader, attend
from chargehand.tools.sandbox.base import Ended, OnLine, SandboxCommand
from chargehand.tools.sandbox.guard import Guard
from chargehand.tools.sandbox.marker import MARKER, kill_marked
from chargehand.tools.sandbox.outcome import ended
from chargehand.tools.sandbox.runner.forms import Form, encode
from chargehand.tools.sandbox.runner.tree import tree_of

_FOLDER = str(Path(__file__).parent)
_START = "import sys; sys.path.append(sys.argv[1]); from runner.start import main; main()"
_PATIENCE_SECONDS = 0.5
_RUNNER_START_SECONDS = 0.02
"""The runner is not the command yet; looking at it would be for nothing."""
_NOT_EXECUTABLE, _NOT_FOUND, _SIGNAL_BASE = 126, 127, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A runner at work: the process, and our end of its lifeline."""

    process: subprocess.Popen[bytes]
    lifeline: socket.socket

    def kill(self) -> None:
        """Let go of the lifeline; a runner that does not end soon is ended, after its tree."""
        self.lifeline.shutdown(socket.SHUT_WR)
        asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._kill_hard)

    def _kill_hard(self) -> None:
        if self.process.returncode is None:
            for pid in reversed(tree_of(self.process.pid)):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)


async def run_by_runner(
    command: SandboxCommand, form: Form, guard: Guard, *, on_stdout_line: OnLine | None
) -> Ended:
    """Run what the form says; `SandboxUnavailable` when the confinement could not be set up."""
    marker = secrets.token_hex(16)
    form = {**form, "names": [*form["names"], MARKER], "values": [*form["values"], marker]}
    with _started(command, form) as running:
        guard.root_pid = running.process.pid
        guard.first_look_seconds += _RUNNER_START_SECONDS
        guard.spared = frozenset({running.process.pid})
        try:
            attended = await attend(
                running.process,
                command,
                kill=running.kill,
                overstepped=guard.overstepped(),
                on_stdout_line=on_stdout_line,
            )
            told = await _told(running.lifeline)
            if not told:
                await asyncio.to_thread(kill_marked, marker)
            out_of_memory = guard.ran_out_of_memory()
        finally:
            await guard.close()
    return ended(attended, exit_code=_exit_code(told, attended), out_of_memory=out_of_memory)


@contextmanager
def _started(command: SandboxCommand, form: Form) -> Generator[Running]:
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryFile() as file:
        file.write(encode(form))
        file.seek(0)
        arguments = [str(file.fileno()), str(theirs.fileno())]
        try:
            process = subprocess.Popen(  # noqa: S603 - a list of our own
                [sys.executable, "-I", "-S", "-c", _START, _FOLDER, *arguments],
                stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                pass_fds=(file.fileno(), theirs.fileno()),
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxUnavailable(f"the runner did not start: {error}; nothing was run") from error
        theirs.close()
        yield Running(process=process, lifeline=ours)


async def _told(lifeline: socket.socket) -> str:
    """What the runner said at its end; it is gone, so that the stream has an end."""
    reader = PipeReader(os.dup(lifeline.fileno()))
    try:
        text = b""
        while chunk := await reader.read():
            text += chunk
    finally:
        reader.close()
    return text.decode()


def _exit_code(told: str, attended: Attended) -> int | None:
    """As a shell gives it; None when the tree was killed from outside."""
    word, _, rest = told.partition(" ")
    if word == "exit":
        return int(rest)
    if word == "signal":
        return None if attended.killed_for is not None else _SIGNAL_BASE + int(rest)
    if word == "failed":
        number, _, why = rest.partition(" ")
        if why.startswith("program:"):
            return _NOT_EXECUTABLE if int(number) != errno.ENOENT else _NOT_FOUND
        raise SandboxUnavailable(f"the command's confinement could not be set up ({why}); nothing was run")
    if attended.killed_for is not None:
        return None
    raise SandboxUnavailable(f"the runner broke: {rest or 'it ended without a word'}")
