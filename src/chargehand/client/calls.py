"""What is sent: each call of the API as a value, before anything carries it."""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from chargehand.domain.values import JsonObject
from chargehand.errors import InvalidInput, Unauthorized

DEFAULT_URL = "http://127.0.0.1:8700"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, as a value."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    repeatable: bool = True
    """Sending it twice does the same as sending it once."""


def path_of(*parts: str) -> str:
    """A path whose parts are escaped: an id from a user never reaches another route."""
    for part in parts:
        if part in {"", ".", ".."}:
            raise InvalidInput(f"{part!r} is no id")
    return "/" + "/".join(quote(part, safe="") for part in parts)


def query_of(given: Mapping[str, object]) -> list[tuple[str, str]]:
    """The query that says what was given; None was not."""
    return [(name, str(value)) for name, value in given.items() if value is not None]


def fields_of(given: Mapping[str, object]) -> dict[str, object]:
    """The fields of a body that say what was given; None was not."""
    return {name: value for name, value in given.items() if value is not None}


def submission(
    agent_id: str,
    task_data: JsonObject,
    *,
    idempotency_key: str | None = None,
    labels: Mapping[str, str] | None = None,
    context_id: str | None = None,
    priority: int = 0,
    run_after: str | None = None,
    timeout_seconds: float | None = None,
    budget: JsonObject | None = None,
    output_schema: JsonObject | None = None,
    wait_seconds: float = 0,
) -> Call:
    """POST a task. Without a key one is made, so that a lost answer does not become a second task."""
    body: dict[str, object] = {"task_data": task_data}
    extras = {
        "labels": dict(labels or {}),
        "context_id": context_id,
        "priority": priority,
        "run_after": run_after,
        "timeout_seconds": timeout_seconds,
        "budget": budget,
        "output_schema": output_schema,
    }
    body |= {
        name: value
        for name, value in extras.items()
        if value or (name == "output_schema" and value is not None)
    }
    headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4()), **_prefer(wait_seconds)}
    return sending("POST", path_of("agents", agent_id, "tasks"), body, headers=headers, repeatable=True)


def listing(
    *,
    agent_id: str | None = None,
    status: str | None = None,
    labels: Mapping[str, str] | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call:
    """GET a page of tasks, newest first."""
    given = {"agent_id": agent_id, "status": status, "cursor": cursor, "limit": limit}
    wanted = [("label", f"{name}:{value}") for name, value in (labels or {}).items()]
    return Call(method="GET", path="/tasks", query=[*query_of(given), *wanted])


def usage_report(
    *,
    group_by: str = "day",
    since: str | None = None,
    until: str | None = None,
    agent_id: str | None = None,
    root_id: str | None = None,
    task_id: str | None = None,
    limit: int | None = None,
) -> Call:
    """GET what models have cost; `since` and `until` are days such as 2030-01-31, and both count."""
    given = {
        "group_by": group_by,
        "from": since,
        "to": until,
        "agent_id": agent_id,
        "root_id": root_id,
        "task_id": task_id,
        "limit": limit,
    }
    return Call(method="GET", path="/usage", query=query_of(given))


def sending(
    method: str,
    path: str,
    body: object,
    *,
    headers: Mapping[str, str] | None = None,
    repeatable: bool = False,
) -> Call:
    """A call with a JSON body; InvalidInput when the body is no JSON."""
    try:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"this cannot be sent as JSON: {error}") from None
    return Call(
        method=method,
        path=path,
        headers={"Content-Type": "application/json", **(headers or {})},
        body=content,
        repeatable=repeatable,
    )


def _prefer(wait_seconds: float) -> dict[str, str]:
    return {"Prefer": f"wait={wait_seconds:g}"} if wait_seconds > 0 else {}


def wait_seconds_of(call: Call) -> float:
    """How long the service may take on purpose, by `Prefer: wait`."""
    found = re.fullmatch(r"wait=([0-9.]+)", call.headers.get("Prefer", ""))
    return float(found[1]) if found else 0.0


def service_url(text: str) -> str:
    """The address of a service without a trailing slash; InvalidInput when it is none."""
    url = text.strip()
    if "://" not in url:
        url = f"http://{url}"
    try:
        place = urlsplit(url)
        sound = place.scheme in {"http", "https"} and bool(place.hostname) and (place.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or not url.isprintable() or " " in url:
        raise InvalidInput(f"{text[:200]!r} is no address of a service; write it like {DEFAULT_URL}")
    return url.rstrip("/")


def checked_key(text: str) -> str:
    """A key as it goes into a header; Unauthorized when it cannot be one."""
    key = text.strip()
    if not re.fullmatch(r"[\x21-\x7e]{1,512}", key):
        raise Unauthorized("the key holds characters that no key has; copy it again from where it was made")
    return key


def is_loopback(url: str) -> bool:
    """Whether the address is this machine's own."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))
