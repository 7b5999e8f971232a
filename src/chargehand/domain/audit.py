"""The audit: who did what to what, from where, with what result. Entries of a tenant form a chain of hashes.

Rule: an entry's hash covers all of its fields and the hash of the entry before it. So a field that was changed and an
entry that was removed, put in between or moved are found by walking the chain. Removing the newest entries leaves a
chain that is whole; it is found by a head that was noted before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import cast

from chargehand.domain.values import JsonObject, content_hash
from chargehand.errors import InvalidInput

FORMAT = 1
BEFORE_THE_FIRST = "0" * 64
"""What the first entry has in the place of the hash before it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Action(StrEnum):
    """What was done, as `object.what`; the part before the point is the kind of object."""

    AGENT_PUBLISHED = "agent.published"
    APPROVAL_DECIDED = "approval.decided"
    KEY_ISSUED = "key.issued"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    MASTER_KEY_REWRAPPED = "master_key.rewrapped"
    MCP_TOOL_APPROVED = "mcp_tool.approved"
    REQUEST_DENIED = "request.denied"
    """A key lacked the scope (403)."""
    REQUEST_UNAUTHENTICATED = "request.unauthenticated"
    """No key, or none that is valid (401); one entry an address and minute, with how many there were."""
    SCHEDULE_CREATED = "schedule.created"
    SCHEDULE_CHANGED = "schedule.changed"
    SCHEDULE_REMOVED = "schedule.removed"
    SECRET_PUT = "secret.put"  # noqa: S105 - the name of an action
    SECRET_DELETED = "secret.deleted"  # noqa: S105 - as above
    SESSION_OPENED = "session.opened"
    SESSION_ENDED = "session.ended"
    STORAGE_SWEPT = "storage.swept"
    TASK_ANSWERED = "task.answered"
    TASK_CANCELED = "task.canceled"
    TASK_MESSAGED = "task.messaged"
    TASK_RETRIED = "task.retried"
    TASKS_PRUNED = "tasks.pruned"
    TENANT_CREATED = "tenant.created"
    TENANT_CHANGED = "tenant.changed"
    TENANT_LIMITED = "tenant.limited"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_REMOVED = "webhook.removed"
    WEBHOOK_ROTATED = "webhook.rotated"
    WEBHOOK_TESTED = "webhook.tested"
    WEBHOOK_REDELIVERED = "webhook.redelivered"

    @property
    def object_kind(self) -> str:
        """What it was done to."""
        return self.value.partition(".")[0]


class Result(StrEnum):
    """How it went. What could not be accepted as it was sent changed nothing and has no entry."""

    DONE = "done"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest entry of a chain: whoever notes it can tell later that nothing before it was removed."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries of a tenant; None: whatever it is."""

    actor_id: str | None = None
    action: str | None = None
    object_kind: str | None = None
    object_id: str | None = None
    result: str | None = None
    since: datetime | None = None
    until: datetime | None = None


EMPTY = Head(number=0, hash=BEFORE_THE_FIRST)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry. Texts are as they were at the time; nothing refers to rows that may go."""

    tenant: str
    number: int
    """Gapless from 1."""
    at: datetime
    actor_id: str
    actor_kind: str
    action: str
    object_kind: str
    object_id: str
    address: str
    """`local`: somebody at the machine itself, past HTTP."""
    request_id: str | None
    result: str
    details: JsonObject
    previous_hash: str
    hash: str

    def as_data(self) -> JsonObject:
        """As JSON, in the order of the fields."""
        return {
            "tenant": self.tenant,
            "number": self.number,
            "at": _time_text(self.at),
            "actor": {"id": self.actor_id, "kind": self.actor_kind},
            "action": self.action,
            "object": {"id": self.object_id, "kind": self.object_kind},
            "address": self.address,
            "request_id": self.request_id,
            "result": self.result,
            "details": self.details,
            "previous_hash": self.previous_hash,
            "hash": self.hash,
        }

    def computed_hash(self) -> str:
        """What the hash has to be."""
        data = self.as_data()
        del data["hash"]
        return content_hash(["chargehand audit", FORMAT, data])

    def sealed(self) -> "AuditEntry":
        """With its hash."""
        return replace(self, hash=self.computed_hash())


def entry_of(data: Mapping[str, object]) -> AuditEntry:
    """An entry from its JSON. InvalidInput when it is none."""
    try:
        actor = cast("Mapping[str, object]", data["actor"])
        thing = cast("Mapping[str, object]", data["object"])
        request_id, details, number = data["request_id"], data["details"], data["number"]
        if not isinstance(details, dict) or type(number) is not int or set(data) != _FIELDS:
            raise TypeError
        return AuditEntry(
            tenant=_text(data["tenant"]),
            number=number,
            at=datetime.fromisoformat(_text(data["at"])),
            actor_id=_text(actor["id"]),
            actor_kind=_text(actor["kind"]),
            action=_text(data["action"]),
            object_kind=_text(thing["kind"]),
            object_id=_text(thing["id"]),
            address=_text(data["address"]),
            request_id=None if request_id is None else _text(request_id),
            result=_text(data["result"]),
            details=cast("JsonObject", details),
            previous_hash=_text(data["previous_hash"]),
            hash=_text(data["hash"]),
        )
    except (KeyError, TypeError, ValueError):
        raise InvalidInput("this is no entry of an audit") from None


_FIELDS = {
    *("tenant", "number", "at", "actor", "action", "object", "address", "request_id", "result", "details"),
    *("previous_hash", "hash"),
}


class Chain:
    """Walks the entries of one tenant in order, and stops at the first that does not belong."""

    def __init__(self) -> None:
        self.head = EMPTY
        self._tenant: str | None = None
        self._expected: set[str] = set()

    def expect(self, head_hash: str) -> None:
        """An entry with this hash has to come by."""
        if head_hash != BEFORE_THE_FIRST:
            self._expected.add(head_hash)

    def add(self, entry: AuditEntry) -> str | None:
        """What is wrong with the next entry; None: nothing."""
        before, self._tenant = self._tenant or entry.tenant, self._tenant or entry.tenant
        if entry.tenant != before:
            return f"belongs to tenant {entry.tenant!r}, the entries before it to {before!r}"
        if entry.number != self.head.number + 1:
            return f"comes after entry {self.head.number}: entries are missing, moved or doubled"
        if entry.previous_hash != self.head.hash:
            return "does not follow the entry before it: that one was replaced, or this one was"
        if entry.hash != entry.computed_hash():
            return "was changed: its hash is not that of its fields"
        self.head = Head(number=entry.number, hash=entry.hash)
        self._expected.discard(entry.hash)
        return None

    def missing(self) -> list[str]:
        """At the end: the heads that were expected and did not come by, so that entries are gone."""
        return sorted(self._expected)


def _time_text(at: datetime) -> str:
    """Whole microseconds in UTC, always six digits: one spelling for one time."""
    microseconds = (at - _EPOCH) // timedelta(microseconds=1)
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
