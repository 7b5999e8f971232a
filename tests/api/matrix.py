"""The table of who may do what: one entry for each route, from which test_matrix.py makes its cases.

A route without an entry fails the build. To add one, write a line such as

    "GET /webhooks/{webhook_id}": Entry(needs=Scope.WEBHOOKS_READ, path={"webhook_id": "webhook"}),

- `needs`: the scope, as the requirements say (not copied from the route: the two are compared). None: any key.
- `path`, `query`, `names`: every id that the route takes, in its path, its query and the fields of its body, with the
  kind of thing it is. A new kind gets a line in ABSENT here and, where it belongs to a tenant, one in world.py.
- `body`: what is sent; ids that `names` lists are put into it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from chargehand.domain.access import Scope
from chargehand.serve.auth import PUBLIC_PATHS


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a route needs, and the ids that it takes."""

    needs: Scope | None
    path: Mapping[str, str] = field(default_factory=dict[str, str])
    also: frozenset[Scope] = frozenset()
    """Scopes that it needs besides."""
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Mapping[str, Any] | None = None
    makes_its_own: bool = False
    """Whatever id the path has, the thing is made in the caller's tenant."""
    has_target: bool = True
    """The world has a thing that the route can be tried on."""


ABSENT = {
    "agent": "nobody",
    "approval": "0190f7a2-91b4-7c3d-8a55-0242ac120002",
    "cursor": "eyJiZWZvcmUiOiIwMTkwZjdhMi05MWI0LTdjM2QtOGE1NS0wMjQyYWMxMjAwMDIifQ",
    "context": "no-such-conversation",
    "file": "a.txt",
    "key": "Abcdefgh",
    "delivery": "0190f7a2-91b4-7c3d-8a55-0242ac120002",
    "mcp_server": "tracker",
    "mcp_tool": "search",
    "name": "report",
    "secret": "NOT_THERE",
    "schedule": "0190f7a2-91b4-7c3d-8a55-0242ac120002",
    "task": "0190f7a2-91b4-7c3d-8a55-0242ac120002",
    "tenant": "nowhere",
    "version": "0" * 64,
    "webhook": "0190f7a2-91b4-7c3d-8a55-0242ac120002",
}
"""Of each kind an id that nothing has."""

_TASK = {"task_id": "task"}
_AGENT = {"agent_id": "agent"}
_APPROVAL = {"approval_id": "approval"}
_SCHEDULE = {"schedule_id": "schedule"}
_KEY = {"key_id": "key"}
_TENANT = {"tenant_id": "tenant"}
_WEBHOOK = {"webhook_id": "webhook"}
_EVENTS = frozenset({Scope.TASKS_READ})
"""Who has events sent reads them."""
_SECRET = {"secret": "secret"}
_OF_LIST = {"parent_id": "task", "context_id": "context", "cursor": "cursor"}
_READ, _WRITE = Scope.TASKS_READ, Scope.TASKS_WRITE

