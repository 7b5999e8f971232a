"""The ids in paths, checked before anything is asked with them.

Rule: what can be no id is told as what is not there, and never reaches a database: PostgreSQL fails on a NUL.
"""

import re
from dataclasses import dataclass

from starlette.requests import Request

from chargehand.domain.tenant import TENANT_ID_PATTERN
from chargehand.errors import (
    AgentNotFound,
    ApprovalNotFound,
    KeyNotFound,
    NotFound,
    ScheduleNotFound,
    TaskNotFound,
    TenantNotFound,
    WebhookDeliveryNotFound,
    WebhookNotFound,
)
from chargehand.serve.routes import MCP_SERVER_PATTERN, MCP_TOOL_PATTERN
from chargehand.wire.access import KEY_ID_PATTERN
from chargehand.wire.rest import AGENT_ID_PATTERN, TASK_ID_PATTERN


@dataclass(frozen=True, slots=True)
class PathId:
    """Reads the id `name` out of a request's path."""

    name: str
    form: re.Pattern[str]
    error: type[NotFound]
    missing: str
    """What is said of a text that can be no such id."""

    def __call__(self, request: Request) -> str:
        """The id; `error` when it can be none."""
        found: str = request.path_params[self.name]
        if not self.form.fullmatch(found):
            raise self.error(self.missing)
        return found


_UUID = re.compile(TASK_ID_PATTERN)
_LIKE_A_TASK = "its id looks like that of a task"
_NO_TOOL = "there is no such tool; GET /mcp/tools lists those that were seen"

agent_id_of = PathId(
    "agent_id",
    re.compile(AGENT_ID_PATTERN),
    AgentNotFound,
    "there is no such agent; an agent id is 1 to 128 of a-z 0-9 . _ -",
)
agent_version_of = PathId(
    "version",
    re.compile("[0-9a-f]{64}"),
    AgentNotFound,
    "the agent has no such version; a version is 64 hexadecimal digits",
)
task_id_of = PathId(
    "task_id",
    _UUID,
    TaskNotFound,
    "there is no such task; a task id looks like 0190f7a2-91b4-7c3d-8a55-0242ac120002",
)
approval_id_of = PathId("approval_id", _UUID, ApprovalNotFound, f"there is no such approval; {_LIKE_A_TASK}")
schedule_id_of = PathId("schedule_id", _UUID, ScheduleNotFound, f"there is no such schedule; {_LIKE_A_TASK}")
webhook_id_of = PathId("webhook_id", _UUID, WebhookNotFound, f"there is no such webhook; {_LIKE_A_TASK}")
delivery_id_of = PathId(
    "delivery_id", _UUID, WebhookDeliveryNotFound, f"there is no such delivery; {_LIKE_A_TASK}"
)
key_id_of = PathId(
    "key_id",
    re.compile(KEY_ID_PATTERN),
    KeyNotFound,
    "there is no such key; its id is the 8 characters behind `chg_live_`",
)
tenant_id_of = PathId(
    "tenant_id",
    re.compile(TENANT_ID_PATTERN),
    TenantNotFound,
    "there is no such tenant; an id is 1 to 63 of a-z 0-9 -",
)
mcp_server_of = PathId("server", re.compile(MCP_SERVER_PATTERN), NotFound, _NO_TOOL)
mcp_tool_of = PathId("tool", re.compile(MCP_TOOL_PATTERN), NotFound, _NO_TOOL)
