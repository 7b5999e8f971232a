"""Loaded by schemathesis: replaces what is valid by the document and yet refused for what else there is.

An idempotency key that another case used, a time further away than a task may be delayed, and of a schedule what
must be known (its agent, its zone), written as cron has it, or not taken yet (its name); of a webhook its address.
"""

import os
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import schemathesis
from pydantic import BaseModel

from chargehand.wire.rest import IDEMPOTENCY_KEY_PATTERN, TaskSubmission
from chargehand.wire.schedules import ScheduleChange
from chargehand.wire.webhooks import WebhookChange

SPARED = frozenset(os.environ.get("SCHEMATHESIS_SPARES", "").split())
"""Ids of what all requests stand on, their own key and tenant: no request changes it."""


def before_call(context: schemathesis.HookContext, case: Any, kwargs: Any) -> None:
    del context, kwargs
    named = cast("dict[str, Any]", case.path_parameters or {})
    for name, value in named.items():
        if case.method != "GET" and value in SPARED:
            named[name] = f"{value[:-1]}x"
    headers: dict[str, Any] = case.headers or {}
    key = headers.get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch(IDEMPOTENCY_KEY_PATTERN, key):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    body: Any = case.body
    if isinstance(body, dict) and _is_a_time(cast("dict[str, Any]", body).get("run_after")):
        case.body["run_after"] = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    if isinstance(body, dict) and case.path.startswith("/schedules"):
        known = {"agent_id": "echo", "cron": "@daily", "time_zone": "UTC", "name": uuid.uuid4().hex}
        for name, value in known.items():
            if _fits(ScheduleChange, name, cast("dict[str, Any]", body).get(name)):
                case.body[name] = value
    if isinstance(body, dict) and case.path.startswith("/webhooks"):
        url = cast("dict[str, Any]", body).get("url")
        case.body |= {"url": "https://example.com/hook"} if _fits(WebhookChange, "url", url) else {}


def _fits(model: type[BaseModel], name: str, value: Any) -> bool:
    try:
        model.model_validate({name: value})
    except ValueError:
        return False
    return True


def _is_a_time(value: Any) -> bool:
    try:
        TaskSubmission.model_validate({"task_data": {}, "run_after": value})
    except ValueError:
        return False
    return value is not None


register: Any = cast("Any", schemathesis).hook
register(before_call)