ENTRIES: Mapping[str, Entry] = {
    "POST /agents/{agent_id}/tasks": Entry(needs=_WRITE, path=_AGENT, body={"task_data": {}}),
    "GET /agents/{agent_id}/tasks": Entry(needs=_READ, path=_AGENT, query=_OF_LIST),
    "GET /tasks": Entry(needs=_READ, query={**_OF_LIST, "agent_id": "agent"}),
    "GET /tasks/{task_id}": Entry(needs=_READ, path=_TASK),
    "POST /tasks/{task_id}/cancel": Entry(needs=Scope.TASKS_CANCEL, path=_TASK),
    "POST /tasks/{task_id}/retry": Entry(needs=_WRITE, path=_TASK, body={"budget": {"steps": 100}}),
    "POST /tasks/{task_id}/answers": Entry(
        needs=_WRITE, path=_TASK, body={"question": "0/0", "answer": "yes"}
    ),
    "POST /tasks/{task_id}/messages": Entry(needs=_WRITE, path=_TASK, body={"text": "hello"}),
    "GET /tasks/{task_id}/steps": Entry(needs=_READ, path=_TASK),
    "GET /tasks/{task_id}/children": Entry(needs=_READ, path=_TASK),
    "GET /tasks/{task_id}/questions": Entry(needs=_READ, path=_TASK),
    "GET /tasks/{task_id}/events": Entry(needs=_READ, path=_TASK),
    "GET /tasks/{task_id}/deliverables": Entry(needs=_READ, path=_TASK),
    "GET /tasks/{task_id}/deliverables.zip": Entry(needs=_READ, path=_TASK),
    "GET /tasks/{task_id}/deliverables/{name}": Entry(needs=_READ, path={**_TASK, "name": "name"}),
    "GET /tasks/{task_id}/deliverables/{name}/files/{path:path}": Entry(
        needs=_READ, path={**_TASK, "name": "name", "path": "file"}
    ),
    "GET /approvals": Entry(needs=_READ, query={"task_id": "task", "cursor": "approval"}),
    "GET /approvals/{approval_id}": Entry(needs=_READ, path=_APPROVAL),
    "POST /approvals/{approval_id}": Entry(
        needs=Scope.APPROVALS_DECIDE, path=_APPROVAL, body={"decision": "deny"}
    ),
    "GET /schedules": Entry(needs=_READ, query={"agent_id": "agent", "cursor": "schedule"}),
    "POST /schedules": Entry(
        needs=_WRITE, names=_AGENT, body={"name": "made-here", "cron": "@daily", "task_data": {}}
    ),
    "GET /schedules/{schedule_id}": Entry(needs=_READ, path=_SCHEDULE),
    "PATCH /schedules/{schedule_id}": Entry(needs=_WRITE, path=_SCHEDULE, names=_AGENT, body={"priority": 1}),
    "DELETE /schedules/{schedule_id}": Entry(needs=_WRITE, path=_SCHEDULE),
    "POST /schedules/{schedule_id}/run": Entry(needs=_WRITE, path=_SCHEDULE),
    "GET /agents": Entry(needs=Scope.AGENTS_READ),
    "GET /agents/{agent_id}": Entry(needs=Scope.AGENTS_READ, path=_AGENT),
    "PUT /agents/{agent_id}": Entry(
        needs=Scope.AGENTS_WRITE,
        path=_AGENT,
        body={"source": "---\nname: made\ndescription: Made by the matrix.\n---\nDo it.\n"},
        makes_its_own=True,
    ),
    "GET /agents/{agent_id}/versions": Entry(needs=Scope.AGENTS_READ, path=_AGENT),
    "GET /agents/{agent_id}/versions/{version}": Entry(
        needs=Scope.AGENTS_READ, path={**_AGENT, "version": "version"}
    ),
    "GET /whoami": Entry(needs=None),
    "GET /keys": Entry(needs=Scope.KEYS_READ),
    "POST /keys": Entry(
        needs=Scope.KEYS_WRITE, body={"name": "made-here", "scopes": ["keys:write"], "agents": ["ours"]}
    ),
    "GET /keys/{key_id}": Entry(needs=Scope.KEYS_READ, path=_KEY),
    "DELETE /keys/{key_id}": Entry(needs=Scope.KEYS_WRITE, path=_KEY),
    "POST /keys/{key_id}/rotate": Entry(needs=Scope.KEYS_WRITE, path=_KEY, body={"keep_seconds": 60}),
    "GET /tenants": Entry(needs=Scope.ADMIN_SERVICE, query={"cursor": "tenant"}),
    "POST /tenants": Entry(needs=Scope.ADMIN_SERVICE, body={"id": "made-here"}),
    "GET /tenants/{tenant_id}": Entry(needs=Scope.ADMIN_SERVICE, path=_TENANT),
    "PATCH /tenants/{tenant_id}": Entry(
        needs=Scope.ADMIN_SERVICE, path=_TENANT, body={"is_suspended": False}
    ),
    "GET /tenants/{tenant_id}/limits": Entry(needs=Scope.ADMIN_SERVICE, path=_TENANT),
    "PUT /tenants/{tenant_id}/limits": Entry(
        needs=Scope.ADMIN_SERVICE, path=_TENANT, body={"concurrency": 2}
    ),
    "GET /webhooks": Entry(needs=Scope.WEBHOOKS_READ, query={"cursor": "webhook"}),
    "POST /webhooks": Entry(
        needs=Scope.WEBHOOKS_WRITE, also=_EVENTS, body={"url": "https://hooks.invalid/made-here"}
    ),
    "GET /webhooks/{webhook_id}": Entry(needs=Scope.WEBHOOKS_READ, path=_WEBHOOK),
    "PATCH /webhooks/{webhook_id}": Entry(
        needs=Scope.WEBHOOKS_WRITE, also=_EVENTS, path=_WEBHOOK, body={"description": "changed"}
    ),
    "DELETE /webhooks/{webhook_id}": Entry(needs=Scope.WEBHOOKS_WRITE, path=_WEBHOOK),
    "POST /webhooks/{webhook_id}/test": Entry(needs=Scope.WEBHOOKS_WRITE, path=_WEBHOOK),
    "POST /webhooks/{webhook_id}/rotate-secret": Entry(
        needs=Scope.WEBHOOKS_WRITE, path=_WEBHOOK, body={"overlap_seconds": 0}
    ),
    "GET /webhooks/{webhook_id}/deliveries": Entry(
        needs=Scope.WEBHOOKS_READ, path=_WEBHOOK, query={"cursor": "delivery"}
    ),
    "GET /webhooks/{webhook_id}/deliveries/{delivery_id}": Entry(
        needs=Scope.WEBHOOKS_READ, path={**_WEBHOOK, "delivery_id": "delivery"}
    ),
    "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": Entry(
        needs=Scope.WEBHOOKS_WRITE, path={**_WEBHOOK, "delivery_id": "delivery"}
    ),
    "GET /secrets": Entry(needs=Scope.SECRETS_READ),
    "PUT /secrets/{secret}": Entry(
        needs=Scope.SECRETS_WRITE, path=_SECRET, body={"value": "made by the matrix"}, makes_its_own=True
    ),
    "DELETE /secrets/{secret}": Entry(needs=Scope.SECRETS_WRITE, path=_SECRET),
    "POST /admin/rewrap": Entry(needs=Scope.ADMIN_SERVICE),
    "GET /audit": Entry(needs=Scope.AUDIT_READ, query={"object": "task"}),
    "GET /audit/export": Entry(needs=Scope.AUDIT_READ),
    "POST /session": Entry(needs=None),
    "GET /session": Entry(needs=None, has_target=False),
    "DELETE /session": Entry(needs=None, has_target=False),
    "GET /mcp/tools": Entry(needs=Scope.ADMIN_SERVICE),
    "POST /mcp/tools/{server}/{tool}/approve": Entry(
        needs=Scope.ADMIN_SERVICE,
        path={"server": "mcp_server", "tool": "mcp_tool"},
        body={"seen_hash": "0" * 64},
        has_target=False,
    ),
    "POST /admin/prune": Entry(
        needs=Scope.ADMIN,
        names={"after": "task", "agent_id": "agent"},
        body={"older_than_seconds": 3_600, "dry_run": True},
    ),
    "POST /admin/sweep": Entry(needs=Scope.ADMIN_SERVICE),
    "GET /usage": Entry(needs=_READ, query={"agent_id": "agent", "root_id": "task", "task_id": "task"}),
    "GET /metrics": Entry(needs=Scope.METRICS_READ),
}


