"""The bodies about the audit."""

from datetime import datetime
from typing import Any, Literal

from chargehand.wire.bases import Answer


class AuditActor(Answer):
    """Who did it."""

    id: str
    kind: str
    """`key`, `local` (the machine's operator), `service` (by itself) or `anonymous`."""


class AuditObject(Answer):
    """What it was done to."""

    id: str
    kind: str


class AuditEntryBody(Answer):
    """One entry; `hash` covers all of its fields and `previous_hash`."""

    tenant: str
    number: int
    """Gapless from 1."""
    at: str
    actor: AuditActor
    action: str
    object: AuditObject
    address: str
    """The client's; `local` for what was done past HTTP."""
    request_id: str | None
    result: Literal["done", "denied"]
    details: dict[str, Any]
    previous_hash: str
    hash: str


class AuditHead(Answer):
    """The newest entry. Noted elsewhere, it tells later whether entries were removed at the end."""

    number: int
    hash: str


class AuditPage(Answer):
    """A part of the list, newest first."""

    items: list[AuditEntryBody]
    next_cursor: str | None
    """Give it as `cursor` to get what follows; null: that was all."""
    head: AuditHead


def time_of(text: str) -> datetime:
    """A time with its zone. ValueError for what is none."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("it has no time zone")
    return found
