"""A real MCP server on loopback whose tools a test can change, and places that only pretend to be one."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ImageContent,
    ListToolsResult,
    TextContent,
    Tool,
    ToolAnnotations,
)

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


@dataclass(slots=True)
class Offer:
    """What the server offers now, and what it was called with."""

    tools: dict[str, Tool] = field(default_factory=dict[str, Tool])
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    url: str = ""
    hangs: bool = False

    def offer(self, name: str, description: str = "Says it back.", schema: Any = None, **hints: bool) -> None:
        annotations = ToolAnnotations.model_validate(hints) if hints else None
        self.tools[name] = Tool(
            name=name, description=description, input_schema=schema or TEXT, annotations=annotations
        )

    async def was_called(self) -> bool:
        return bool(self.calls)

    async def listed(self, context: Any, params: Any) -> ListToolsResult:
        del params
        self.headers.append(dict(context.request.headers) if context.request else {})
        return ListToolsResult(tools=list(self.tools.values()))

    async def called(self, context: Any, params: CallToolRequestParams) -> CallToolResult:
        del context
        given = dict(params.arguments or {})
        self.calls.append((params.name, given))
        if self.hangs:
            await asyncio.Event().wait()
        match given.get("text"):
            case "picture":
                image = ImageContent(data="aGVsbG8=", mime_type="image/png")
                return CallToolResult(content=[image, TextContent(text="and a word")])
            case "structure":
                return CallToolResult(content=[], structured_content={"answer": 42})
            case "fault":
                return CallToolResult(content=[TextContent(text="it broke")], is_error=True)
            case "flood":
                return CallToolResult(content=[TextContent(text="x" * 100_000)])
            case "headers":
                return CallToolResult(content=[TextContent(text=str(self.headers[-1]))])
            case "ocean":
                return CallToolResult(content=[TextContent(text="x" * 9_000_000)])
            case text:
                return CallToolResult(content=[TextContent(text=f"{params.name}: {text}\x00")])


class _Server(uvicorn.Server):
    """Says when it listens, and leaves the process's signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def serving(app: Any) -> AsyncGenerator[str, None]:
    """An ASGI application on a free port of loopback."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="on")
    config.timeout_graceful_shutdown = 1
    server = _Server(config)
    running = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            await server.listening.wait()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def an_mcp_server(offer: Offer, *, is_stateless: bool = True) -> AsyncGenerator[Offer, None]:
    """The offer, served over streamable HTTP."""
    server = Server("test", on_list_tools=offer.listed, on_call_tool=offer.called)
    async with serving(server.streamable_http_app(stateless_http=is_stateless)) as url:
        offer.url = f"{url}/mcp"
        yield offer


def answering(answer: Callable[[], tuple[int, dict[str, str], bytes]]) -> Any:
    """An application that answers every request alike."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        status, headers, body = answer()
        listed = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": listed})
        await send({"type": "http.response.body", "body": body})

    return app
