"""Loaded by schemathesis: replaces what is valid by the document and yet refused for what else there is.

An idempotency key that another case used, and a time further away than a task may be delayed.
"""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import schemathesis

from chargehand.wire.rest import IDEMPOTENCY_KEY_PATTERN, TaskSubmission


def before_call(context: schemathesis.HookContext, case: Any, kwargs: Any) -> None:
    del context, kwargs
    headers: dict[str, Any] = case.headers or {}
    key = headers.get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch(IDEMPOTENCY_KEY_PATTERN, key):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    body: Any = case.body
    if isinstance(body, dict) and _is_a_time(cast("dict[str, Any]", body).get("run_after")):
        case.body["run_after"] = (datetime.now(UTC) + timedelta(days=1)).isoformat()


def _is_a_time(value: Any) -> bool:
    try:
        TaskSubmission.model_validate({"task_data": {}, "run_after": value})
    except ValueError:
        return False
    return value is not None


register: Any = cast("Any", schemathesis).hook
register(before_call)