def request_of(name: str, ids: Mapping[str, str] = ABSENT) -> tuple[str, str, dict[str, Any] | None]:
    """Method, path and body of a route's request with these ids (kind → id) in its path and its body."""
    entry = ENTRIES[name]
    method, _, pattern = name.partition(" ")
    address = re.sub(r"\{(\w+)(?::path)?\}", lambda found: ids[entry.path[found[1]]], pattern)
    if entry.body is None:
        return method, address, None
    return method, address, {**entry.body, **{field: ids[kind] for field, kind in entry.names.items()}}


def listed_routes(app: FastAPI) -> set[str]:
    """Every way into an application that needs a key, as `METHOD /path`."""
    found: set[str] = set()
    for route in app.router.routes:
        assert isinstance(route, APIRoute), f"{route} is no route of the table"
        for method in route.methods or ():
            if not (method == "GET" and route.path in PUBLIC_PATHS):
                found.add(f"{method} {route.path}")
    return found


def differences(app: FastAPI) -> list[str]:
    """Routes without an entry, entries without a route, and ids in a path that an entry does not list."""
    routes = listed_routes(app)
    wrong = [f"{one} has no entry in tests/api/matrix.py" for one in sorted(routes - set(ENTRIES))]
    wrong += [f"{one} is in the matrix and no route" for one in sorted(set(ENTRIES) - routes)]
    for name, entry in ENTRIES.items():
        in_path = {part[1:-1].partition(":")[0] for part in name.split("/") if part.startswith("{")}
        if in_path != set(entry.path):
            wrong.append(f"{name} lists {sorted(entry.path)} of its path, which has {sorted(in_path)}")
    return wrong
