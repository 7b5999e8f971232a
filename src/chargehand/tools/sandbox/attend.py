"""Stays with a started process until it has ended: feeds it, reads it, ends it when it must end (POSIX).

Rule: after the end, the pipes are waited for with a deadline of their own: whatever still holds one by then
is left behind, not waited for.
"""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import IO

from chargehand.tools.sandbox.base import EndedBy, Input, OnLine, SandboxCommand
from chargehand.tools.sandbox.output import Capture, LineCutter

CHUNK_BYTES = 65536
_PIPE_SECONDS = 1.0
_REAP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attended:
    """What was seen of a process. `returncode` is None when it could not be reaped in time."""

    returncode: int | None
    killed_for: EndedBy | None
    stdout: bytes
    stderr: bytes
    dropped_bytes: int
    duration_seconds: float


class PipeReader:
    """The reading end of a pipe on the event loop; owns its descriptor."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._abandoned = False
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The next bytes; empty at the end of the stream and once it was abandoned."""
        while not self._abandoned:
            try:
                return os.read(self._descriptor, CHUNK_BYTES)
            except BlockingIOError:
                await self._readable()
        return b""

    def abandon(self) -> None:
        self._abandoned = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        self.abandon()
        os.close(self._descriptor)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        loop.add_reader(self._descriptor, _resolve, self._waiter)
        try:
            await self._waiter
        finally:
            loop.remove_reader(self._descriptor)


async def attend(
    process: subprocess.Popen[bytes],
    command: SandboxCommand,
    *,
    kill: Callable[[], None],
    overstepped: Coroutine[None, None, EndedBy],
    on_stdout_line: OnLine | None = None,
) -> Attended:
    """Wait for the end, by itself or by `kill`, which must end the whole tree. Cancelling kills first."""
    started = time.monotonic()
    streams = _Streams(process, command, on_stdout_line)
    exited = asyncio.create_task(_exited(process))
    watch = asyncio.create_task(overstepped)
    killed_for: EndedBy | None = None
    in_a_hurry = True
    try:
        killed_for = await _first_end(exited, watch, streams, command.limits.wall_seconds)
        in_a_hurry = False
    finally:
        watch.cancel()
        if not exited.done():
            kill()
        await _to_the_end(exited, streams, in_a_hurry=in_a_hurry)
    streams.raise_failure()
    return Attended(
        returncode=process.returncode,
        killed_for=killed_for,
        stdout=streams.stdout.kept,
        stderr=streams.stderr.kept,
        dropped_bytes=streams.stdout.dropped_bytes + streams.stderr.dropped_bytes,
        duration_seconds=time.monotonic() - started,
    )


async def _first_end(
    exited: asyncio.Task[None], watch: asyncio.Task[EndedBy], streams: "_Streams", wall_seconds: float
) -> EndedBy | None:
    done, _ = await asyncio.wait(
        {exited, watch, streams.failed}, timeout=wall_seconds, return_when=asyncio.FIRST_COMPLETED
    )
    if exited in done:
        return None
    if watch in done:
        return watch.result()
    return None if done else EndedBy.TIMEOUT


async def _to_the_end(exited: asyncio.Task[None], streams: "_Streams", *, in_a_hurry: bool) -> None:
    """Not to be interrupted: a second cancellation must not leave the tree half dead."""
    ending = asyncio.create_task(_end(exited, streams, in_a_hurry=in_a_hurry))
    interrupted: asyncio.CancelledError | None = None
    while not ending.done():
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError as error:
            interrupted = error
    ending.result()
    if interrupted is not None:
        raise interrupted


async def _end(exited: asyncio.Task[None], streams: "_Streams", *, in_a_hurry: bool) -> None:
    await asyncio.wait({exited}, timeout=_REAP_SECONDS)
    await streams.end(in_a_hurry=in_a_hurry)


class _Streams:
    """The three streams of a process, each worked by a task."""

    def __init__(
        self, process: subprocess.Popen[bytes], command: SandboxCommand, on_stdout_line: OnLine | None
    ) -> None:
        cap = command.limits.output_bytes
        self.stdout, self.stderr = Capture(cap), Capture(cap)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failure: BaseException | None = None
        self._readers = [PipeReader(_detached(process.stdout)), PipeReader(_detached(process.stderr))]
        lines = LineCutter(cap) if on_stdout_line is not None else None
        work = [
            _drain(self._readers[0], self.stdout, lines, on_stdout_line),
            _drain(self._readers[1], self.stderr, None, None),
        ]
        self._feeding: asyncio.Task[None] | None = None
        if process.stdin is not None:
            self._feeding = asyncio.create_task(_feed(_detached(process.stdin), command.stdin))
            self._feeding.add_done_callback(self._note)
        self._reading = [asyncio.create_task(part) for part in work]
        for task in self._reading:
            task.add_done_callback(self._note)

    async def end(self, *, in_a_hurry: bool) -> None:
        """Read what is left, then let go; in a hurry, a listener that does not come back is cut off."""
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.wait({self._feeding})
        # The readers are abandoned, not cancelled: what was read is still handed to a slow listener.
        stop = asyncio.get_running_loop().call_later(_PIPE_SECONDS, self._abandon)
        await asyncio.wait(self._reading, timeout=_PIPE_SECONDS if in_a_hurry else None)
        stop.cancel()
        for task in self._reading:
            task.cancel()
        await asyncio.wait(self._reading)
        for reader in self._readers:
            reader.close()
        self.failed.cancel()

    def raise_failure(self) -> None:
        """What the listener of the lines, or the source of the input, raised is the caller's."""
        if self._failure is not None:
            raise self._failure

    def _abandon(self) -> None:
        for reader in self._readers:
            reader.abandon()

    def _note(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failure = self._failure or error
            _resolve(self.failed)


async def _drain(
    reader: PipeReader,
    capture: Capture,
    lines: LineCutter | None,
    listen: OnLine | None,
) -> None:
    while chunk := await reader.read():
        capture.feed(chunk)
        if lines is not None and listen is not None:
            for line in lines.feed(chunk):
                await listen(line)
    if lines is not None and listen is not None and (rest := lines.rest()):
        await listen(rest)


async def _feed(descriptor: int, content: Input) -> None:
    os.set_blocking(descriptor, False)
    try:
        async for part in _parts(content):
            await _write(descriptor, part)
    except BrokenPipeError:
        pass  # a command need not read what it is given
    finally:
        os.close(descriptor)


async def _parts(content: Input) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    async for part in content:
        yield part


async def _write(descriptor: int, content: bytes) -> None:
    loop = asyncio.get_running_loop()
    left = memoryview(content)
    while left:
        try:
            left = left[os.write(descriptor, left[:CHUNK_BYTES]) :]
        except BlockingIOError:
            waiter: asyncio.Future[None] = loop.create_future()
            loop.add_writer(descriptor, _resolve, waiter)
            try:
                await waiter
            finally:
                loop.remove_writer(descriptor)


async def _exited(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end and reap; on Linux without a thread."""
    if not hasattr(os, "pidfd_open"):
        await asyncio.to_thread(process.wait)
        return
    descriptor = os.pidfd_open(process.pid)
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _resolve, waiter)
    try:
        await waiter
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    process.wait()


def _detached(file: IO[bytes] | None) -> int:
    """A descriptor of our own, so that no file object closes it behind the event loop."""
    if file is None:
        raise ValueError("the process was started without a pipe for this stream")
    descriptor = os.dup(file.fileno())
    file.close()
    return descriptor


def _resolve(waiter: asyncio.Future[None]) -> None:
    with contextlib.suppress(asyncio.InvalidStateError):
        waiter.set_result(None)
