"""The outermost layer: request id, secure headers, the Host check, errors as problem bodies.

Rule: an error of ours is told with its code, any other as `internal`, with its cause in the log under the
request's id.
"""

import logging
import os
import re
import time
from collections.abc import Collection, Iterable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chargehand.domain.access import Principal
from chargehand.errors import ChargehandError, Forbidden, Unauthorized
from chargehand.serve.problems import HTTP_CODES, internal, problem, problem_of
from chargehand.service.denials import Denials
from chargehand.service.origin import coming_from
from chargehand.settings import LOOPBACK_HOSTS
from chargehand.telemetry.logs import telling
from chargehand.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

SECURE_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
"""On every answer that does not bring its own."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?")


class Edge:
    """Wraps the whole application (pure ASGI)."""

    def __init__(
        self, app: ASGIApp, trusted_hosts: Iterable[str], metrics: Metrics, denials: Denials | None = None
    ) -> None:
        """`denials`: where attempts that were refused are noted."""
        self._app = app
        self._denials = denials
        self._metrics = metrics
        self._hosts = {host.lower().strip("[]") for host in (*LOOPBACK_HOSTS, *trusted_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, host = _id_and_host(scope["headers"])
        scope["request_id"] = request_id
        started = False
        came_at = time.perf_counter()

        async def send_dressed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                method, route = _method_and_route(scope)
                self._metrics.http_requests.add(method, route, str(message["status"]))
                self._metrics.http_seconds.add(route, seconds=time.perf_counter() - came_at)
                message["headers"] = dressed(message["headers"], request_id)
            await send(message)

        with telling(request_id=request_id), coming_from(_address_of(scope), request_id):
            try:
                self._check_host(host)
                await self._app(scope, receive, send_dressed)
            except ClientDisconnect:
                return
            except Exception as error:
                answer = _answer(error, request_id)
                if started:
                    # The status is sent; only closing the connection can still say that this is no answer.
                    raise
                await self._note(scope, error)
                await answer(scope, receive, send_dressed)

    async def _note(self, scope: Scope, error: Exception) -> None:
        """A refused attempt, beside the request."""
        who: Principal | None = scope.get("principal")
        if self._denials is None:
            return
        if isinstance(error, Unauthorized):
            await self._denials.unauthenticated()
        elif isinstance(error, Forbidden) and who is not None:
            await self._denials.forbidden(who, " ".join(_method_and_route(scope)))

    def _check_host(self, host: str) -> None:
        """A name that is not ours is a page elsewhere that had its name resolved to this machine."""
        parts = _HOST.fullmatch(host.lower())
        if parts is None or parts["name"].strip("[]") not in self._hosts:
            raise HTTPException(400, "the Host header names no host of this service; add it to trusted_hosts")


def _address_of(scope: Scope) -> str:
    """The client's address, as the server saw it."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def _method_and_route(scope: Scope) -> tuple[str, str]:
    """Without anything that a client can choose."""
    method: str = scope["method"]
    route: str = getattr(scope.get("route"), "path", "none")
    return method if method in _METHODS else "other", route


def _id_and_host(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str]:
    request_id = host = b""
    for name, value in headers:
        if name == b"x-request-id":
            request_id = value
        elif name == b"host":
            host = value
    if not _REQUEST_ID.fullmatch(request_id):
        return new_request_id(), host.decode("latin-1")
    return request_id.decode(), host.decode("latin-1")


def new_request_id() -> str:
    """An id that no other request has."""
    return os.urandom(12).hex()


def dressed(headers: Collection[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """An answer's headers with ours; one that it brings itself stands."""
    own = {name for name, _ in headers}
    ours = [header for header in SECURE_HEADERS if header[0] not in own]
    return [*headers, *ours, (b"x-request-id", request_id.encode())]


def _answer(error: Exception, request_id: str) -> Response:
    if isinstance(error, HTTPException):
        return http_problem(error, request_id)
    if isinstance(error, ChargehandError):
        answer = problem_of(error, request_id)
        if answer.status_code >= 500:
            logger.error("request %s: %s: %s", request_id, error.code, error, exc_info=error)
        return answer
    logger.error("request %s failed", request_id, exc_info=error)
    return internal(request_id)


def http_problem(error: HTTPException, request_id: str) -> Response:
    """What the framework, or a layer of ours, refuses by HTTP's own rules."""
    code = HTTP_CODES.get(error.status_code, "bad_request")
    return problem(error.status_code, code, str(error.detail), request_id=request_id, headers=error.headers)
