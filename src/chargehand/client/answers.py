"""What comes back: an answer's body, or the error of the tree that a problem document stands for."""

import json
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, ValidationError

from chargehand.errors import (
    ChargehandError,
    Finding,
    Forbidden,
    InvalidInput,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from chargehand.wire import rest


class NotChargehand(ChargehandError):
    """Another program answers at the service's address."""

    code = "not_chargehand"
    status = 502


_Answer = TypeVar("_Answer", bound=BaseModel)


def answer_of(model: type[_Answer], response: httpx2.Response) -> _Answer:
    """The answer's body; the error that it tells of; NotChargehand when no Chargehand service wrote it."""
    require_success(response)
    try:
        return model.model_validate_json(response.content)
    except ValidationError:
        raise not_chargehand(response) from None


def require_success(response: httpx2.Response) -> None:
    """Raise the error that the answer tells of, if it tells of one."""
    if not response.is_success:
        raise error_of(response)


def error_of(response: httpx2.Response) -> ChargehandError:
    """The error of the tree in `errors` that a problem document stands for."""
    try:
        loaded: Any = json.loads(response.content)
    except ValueError:
        loaded = None
    if not isinstance(loaded, dict) or "code" not in loaded:
        return not_chargehand(response)
    problem = cast("dict[str, Any]", loaded)
    code, message = str(problem["code"]), str(problem.get("detail") or problem.get("title") or "")
    kind = _error_classes().get(code) or _BY_STATUS.get(response.status_code, ChargehandError)
    error = kind(message, findings=_findings(problem.get("findings")))
    # A code that this version does not know keeps its name, so that programs can tell it.
    error.code, error.status = code, response.status_code
    return error


_BY_STATUS: dict[int, type[ChargehandError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    422: InvalidInput,
    429: TooManyRequests,
    503: Unavailable,
}


def _error_classes() -> dict[str, type[ChargehandError]]:
    found: dict[str, type[ChargehandError]] = {}
    left: list[type[ChargehandError]] = [ChargehandError]
    while left:
        kind = left.pop()
        found[kind.code] = kind
        left += kind.__subclasses__()
    return found


def _findings(listed: object) -> list[Finding]:
    items = cast("list[Any]", listed) if isinstance(listed, list) else []
    try:
        bodies = [rest.FindingBody.model_validate(item) for item in items]
    except ValidationError:
        return []
    return [Finding(where=one.where, message=one.message, hint=one.hint, line=one.line) for one in bodies]


def not_chargehand(response: httpx2.Response) -> ChargehandError:
    """What to say of an answer that no Chargehand service wrote; a proxy's may be gone in a moment."""
    place = urlsplit(str(response.request.url))
    kind = response.headers.get("content-type", "no content type").partition(";")[0]
    where = f" and points to {response.headers['location'][:200]}" if "location" in response.headers else ""
    message = (
        f"{place.scheme}://{place.netloc} does not answer as a Chargehand service does"
        f" (HTTP {response.status_code}, {kind}{where}); check the address"
    )
    return (Unavailable if response.status_code in {502, 503, 504} else NotChargehand)(message)


def event_of(text: str, response: httpx2.Response) -> rest.EventBody:
    """The event that one message of a stream holds."""
    try:
        return rest.EventBody.model_validate_json(text)
    except ValidationError:
        raise not_chargehand(response) from None


def delta_of(text: str, response: httpx2.Response) -> rest.DeltaBody:
    """The piece of a model's answer that one message of a stream holds."""
    try:
        return rest.DeltaBody.model_validate_json(text)
    except ValidationError:
        raise not_chargehand(response) from None


def retry_after(response: httpx2.Response, otherwise: float) -> float:
    """The seconds that the service asks a caller to wait."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdigit() else otherwise
