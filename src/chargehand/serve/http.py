"""The HTTP application: layers from the outside in, and routes.

A request passes Edge (request id, headers, errors), CORS where it is configured, ClientAddress, AuditedRequests,
Authentication, CountedRequests and BodyLimits; then its route, which checks the key's scope before anything else.
"""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

import chargehand
from chargehand.serve.agents import AgentRoutes
from chargehand.serve.approvals import ApprovalRoutes
from chargehand.serve.audit import AuditRoutes
from chargehand.serve.audited import AuditedRequests
from chargehand.serve.auth import Authentication
from chargehand.serve.body import BodyLimits
from chargehand.serve.client_address import ClientAddress
from chargehand.serve.cors import cors_options
from chargehand.serve.deliverables import DeliverableRoutes
from chargehand.serve.docs import DocumentRoutes
from chargehand.serve.edge import Edge, Problems, http_problem
from chargehand.serve.events import EventRoutes
from chargehand.serve.exposure import refuse_unsafe
from chargehand.serve.health import HealthRoutes
from chargehand.serve.keys import KeyRoutes
from chargehand.serve.mcp import McpRoutes
from chargehand.serve.metrics import PATH as METRICS_PATH
from chargehand.serve.metrics import MetricsRoutes
from chargehand.serve.openapi import DESCRIPTION
from chargehand.serve.request_rates import CountedRequests
from chargehand.serve.retention import RetentionRoutes
from chargehand.serve.routes import Route, add_routes
from chargehand.serve.schedules import ScheduleRoutes
from chargehand.serve.secrets import SecretRoutes
from chargehand.serve.secure_headers import SecureHeaders
from chargehand.serve.session import SessionRoutes
from chargehand.serve.session_cookie import SessionCookie
from chargehand.serve.stopping import Stopping
from chargehand.serve.tasks import TaskRoutes
from chargehand.serve.tenant_limits import TenantLimitRoutes
from chargehand.serve.tenants import TenantRoutes
from chargehand.serve.usage import UsageRoutes
from chargehand.serve.webhooks import WebhookRoutes
from chargehand.service.services import Services
from chargehand.settings import Settings

TITLE = "AI Agent Service"


def create_http(services: Services, settings: Settings) -> FastAPI:
    """The application. InvalidInput when the settings would open it to anyone."""
    refuse_unsafe(settings)
    app = FastAPI(
        title=TITLE,
        version=chargehand.__version__,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # FastAPI's own spans and metrics: looked up at every request, and used by nobody here.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    stopping = Stopping()
    app.state.stopping = stopping
    app.state.session_cookie = cookie = SessionCookie(is_behind_tls=settings.behind_tls)
    add_routes(app, [*_all_routes(services, stopping, app), *SessionRoutes(services, cookie).routes()])
    app.state.max_connections = settings.max_connections
    if settings.metrics != "off":
        add_routes(app, MetricsRoutes(services.measures, is_open=settings.metrics == "open").routes())
    app.add_exception_handler(HTTPException, _refused_by_http)
    # The one added last is the outermost.
    app.add_middleware(BodyLimits, max_bytes=settings.max_body_bytes)
    open_paths = {METRICS_PATH} if settings.metrics == "open" else set[str]()
    app.add_middleware(CountedRequests, rates=services.request_rates)
    app.add_middleware(
        Authentication,
        access=services.access,
        sessions=services.sessions,
        cookie=cookie,
        tries=services.authentication_tries,
        tokens=services.tokens,
        also_public=open_paths,
    )
    app.add_middleware(AuditedRequests, denials=services.audit.denials)
    app.add_middleware(ClientAddress, trusted_proxies=settings.trusted_proxies)
    if settings.cors_origins:
        app.add_middleware(Problems)
        app.add_middleware(CORSMiddleware, **cors_options(settings))
    app.state.secure_headers = SecureHeaders(is_behind_tls=settings.behind_tls)
    app.add_middleware(
        Edge,
        trusted_hosts=settings.trusted_hosts,
        metrics=services.measures.metrics,
        headers=app.state.secure_headers,
    )
    return app


def _all_routes(services: Services, stopping: Stopping, app: FastAPI) -> Sequence[Route]:
    tasks = TaskRoutes(services, stopping)
    return [
        *tasks.busy_routes(),
        *HealthRoutes(services).routes(),
        *tasks.routes(),
        *EventRoutes(services, stopping).routes(),
        *DeliverableRoutes(services).routes(),
        *ApprovalRoutes(services).routes(),
        *ScheduleRoutes(services).routes(),
        *WebhookRoutes(services).routes(),
        *AgentRoutes(services).routes(),
        *KeyRoutes(services).routes(),
        *TenantRoutes(services).routes(),
        *McpRoutes(services).routes(),
        *RetentionRoutes(services).routes(),
        *SecretRoutes(services).routes(),
        *AuditRoutes(services).routes(),
        *UsageRoutes(services).routes(),
        *TenantLimitRoutes(services).routes(),
        *DocumentRoutes(app).routes(),
    ]


async def _refused_by_http(request: Request, error: Exception) -> Response:
    """404 and 405 of the router, and what layers inside it refuse."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 405:
        allowed = sorted(_methods_at(request))
        error = HTTPException(
            405, f"this path takes {', '.join(allowed)}", headers={"Allow": ", ".join(allowed)}
        )
    elif error.status_code == 404:
        error = HTTPException(404, "there is no such path; GET /docs lists what there is")
    return http_problem(error, request.scope["request_id"])


def _methods_at(request: Request) -> set[str]:
    """All methods of the path; the router's own answer names those of its first match only."""
    app: FastAPI = request.app
    methods: set[str] = set()
    for route in app.router.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= set(getattr(route, "methods", None) or ())
    return methods
