"""Errors as answers: application/problem+json (RFC 9457), the same shape everywhere.

Rule: the body tells what is wrong and the way out, never what was sent, never a traceback.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import islice

from pydantic import ValidationError
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.domain.roles import ROLES
from chargehand.domain.tenant import TENANT_ID_FORM, TENANT_ID_PATTERN
from chargehand.errors import (
    ChargehandError,
    Finding,
    InvalidInput,
    StorageFull,
    TenantStorageFull,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from chargehand.wire.access import ROLE_PATTERN, SCOPE_PATTERN
from chargehand.wire.answers import to_json
from chargehand.wire.rest import PROBLEM_TYPE, SOMETHING

RETRY_SECONDS = 5
REALM = 'Bearer realm="chargehand"'

HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    414: "uri_too_long",
    431: "head_too_large",
}
"""Codes of what HTTP itself forbids; the others stand in chargehand.errors."""

# Named anew by RFC 9110; which name Python gives depends on its version.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
_MOST_FINDINGS = 50


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: str,
    findings: Sequence[Finding] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem body."""
    body = {
        "type": "about:blank",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "findings": [
            {"where": one.where, "message": one.message, "hint": one.hint, "line": one.line}
            for one in findings[:_MOST_FINDINGS]
        ],
        "request_id": request_id,
    }
    return Response(to_json(body), status_code=status, media_type=PROBLEM_TYPE, headers=headers)


def problem_of(error: ChargehandError, request_id: str) -> Response:
    """What a caller is told of an error of ours. One that is no caller's business is told as `internal`."""
    if error.status >= 500 and not isinstance(error, StorageFull | TenantStorageFull | Unavailable):
        return internal(request_id)
    headers: dict[str, str] = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = f'{REALM}, error="invalid_token"' if error.is_of_token else REALM
    elif isinstance(error, StorageFull | TenantStorageFull | Unavailable | TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_seconds or RETRY_SECONDS)
    if error.status in (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT):
        # What is left of the body is not read.
        headers["Connection"] = "close"
    return problem(
        error.status,
        error.code,
        error.message,
        request_id=request_id,
        findings=error.findings,
        headers=headers,
    )


def internal(request_id: str) -> Response:
    """Something went wrong here; the log knows what, under the request's id."""
    return problem(
        500,
        ChargehandError.code,
        "the service failed to handle this request; its log has the cause under this request_id",
        request_id=request_id,
    )


def invalid_body(error: ValidationError) -> InvalidInput:
    """What pydantic found, in our words and without what was sent."""
    findings = [
        Finding(
            where=".".join(_part(part) for part in one["loc"]) or "body",
            message=_BY_TYPE.get(one["type"])
            or _MESSAGES.get(one["msg"], one["msg"].removeprefix("Value error, ")),
            hint=_HINTS.get(one["type"], ""),
        )
        # A body of ten thousand unknown fields has as many faults; to word them all would keep the loop.
        for one in islice(
            error.errors(include_url=False, include_input=False, include_context=False), _MOST_FINDINGS
        )
    ]
    return InvalidInput(f"the body cannot be accepted: {findings[0]}", findings=findings)


_PATTERNS = {
    TENANT_ID_PATTERN: f"is {TENANT_ID_FORM}",
    ROLE_PATTERN: f"is no role; there are: {', '.join(ROLES)}",
    SOMETHING: "has nothing but spaces in it, or a NUL",
    SCOPE_PATTERN: f"is no scope; there are: {', '.join(Scope)}, and such as tasks:*",
}
"""What is told instead of the regular expression that did not match."""
_MESSAGES = {
    "String should have at least 1 character": "must not be empty",
    **{f"String should match pattern '{pattern}'": told for pattern, told in _PATTERNS.items()},
}
_BY_TYPE = {"model_type": "must be a JSON object"}
_HINTS = {
    "extra_forbidden": "remove it, or correct its spelling",
    "missing": "add it",
}


def _part(part: int | str) -> str:
    """A name that the caller chose is shown only as far as it is short and plain."""
    text = str(part)
    return text if len(text) <= 64 and text.isprintable() and text.isascii() else "…"
