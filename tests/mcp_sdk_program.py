"""An MCP server on standard input and output, by the protocol's own package; tests give its text to `python -c`."""

import asyncio
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool


async def listed(context: Any, params: Any) -> ListToolsResult:
    del context, params
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    return ListToolsResult(tools=[Tool(name="do", description="Does it.", input_schema=schema)])


async def called(context: Any, params: CallToolRequestParams) -> CallToolResult:
    del context
    return CallToolResult(content=[TextContent(text=f"did {(params.arguments or {})['text']}")])


async def main() -> None:
    server = Server("program", on_list_tools=listed, on_call_tool=called)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


asyncio.run(main())
