"""The pipes below a conversation with an MCP server that is a program: a line of JSON for each message.

Rule: the program runs in the sandbox, and only as long as the conversation: whatever ends it, nothing of the
program is left. Imported when the first such server is talked to.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from chargehand.domain.redaction import redacted
from chargehand.domain.values import plain_text
from chargehand.errors import ChargehandError
from chargehand.tools.background import all_gone
from chargehand.tools.mcp_failure import McpFailure
from chargehand.tools.mcp_file import ProgramServer
from chargehand.tools.sandbox.base import MIB, Ended, Sandbox, SandboxCommand, SandboxLimits
from chargehand.tools.sandbox.scratch import private_folder

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

MAX_LINE_BYTES = 8 * MIB
MAX_GARBAGE_LINES = 100
"""Programs greet on standard output; one that goes on and on is no server."""
MAX_TOLD_CHARACTERS = 300
FAREWELL_SECONDS = 1.0
"""How long a program may take to end after its input has; then it is ended."""

_Read = SessionMessage | Exception


@asynccontextmanager
async def program_streams(
    server: ProgramServer, sandbox: Sandbox, seconds: float
) -> AsyncGenerator["TransportStreams", None]:
    """Start the program; what the client reads from it and writes to it. McpFailure when it ends too early."""
    environment = server.environment()
    heard, to_read = anyio.create_memory_object_stream[_Read](0)
    to_write, written = anyio.create_memory_object_stream[SessionMessage](0)
    all_said = asyncio.Event()

    def ended(_: "asyncio.Task[Ended]") -> None:
        # A client whose streams are closed stops waiting.
        heard.close()
        written.close()

    with private_folder() as folder:
        command = SandboxCommand(
            argv=server.argv,
            workspace=folder,
            stdin=_lines(written, all_said),
            environment=environment,
            limits=SandboxLimits(output_bytes=MAX_LINE_BYTES, wall_seconds=seconds + 2 * FAREWELL_SECONDS),
        )
        listen = _Listener(server.name, heard)
        running = asyncio.create_task(sandbox.run(command, on_stdout_line=listen))
        running.add_done_callback(ended)
        try:
            yield to_read, to_write
            for ours in (to_write, to_read):
                ours.close()
            await asyncio.wait({running}, timeout=FAREWELL_SECONDS)
        except Exception as error:
            if running.done() and not all_said.is_set():
                raise _too_early(server, running) from error
            raise
        finally:
            for ours in (to_write, to_read):
                ours.close()
            running.cancel()
            await all_gone([running])
            _look_at(running)


class _Listener:
    """Hands each line on as the message that it is; what is none is passed over, up to a number of lines."""

    def __init__(self, name: str, heard: MemoryObjectSendStream[_Read]) -> None:
        self._name = name
        self._heard = heard
        self._garbage_lines = 0

    async def __call__(self, line: bytes) -> None:
        if len(line) > MAX_LINE_BYTES:
            raise McpFailure(
                f"the server {self._name!r} answers with a line of more than {MAX_LINE_BYTES:,} bytes"
            )
        try:
            message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except (ValueError, RecursionError) as error:
            self._garbage_lines += 1
            if self._garbage_lines > MAX_GARBAGE_LINES:
                raise McpFailure(
                    f"the server {self._name!r} writes to its standard output what is no message of MCP"
                ) from error
            return
        # Closed: the client has what it wanted.
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._heard.send(message)


async def _lines(
    written: MemoryObjectReceiveStream[SessionMessage], all_said: asyncio.Event
) -> AsyncIterator[bytes]:
    async for one in written:
        yield one.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    all_said.set()


def _too_early(server: ProgramServer, running: "asyncio.Task[Ended]") -> ChargehandError:
    """What became of a program that has ended by itself, or could not be started."""
    error = None if running.cancelled() else running.exception()
    if isinstance(error, ChargehandError):
        return error
    if error is not None or running.cancelled():
        return McpFailure(f"the server {server.name!r} could not be run: {type(error).__name__}")
    ended = running.result()
    how = f"with exit code {ended.exit_code}" if ended.exit_code is not None else f"by {ended.ended_by}"
    *_, last = ["", *ended.stderr.decode(errors="replace").strip().splitlines()]
    said = plain_text(redacted(last, server.secrets()))[:MAX_TOLD_CHARACTERS]
    return McpFailure(f"the server {server.name!r} ended {how}" + (f": {said}" if said else ""))


def _look_at(running: "asyncio.Task[Ended]") -> None:
    """So that the event loop does not report an error as lost."""
    if not running.cancelled():
        running.exception()
