"""Tools of MCP servers over HTTP: what was seen, and approving one."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.serve.auth import principal_of
from chargehand.serve.body import read_json
from chargehand.serve.path_ids import mcp_server_of, mcp_tool_of
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.service.services import Services
from chargehand.wire.agents import McpApproval, McpToolBody, McpToolList
from chargehand.wire.answers import listed, mcp_tool_body


@dataclass(frozen=True, slots=True)
class McpRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def list_mcp_tools(self, request: Request) -> Response:
        """Every tool that was ever seen, and the configured servers, asked now what they offer."""
        pins, problems = await self.services.mcp.all(principal_of(request))
        servers = [{"name": name, "ok": not said, "detail": said} for name, said in problems.items()]
        return JsonResponse({**listed(mcp_tool_body(pin) for pin in pins), "servers": servers})

    async def approve_mcp_tool(self, request: Request) -> Response:
        """Allow agents to call a tool as it was when its `seen_hash` was read."""
        server, tool = mcp_server_of(request), mcp_tool_of(request)
        sent = await read_json(request, McpApproval)
        pin = await self.services.mcp.approve(principal_of(request), server, tool, sent.seen_hash)
        return JsonResponse(mcp_tool_body(pin))

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        return [
            Route(
                method="GET",
                path="/mcp/tools",
                endpoint=self.list_mcp_tools,
                needs=Scope.ADMIN_SERVICE,
                tag="mcp",
                answers={200: Answer(description="All of them.", model=McpToolList)},
            ),
            Route(
                method="POST",
                path="/mcp/tools/{server}/{tool}/approve",
                endpoint=self.approve_mcp_tool,
                needs=Scope.ADMIN_SERVICE,
                tag="mcp",
                body=McpApproval,
                answers={200: Answer(description="Approved.", model=McpToolBody)},
                problems=(404, 409),
            ),
        ]
