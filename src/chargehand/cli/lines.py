"""Events as lines: for logs and pipes, where no tree can be drawn, and as JSON for programs."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from chargehand.cli.event_data import mapping, mappings, number, text
from chargehand.domain.history import EventKind
from chargehand.wire.rest import EventBody

MAX_LINE = 240
MAX_ABOUT = 100
"""Of a step that went wrong, so that why it did has room behind."""


def line_of(event: EventBody, agent_id: str) -> str | None:
    """One line with the time in UTC, the agent, and what happened; None for what would only be noise."""
    said = _describe(event.kind, event.data)
    if said is None:
        return None
    return f"{clock_time(event.at)}  {agent_id:<22} {shortened(one_line(said))}"


def json_line(value: object) -> str:
    """One JSON value on one line, in characters that every code page has."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def clock_time(at: datetime) -> str:
    """A time as logs begin with."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_text(at: datetime | None) -> str:
    """A time for people, in UTC as everywhere."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else ""


def seconds_text(seconds: float) -> str:
    """A duration for people: 0.4 s, 12 s, 3:07, 1:02:03."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size_text(size_bytes: int) -> str:
    """A size for people."""
    size = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def one_line(words: str) -> str:
    """Text without line breaks and without characters that would steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in words).strip()


def shortened(words: str, most: int = MAX_LINE) -> str:
    """Text cut to so many characters."""
    return words if len(words) <= most else words[: most - 3] + "..."


def _describe(kind: str, data: dict[str, Any]) -> str | None:
    if kind in _SILENT:
        return None
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain
    describe = _DESCRIPTIONS.get(kind)
    # An event of a newer service is still told, by its name.
    return describe(data) if describe is not None else kind


def _submitted(data: dict[str, Any]) -> str:
    picked = mapping(data, "selection")
    return f"accepted; picked by {text(picked, 'by')}: {text(picked, 'why')}" if picked else "accepted"


def _started(data: dict[str, Any]) -> str:
    # Every wait that ends begins another attempt, so the number says nothing to people.
    return "started" if number(data, "attempt", 1) == 1 else "goes on"


def _waiting(data: dict[str, Any]) -> str:
    until = f" until {data['until']}" if data.get("until") else ""
    return f"waits: {text(data, 'reason')}{until}"


def _failed(data: dict[str, Any]) -> str:
    return f"FAILED ({text(data, 'reason')}): {text(mapping(data, 'error'), 'message')}"


def _deferred(data: dict[str, Any]) -> str:
    pause = seconds_text(number(data, "retry_in_seconds"))
    return f"failed, is tried again in {pause}: {text(mapping(data, 'error'), 'message')}"


def _step(data: dict[str, Any]) -> str | None:
    if data.get("kind") in _TOLD_OTHERWISE:
        return None
    mark = "ERROR " if data.get("is_error") else ""
    lasted = seconds_text(number(data, "duration_seconds"))
    why = f": {text(data, 'error')}" if mark and text(data, "error") else ""
    about = f"{text(data, 'name')} {text(data, 'summary')}".strip()
    about = shortened(about, MAX_ABOUT) if why else about
    return f"{mark}{about} ({lasted}){why}"


def _approval_decided(data: dict[str, Any]) -> str:
    comment = text(data, "comment")
    return f"{text(data, 'tool')} is {text(data, 'status')}" + (f": {comment}" if comment else "")


def _delegated(data: dict[str, Any]) -> str:
    names = ", ".join(text(one, "agent_id") for one in mappings(data, "children"))
    return f"hands work to {names}"


def _checked(data: dict[str, Any]) -> str:
    passed = data.get("passed") is True
    lasted = seconds_text(number(data, "duration_seconds"))
    verdict = "passed" if passed else "FAILED"
    said = f"check {verdict}: {text(data, 'deliverable')}: {text(data, 'check')} ({lasted})"
    last = [line for line in text(data, "output").splitlines() if line.strip()][-1:]
    return said if passed or not last else f"{said}: {last[0]}"


def _stored(data: dict[str, Any]) -> str:
    size = size_text(int(number(data, "size_bytes")))
    return f"delivered {text(data, 'name')}: {int(number(data, 'files'))} files, {size}"


def _canceled(data: dict[str, Any]) -> str:
    return f"canceled ({text(data, 'reason')})"


def _repair(data: dict[str, Any]) -> str:
    return f"checks failed: repair round {int(number(data, 'round', 1))}"


def _progress(data: dict[str, Any]) -> str:
    return text(data, "message")


_TOLD_OTHERWISE = frozenset({"check", "delegation", "question", "approval", "value"})
"""Kinds of steps whose own events say more, or that are only the agent's bookkeeping."""

_SILENT = frozenset({EventKind.WOKEN, EventKind.CHILD_FINISHED, EventKind.STEP_STARTED})
_PLAIN: dict[str, str] = {
    EventKind.RELEASED: "given back; it goes on from its journal",
    EventKind.RESCUED: "its worker is gone; it goes on from its journal",
    EventKind.CANCEL_REQUESTED: "is being canceled",
    EventKind.REOPENED: "is tried again",
    EventKind.COMPLETED: "completed",
    EventKind.APPROVAL_REQUESTED: "waits for a person's approval",
    EventKind.MESSAGE_RECEIVED: "is sent a message",
    EventKind.MESSAGE_TAKEN: "has read what it was sent",
    EventKind.ASKED: "asks a question",
    EventKind.ANSWERED: "has its answer",
}
_DESCRIPTIONS: dict[str, Callable[[dict[str, Any]], str | None]] = {
    EventKind.SUBMITTED: _submitted,
    EventKind.STARTED: _started,
    EventKind.WAITING: _waiting,
    EventKind.DEFERRED: _deferred,
    EventKind.FAILED: _failed,
    EventKind.CANCELED: _canceled,
    EventKind.STEP_FINISHED: _step,
    EventKind.APPROVAL_DECIDED: _approval_decided,
    EventKind.DELEGATED: _delegated,
    EventKind.PROGRESS: _progress,
    EventKind.CHECKED: _checked,
    EventKind.DELIVERED: _stored,
    EventKind.REPAIR: _repair,
}
