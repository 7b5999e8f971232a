"""What is wrong with an answer: its status, its media type, its shape, its headers, what it repeats."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from review.fuzz.hostile import CANARY
from review.fuzz.operations import Operation

NEEDED = (b"x-content-type-options", b"content-security-policy", b"cache-control", b"x-request-id")
_WITHOUT_ROUTE = frozenset({"400", "401", "403", "404", "405", "408", "413", "414", "429", "431"})
_PROBLEM = "application/problem+json"
_REFUSED_UNREAD = {401: 0.2, 429: 0.05}
"""What part of the answers may be of these statuses at most: such requests have not reached what they were made for."""


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    body: bytes = b""

    @property
    def media_type(self) -> str:
        return self.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0]


def faults(method: str, operation: Operation | None, answer: Answer) -> list[str]:
    """Each in words; with none it is as it should be."""
    status = str(answer.status)
    found: list[str] = []
    if answer.status >= 500:
        # Also those that are declared: nothing is short here.
        return [f"{status}: {answer.body[:200]!r}"]
    declared = _WITHOUT_ROUTE if operation is None else operation.answers
    if status not in declared and not (operation is None and method == "OPTIONS" and answer.status == 200):
        found.append(f"{status} is not declared")
    elif operation is not None and answer.media_type not in (operation.answers[status] or {""}):
        found.append(f"{status} as {answer.media_type!r} is not declared")
    found += [f"no header {name.decode()}" for name in NEEDED if name not in answer.headers]
    if answer.status >= 400 and method != "HEAD":
        found += _problem_faults(answer)
    return found


def _problem_faults(answer: Answer) -> list[str]:
    if answer.media_type != _PROBLEM:
        return [f"{answer.status} is told as {answer.media_type!r}"]
    try:
        told = json.loads(answer.body)
    except ValueError:
        return [f"{answer.status} holds no JSON"]
    found = [
        f"a problem without {name}" for name in ("status", "code", "detail", "request_id") if name not in told
    ]
    # Names that a caller gave (of a question, a field, an agent) are told back; values that do not fit are not.
    repeated = (
        told.get("code") == "invalid_input" and CANARY in f"{told.get('detail')} {told.get('findings')}"
    )
    return [*found, "what was sent is repeated"] if repeated else found


def refused_unread(statuses: Mapping[int, int] | Mapping[str, int]) -> list[str]:
    """What a run falls short of, in words, where too many of its requests were refused before they were looked at."""
    counts = {int(status): count for status, count in statuses.items() if str(status).isdecimal()}
    return [
        f"{counts[status]} of {sum(counts.values())} answers are {status}: refused before they were looked at"
        for status, most in _REFUSED_UNREAD.items()
        if counts.get(status, 0) > most * sum(counts.values())
    ]
