"""The outermost layer: request id, secure headers, the Host check, errors as problem bodies.

Rule: an error of ours is told with its code, any other as `internal`, with its cause in the log under the
request's id.
"""

import logging
import os
import re
import time
from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chargehand.errors import ChargehandError, TooManyRequests
from chargehand.serve.low_priority import LowPriority
from chargehand.serve.problems import HTTP_CODES, internal, problem, problem_of
from chargehand.serve.requests import method_and_route
from chargehand.serve.secure_headers import SecureHeaders
from chargehand.settings import LOOPBACK_HOSTS
from chargehand.telemetry.logs import telling
from chargehand.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?")


class Edge:
    """Wraps the whole application (pure ASGI)."""

    def __init__(
        self, app: ASGIApp, trusted_hosts: Iterable[str], metrics: Metrics, headers: SecureHeaders
    ) -> None:
        self._app = app
        self._headers = headers
        self._metrics = metrics
        self._low_priority = LowPriority()
        self._hosts = {host.lower().strip("[]") for host in (*LOOPBACK_HOSTS, *trusted_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, host, authorization = _from_headers(scope["headers"])
        scope["request_id"] = request_id
        started = False
        came_at = time.perf_counter()
        asked = await self._low_priority.begin(authorization)

        async def send_dressed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                self._low_priority.end(asked)
                if message["status"] == TooManyRequests.status:
                    await self._low_priority.refused(asked)
                started = True
                method, route = method_and_route(scope)
                self._metrics.http_requests.add(method, route, str(message["status"]))
                self._metrics.http_seconds.add(route, seconds=time.perf_counter() - came_at)
                headers = [*message["headers"], *scope.get("rate_fields", ())]
                message["headers"] = self._headers.dress(headers, request_id)
            await send(message)

        with telling(request_id=request_id):
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
                await answer(scope, receive, send_dressed)
            finally:
                self._low_priority.end(asked)

    def _check_host(self, host: str) -> None:
        """A name that is not ours is a page elsewhere that had its name resolved to this machine."""
        parts = _HOST.fullmatch(host.lower())
        if parts is None or parts["name"].strip("[]") not in self._hosts:
            raise HTTPException(
                400, "the Host header names no host of this service (CHARGEHAND_TRUSTED_HOSTS)"
            )


class Problems:
    """Answers what goes wrong further inside, for a layer between here and Edge that adds to every answer (CORS)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except ClientDisconnect:
            raise
        except Exception as error:
            if started:
                raise
            await _answer(error, scope["request_id"])(scope, receive, send)


def _from_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str, bytes]:
    """The request's id, its host and its `Authorization`."""
    request_id = host = authorization = b""
    for name, value in headers:
        if name == b"x-request-id":
            request_id = value
        elif name == b"host":
            # Of two, a proxy may have looked at the one and this service at the other: that is no name at all.
            host = b"" if host else value
        elif name == b"authorization":
            authorization = value
    if not _REQUEST_ID.fullmatch(request_id):
        return new_request_id(), host.decode("latin-1"), authorization
    return request_id.decode(), host.decode("latin-1"), authorization


def new_request_id() -> str:
    """An id that no other request has."""
    return os.urandom(12).hex()


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
