"""What a route is: its endpoint, the scope that it needs, and all that the OpenAPI document says of it.

Rule: an endpoint takes the request and answers with a response that it built itself. FastAPI's parameter and
response machinery would double the cost of the two calls that everyone makes most; so what it would have read
from signatures is declared here, and a test compares the declarations with what the service does.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from inspect import cleandoc
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from chargehand.domain.access import Scope
from chargehand.domain.tenant import TENANT_ID_PATTERN
from chargehand.serve.auth import PUBLIC_PATHS, principal_of
from chargehand.serve.security_schemes import BOTH, Way, security_of
from chargehand.wire.access import KEY_ID_PATTERN
from chargehand.wire.answers import to_json
from chargehand.wire.rest import AGENT_ID_PATTERN, PROBLEM_TYPE, TASK_ID_PATTERN, ProblemBody
from chargehand.wire.secrets import SECRET_NAME_PATTERN

Endpoint = Callable[[Request], Awaitable[Response]]
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter or a header."""

    name: str
    description: str
    schema: Schema
    place: str = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A good answer: JSON of a model, or bytes of some media type; `headers` are name → description.

    `leads_to`: operations that take an id of this answer, as operation → (parameter, JSON pointer).
    """

    description: str
    model: type[BaseModel] | None = None
    media_types: Sequence[str] = ()
    headers: dict[str, str] = field(default_factory=dict[str, str])
    leads_to: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way in. `needs` None: any valid key, or nothing at all on a public path."""

    method: str
    path: str
    endpoint: Endpoint
    needs: Scope | None
    tag: str
    answers: dict[int, Answer]
    problems: Sequence[int] = ()
    parameters: Sequence[Parameter] = ()
    is_open: bool = False
    """Public because the operator says so."""
    ways: tuple[Way, ...] = BOTH
    """By what a request may be let in."""
    body: type[BaseModel] | None = None
    body_is_optional: bool = False
    body_text_type: str | None = None

    @property
    def is_public(self) -> bool:
        """Whether it answers without a key."""
        return (self.is_open or self.path in PUBLIC_PATHS) and self.method == "GET"


class JsonResponse(Response):
    """An answer that `wire.answers` built."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return to_json(content)


class DirectRoute(APIRoute):
    """Hands the request to the endpoint itself: there is nothing to read from signatures, see above."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        endpoint: Endpoint = self.endpoint

        async def direct(scope: AsgiScope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = direct


_PROBLEM_MEANINGS = {
    400: "The cursor, or the request itself, cannot be read.",
    401: "No key, or not a valid one.",
    403: "The key lacks the scope, or its tenant is suspended.",
    404: "There is no such thing, or it is another tenant's.",
    408: "The body did not arrive in time.",
    409: "The present state forbids it.",
    413: "The body is too large, too deep or has too many values.",
    414: "The URL is too long.",
    415: "The body is of another media type than this route takes.",
    422: "What was sent cannot be accepted; `findings` tells each fault.",
    429: "Too much at once; `Retry-After` says when to try again.",
    431: "There are too many headers, or they are too large.",
    500: "The service failed; its log has the cause under `request_id`.",
    503: "Not now; `Retry-After` says when to try again.",
    507: "The disk reserve, or what the tenant may store, is used up; nothing new is accepted.",
}

MCP_SERVER_PATTERN = "^[A-Za-z0-9_-]{1,40}$"
MCP_TOOL_PATTERN = "^[A-Za-z0-9_.-]{1,128}$"
_PATH_SCHEMAS: dict[str, tuple[str, Schema]] = {
    "agent_id": ("The agent.", {"type": "string", "pattern": AGENT_ID_PATTERN}),
    "approval_id": ("The approval.", {"type": "string", "pattern": TASK_ID_PATTERN}),
    "webhook_id": ("The webhook.", {"type": "string", "pattern": TASK_ID_PATTERN}),
    "delivery_id": ("The delivery.", {"type": "string", "pattern": TASK_ID_PATTERN}),
    "schedule_id": ("The schedule.", {"type": "string", "pattern": TASK_ID_PATTERN}),
    "key_id": (
        "The key's id, which is the part of it behind `chg_live_`.",
        {"type": "string", "pattern": KEY_ID_PATTERN},
    ),
    "tenant_id": ("The tenant.", {"type": "string", "pattern": TENANT_ID_PATTERN}),
    "secret": ("The secret's name.", {"type": "string", "pattern": SECRET_NAME_PATTERN}),
    "server": ("The MCP server.", {"type": "string", "pattern": MCP_SERVER_PATTERN}),
    "tool": ("The tool's name there.", {"type": "string", "pattern": MCP_TOOL_PATTERN}),
    "task_id": ("The task.", {"type": "string", "pattern": TASK_ID_PATTERN}),
    "version": ("A version of the agent.", {"type": "string", "pattern": "^[0-9a-f]{64}$"}),
    "name": ("The deliverable.", {"type": "string", "minLength": 1}),
    "path": ("A file's path inside the deliverable.", {"type": "string", "minLength": 1}),
}


def add_routes(app: FastAPI, routes: Sequence[Route]) -> None:
    """Register routes, each behind the scope that it needs."""
    app.router.route_class = DirectRoute
    app.state.bodies = [*bodies_of(app), *(route.body for route in routes if route.body is not None)]
    for route in routes:
        app.add_api_route(
            route.path,
            _guarded(route),
            methods=[route.method],
            response_model=None,
            status_code=min(route.answers),
            responses=_responses(route),
            tags=[route.tag],
            operation_id=_name_of(route),
            summary=_name_of(route).replace("_", " ").capitalize(),
            response_class=Response,
            openapi_extra=_request_part(route),
        )


def bodies_of(app: FastAPI) -> list[type[BaseModel]]:
    """What the registered routes read from a request's body, which FastAPI cannot see."""
    return getattr(app.state, "bodies", [])


def _name_of(route: Route) -> str:
    return route.endpoint.__name__  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] - endpoints are methods, which have a name


