"""Query parameters and the few headers that routes read, checked before anyone uses them.

Rule: whatever a client puts there leads to an answer below 500, and a misspelt parameter is told instead of
being passed over.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeVar

from starlette.requests import Request

from chargehand.domain.task import Status
from chargehand.errors import Finding, InvalidInput
from chargehand.serve.routes import Parameter
from chargehand.wire.rest import (
    AGENT_ID_PATTERN,
    CONTEXT_ID_PATTERN,
    LABEL_KEY_PATTERN,
    MAX_WAIT_SECONDS,
    TASK_ID_PATTERN,
)

Read = TypeVar("Read")

MAX_SEQUENCE = 2**53 - 1
_LABEL_KEY = re.compile(LABEL_KEY_PATTERN)
_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)


def cursor_like(pattern: str) -> Parameter:
    """Where a list goes on that is cut at what matches this."""
    return Parameter(
        name="cursor",
        description="`next_cursor` of the page before.",
        schema={"type": "string", "pattern": pattern},
    )


CURSOR = cursor_like(r"^[\s\S]{1,512}$")
LIMIT = Parameter(
    name="limit",
    description="How many items at most.",
    schema={"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
)
AGENT = Parameter(
    name="agent_id",
    description="Only this agent's tasks.",
    schema={"type": "string", "pattern": AGENT_ID_PATTERN},
)
STATUS = Parameter(
    name="status",
    description="Only tasks that stand so.",
    schema={"type": "string", "enum": [status.value for status in Status]},
)
LABEL = Parameter(
    name="label",
    description="Only tasks with this label, as key:value; may be given several times.",
    schema={
        "type": "array",
        "maxItems": 32,
        "items": {"type": "string", "pattern": r"^[A-Za-z0-9_.-]{1,64}:[^\x00]{0,255}$"},
    },
)
PARENT = Parameter(
    name="parent_id",
    description="Only tasks that this task delegated.",
    schema={"type": "string", "pattern": TASK_ID_PATTERN},
)
CONTEXT = Parameter(
    name="context_id",
    description="Only tasks of this conversation.",
    schema={"type": "string", "pattern": CONTEXT_ID_PATTERN},
)
AFTER = Parameter(
    name="after",
    description="The sequence number of the last event that is known.",
    schema={"type": "integer", "minimum": 0, "maximum": MAX_SEQUENCE, "default": 0},
)
EVENT_LIMIT = Parameter(
    name="limit",
    description="How many events at most.",
    schema={"type": "integer", "minimum": 1, "maximum": 500, "default": 500},
)
LAST_EVENT_ID = Parameter(
    name="Last-Event-ID",
    place="header",
    description="As `after`; a browser sends it by itself when it takes a stream up again.",
    schema={"type": "string", "pattern": r"^[0-9]{1,15}$"},
)
PREFER = Parameter(
    name="Prefer",
    place="header",
    description=f"`wait=30`: answer when the task has ended, or after 30 s (at most {MAX_WAIT_SECONDS}).",
    schema={"type": "string"},
)
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    place="header",
    description="A repeated request with the same key and body is answered with the first one's task.",
    schema={"type": "string", "pattern": r"^[!-~]{1,255}$"},
)


class Query:
    """The query parameters that a route knows; others, and repeated ones, are refused."""

    def __init__(self, request: Request, known: Sequence[Parameter]) -> None:
        names = [parameter.name for parameter in known if parameter.place == "query"]
        self._values: Mapping[str, list[str]] = _collected(request)
        for name, values in self._values.items():
            if name not in names:
                close = get_close_matches(name, names, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
                raise _refused("query", "holds an unknown parameter", hint)
            if len(values) > 1 and name != LABEL.name:
                raise _refused(name, "is given more than once", "give it once")

    def text(self, parameter: Parameter) -> str | None:
        """A value that matches the parameter's pattern, or None when it is not given."""
        values = self._values.get(parameter.name)
        if values is None:
            return None
        pattern: str = parameter.schema["pattern"]
        if not re.fullmatch(pattern, values[0]):
            raise _refused(parameter.name, "is not of the form that it has to be", f"it matches {pattern}")
        return values[0]

    def number(self, parameter: Parameter) -> int:
        """A whole number within the parameter's bounds, or its default."""
        values = self._values.get(parameter.name)
        schema = parameter.schema
        if values is None:
            return schema["default"]
        number = whole_number(values[0])
        if number is None or not schema["minimum"] <= number <= schema["maximum"]:
            bounds = f"{schema['minimum']} to {schema['maximum']}"
            raise _refused(parameter.name, f"is not a whole number from {bounds}", "")
        return number

    def choice(self, parameter: Parameter) -> str | None:
        """One of the values that the parameter lists, or its default."""
        values = self._values.get(parameter.name)
        known = parameter.schema["enum"]
        if values is None:
            return parameter.schema.get("default")
        if values[0] not in known:
            raise _refused(
                parameter.name, f"is no {parameter.name} that there is", f"one of: {', '.join(known)}"
            )
        return values[0]

    def read(self, parameter: Parameter, reader: Callable[[str], Read], example: str) -> Read | None:
        """What the reader makes of the value; told by an example when it makes nothing of it."""
        values = self._values.get(parameter.name)
        if values is None:
            return None
        try:
            return reader(values[0])
        except (ValueError, OverflowError):
            raise _refused(parameter.name, "cannot be read", f"write it like {example}") from None

    def labels(self) -> dict[str, str] | None:
        """key:value, any number of them; all must fit. None: two values of one key, which no task has."""
        labels: dict[str, str] = {}
        given = self._values.get(LABEL.name, [])
        is_contradictory = False
        for text in given:
            key, colon, value = text.partition(":")
            if not colon or not _LABEL_KEY.fullmatch(key) or len(value) > 255 or "\x00" in value:
                raise _refused(LABEL.name, "is not of the form key:value", "label=team:billing")
            is_contradictory |= labels.setdefault(key, value) != value
        if len(given) > LABEL.schema["maxItems"]:
            raise _refused(LABEL.name, "is given too often", f"at most {LABEL.schema['maxItems']} times")
        return None if is_contradictory else labels


def last_seen(request: Request, after: int) -> int:
    """Where a reader of events goes on. A reconnecting browser keeps the URL, so the header is newer."""
    last = request.headers.get(LAST_EVENT_ID.name)
    if last is None:
        return after
    number = whole_number(last)
    if number is None or number > MAX_SEQUENCE:
        raise _refused(LAST_EVENT_ID.name, "is not a sequence number", "send the last id that was seen")
    return number


def wait_seconds(request: Request) -> int | None:
    """What `Prefer: wait` asks for, or None. A preference that cannot be read is passed over (RFC 7240)."""
    for header in request.headers.getlist("prefer"):
        for preference in header.split(","):
            found = _WAIT.fullmatch(preference.partition(";")[0].strip())
            if found is not None:
                return min(int(found[1]), MAX_WAIT_SECONDS)
    return None


def whole_number(text: str) -> int | None:
    """A number of up to 16 ASCII digits, or None."""
    return int(text) if re.fullmatch(r"[0-9]{1,16}", text, re.ASCII) else None


def _collected(request: Request) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    if request.scope["query_string"]:
        for name, value in request.query_params.multi_items():
            values.setdefault(name, []).append(value)
    return values


def _refused(where: str, message: str, hint: str) -> InvalidInput:
    finding = Finding(where=where, message=message, hint=hint)
    return InvalidInput(f"the request cannot be accepted: {finding}", findings=[finding])
