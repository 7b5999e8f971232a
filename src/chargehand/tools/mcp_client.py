"""One conversation with an MCP server, over streamable HTTP or with a program: what it offers, and one call.

Rule: everything that a server does wrong (it is down, hangs, redirects, floods, answers garbage) is an McpFailure
in words for the agent; no redirect is followed and nothing is read without a bound. The package `mcp` is imported
when the first server is talked to.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from chargehand.cancels import HeldBackCancels
from chargehand.domain.mcp import TOOL_NAME, McpTool
from chargehand.domain.redaction import redacted
from chargehand.domain.values import JsonObject, canonical, check_json, plain_text
from chargehand.errors import ChargehandError
from chargehand.tools.base import ToolResult
from chargehand.tools.mcp_failure import McpChanged, McpFailure
from chargehand.tools.mcp_file import HttpServer, McpServer
from chargehand.tools.sandbox.base import Sandbox

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client._transport import Transport
    from mcp.types import CallToolResult

LIST_SECONDS = 10.0
MAX_CONTENT_CHARACTERS = 30_000
MAX_TOOLS = 200
MAX_PAGES = 20
MAX_DESCRIPTION_CHARACTERS = 8_000
MAX_SCHEMA_CHARACTERS = 64_000
MAX_TOLD_CHARACTERS = 300


async def offered(server: McpServer, sandbox: Sandbox | None) -> list[McpTool]:
    """The tools that the server offers now, those left out that cannot be used here."""
    async with _talking(server, sandbox, min(LIST_SECONDS, server.timeout_seconds)) as client:
        return await _offered(client, server)


async def call(
    server: McpServer, sandbox: Sandbox | None, name: str, arguments: JsonObject, *, approved_hash: str
) -> ToolResult:
    """Call a tool, unless it is not the approved one any more."""
    async with _talking(server, sandbox, server.timeout_seconds) as client:
        # In the same conversation, so that what is called is what was looked at.
        now = next((tool for tool in await _offered(client, server) if tool.name == name), None)
        if now is None:
            raise McpFailure(f"the server {server.name!r} does not offer {name!r} any more")
        if now.hash != approved_hash:
            raise McpChanged(now)
        result = await client.call_tool(name, dict(arguments))
    content = _content(result, server)
    details: JsonObject = {"server": server.name, "tool": name}
    return ToolResult(content=content, details=details, is_error=result.is_error)


@asynccontextmanager
async def _talking(
    server: McpServer, sandbox: Sandbox | None, seconds: float
) -> AsyncGenerator["Client", None]:
    """A conversation; whatever goes wrong in it is an McpFailure."""
    if find_spec("mcp") is None:
        raise McpFailure("the extra is not installed; `pip install chargehand[mcp]`")
    from mcp import Client  # noqa: PLC0415 - it costs a quarter of a second, paid by whoever uses a server

    # A cancel that comes while the client connects leaves it as a fault of its streams (seen with mcp 2.3).
    with HeldBackCancels(), _told_plainly(server, seconds):
        async with (
            asyncio.timeout(seconds),
            _transport(server, sandbox, seconds) as transport,
            Client(transport, read_timeout_seconds=seconds, cache=None) as client,
        ):
            yield client


@contextmanager
def _told_plainly(server: McpServer, seconds: float) -> Generator[None, None, None]:
    try:
        yield
    except TimeoutError as error:
        raise McpFailure(f"the server {server.name!r} did not answer within {seconds:g} s") from error
    except (McpChanged, ChargehandError):
        raise
    except Exception as error:
        inner = _first(error)
        if isinstance(inner, McpChanged | ChargehandError):
            raise inner from error
        said = redacted(server.without_its_address(str(inner)), server.secrets())
        told = plain_text(f"{type(inner).__name__}: {said}")[:MAX_TOLD_CHARACTERS]
        raise McpFailure(f"the server {server.name!r} failed: {told}") from error


@asynccontextmanager
async def _transport(
    server: McpServer, sandbox: Sandbox | None, seconds: float
) -> AsyncGenerator["Transport", None]:
    if isinstance(server, HttpServer):
        from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415 - as above

        from chargehand.tools.mcp_transport import bounded_client  # noqa: PLC0415 - as above

        async with bounded_client(server, seconds) as http:
            yield streamable_http_client(server.url, http_client=http)
        return
    if sandbox is None:
        raise McpFailure(
            f"the server {server.name!r} is a program, and this process has no sandbox to run it in"
        )
    from chargehand.tools.mcp_stdio import program_streams  # noqa: PLC0415 - as above

    yield program_streams(server, sandbox, seconds)


def _first(error: BaseException) -> BaseException:
    """The cause that the task groups of the client have wrapped."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:  # pyright: ignore[reportUnknownMemberType] - a group of anything
        error = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - as above
    return error  # pyright: ignore[reportUnknownVariableType] - as above


async def _offered(client: "Client", server: McpServer) -> list[McpTool]:
    found: dict[str, McpTool] = {}
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            hints = tool.annotations
            described = McpTool(
                name=tool.name,
                description=redacted(tool.description or "", server.secrets())[
                    : MAX_DESCRIPTION_CHARACTERS + 1
                ],
                input_schema=tool.input_schema,
                is_repeatable=bool(hints and (hints.read_only_hint or hints.idempotent_hint)),
            )
            if _is_usable(described) and len(found) < MAX_TOOLS:
                found[tool.name] = described
        cursor = page.next_cursor
        if cursor is None:
            break
    return list(found.values())


def _is_usable(tool: McpTool) -> bool:
    if not TOOL_NAME.fullmatch(tool.name) or len(tool.description) > MAX_DESCRIPTION_CHARACTERS:
        return False
    try:
        check_json(tool.as_data())
        return len(canonical(tool.input_schema)) <= MAX_SCHEMA_CHARACTERS
    except (ChargehandError, ValueError, RecursionError):
        return False


def _content(result: "CallToolResult", server: McpServer) -> str:
    """Texts as they are; what is no text is named with its kind and size."""
    parts = [_block(block) for block in result.content]
    if not any(parts) and result.structured_content is not None:
        parts = [canonical(result.structured_content)]
    said = redacted("\n".join(part for part in parts if part), server.secrets())
    text = plain_text(said) or "(no content)"
    if len(text) <= MAX_CONTENT_CHARACTERS:
        return text
    return f"{text[:MAX_CONTENT_CHARACTERS]}\n[cut: {len(text) - MAX_CONTENT_CHARACTERS:,} more characters]"


def _block(block: Any) -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, {len(block.data):,} characters of base64: not shown]"
        case "resource":
            text = getattr(block.resource, "text", None)
            return text if isinstance(text, str) else f"[resource {block.resource.uri}: no text, not shown]"
        case "resource_link":
            return f"[link to {block.uri}]"
        case _:
            return f"[{block.type}: not shown]"
