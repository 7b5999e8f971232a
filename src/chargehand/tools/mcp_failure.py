"""What a conversation with an MCP server can come to instead of an answer."""

from chargehand.domain.mcp import McpTool
from chargehand.errors import ToolError


class McpFailure(ToolError):
    """The server could not be talked to, or what it said could not be used."""

    code = "mcp_failed"


class McpChanged(Exception):
    """The tool is not the approved one any more; nothing was called."""

    def __init__(self, now: McpTool) -> None:
        super().__init__(now.name)
        self.now = now