def _guarded(route: Route) -> Endpoint:
    endpoint, needs = route.endpoint, route.needs
    if route.is_public:
        return endpoint

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        principal = principal_of(request)
        if needs is not None:
            principal.require(needs)
        return await endpoint(request)

    return guarded


def _responses(route: Route) -> dict[int | str, dict[str, Any]]:
    responses: dict[int | str, dict[str, Any]] = {}
    for status, answer in route.answers.items():
        shown: dict[str, Any] = {"description": answer.description, "headers": _headers(answer)}
        if answer.model is not None:
            shown["model"] = answer.model
        if answer.leads_to:
            shown["links"] = {
                operation: {
                    "operationId": operation,
                    "parameters": {parameter: f"$response.body#{pointer}"},
                }
                for operation, (parameter, pointer) in answer.leads_to.items()
            }
        content = {
            media_type: {"schema": {"type": "object" if media_type == JsonResponse.media_type else "string"}}
            for media_type in answer.media_types
        }
        if content:
            shown["content"] = content
        responses[status] = shown
    for status in _problem_statuses(route):
        schema = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
        responses[status] = {
            "description": _PROBLEM_MEANINGS[status],
            "content": {PROBLEM_TYPE: {"schema": schema}},
        }
    return responses


def _problem_statuses(route: Route) -> list[int]:
    always = [400, 414, 429, 431, 500, 503]
    if not route.is_public:
        always += [401, 403]
    if route.body is not None:
        always += [408, 413, 415, 422]
    if any(parameter.place == "query" for parameter in route.parameters):
        always += [422]
    return sorted({*always, *route.problems} - set(route.answers))


def _headers(answer: Answer) -> dict[str, Any]:
    return {
        name: {"description": description, "schema": {"type": "string"}}
        for name, description in answer.headers.items()
    }


def _request_part(route: Route) -> dict[str, Any]:
    named = [part[1:-1].partition(":")[0] for part in route.path.split("/") if part.startswith("{")]
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "description": text, "schema": schema}
        for name in named
        for text, schema in [_PATH_SCHEMAS[name]]
    ]
    parameters += [
        {"name": one.name, "in": one.place, "description": one.description, "schema": one.schema}
        for one in route.parameters
    ]
    extra: dict[str, Any] = {"parameters": parameters}
    if route.endpoint.__doc__:
        extra["description"] = cleandoc(route.endpoint.__doc__)
    if not route.is_public:
        extra["security"] = security_of(route.method, route.ways)
    content: dict[str, Any] = {}
    if route.body is not None:
        content["application/json"] = {"schema": {"$ref": f"#/components/schemas/{route.body.__name__}"}}
    if route.body_text_type is not None:
        content[route.body_text_type] = {"schema": {"type": "string"}}
    if content:
        extra["requestBody"] = {"required": not route.body_is_optional, "content": content}
    return extra
