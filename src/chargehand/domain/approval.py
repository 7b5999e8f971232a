"""A call that waits for a person: what is asked, what may be answered, and what the answer is bound to.

Rule: an approval is for one call, named by the hash of its tool and arguments; it is good for nothing else.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chargehand.domain.values import JsonObject, JsonValue, content_hash


class ApprovalStatus(StrEnum):
    """Where an approval stands; only `open` is followed by another."""

    OPEN = "open"
    APPROVED = "approved"
    EDITED = "edited"
    """Approved with other arguments than were asked for."""
    DENIED = "denied"
    EXPIRED = "expired"
    """Nobody decided in time: the default was taken."""
    WITHDRAWN = "withdrawn"
    """The task ended before anybody decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A row of `approvals`."""

    id: str
    tenant: str
    task_id: str
    root_id: str
    path: str
    """The step that waits for it."""
    agent_id: str
    tool: str
    arguments: JsonObject
    arguments_hash: str
    why: str
    """The rule that asks."""
    status: ApprovalStatus
    default_action: str
    """`approve` or `deny`: what is done when nobody decides in time."""
    edited_arguments: JsonObject | None
    comment: str | None
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    decided_by: str | None

    @property
    def may_run(self) -> bool:
        """Whether the call is run, once it is decided."""
        if self.status is ApprovalStatus.EXPIRED:
            return self.default_action == "approve"
        return self.status in (ApprovalStatus.APPROVED, ApprovalStatus.EDITED)

    def as_result(self) -> JsonObject:
        """What the step of a decided approval holds."""
        arguments = self.arguments if self.edited_arguments is None else self.edited_arguments
        return {
            "approval_id": self.id,
            "status": self.status.value,
            "may_run": self.may_run,
            "arguments": self.edited_arguments,
            "arguments_hash": call_hash(self.tool, arguments),
            "comment": self.comment,
            "by": self.decided_by,
        }

    def as_event(self) -> JsonObject:
        """What watchers are told of it."""
        told: dict[str, JsonValue] = {
            "approval_id": self.id,
            "path": self.path,
            "tool": self.tool,
            "why": self.why,
            "arguments_hash": self.arguments_hash,
            "expires_at": self.expires_at.isoformat(),
            "default": self.default_action,
        }
        if self.status is not ApprovalStatus.OPEN:
            told |= {"status": self.status.value, "by": self.decided_by, "comment": self.comment}
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decided."""

    approve: bool
    arguments_hash: str | None = None
    """When given it must be that of the call: who decides has seen what is run."""
    arguments: JsonObject | None = None
    """What is run instead of what was asked for."""
    reason: str | None = None

    @property
    def status(self) -> ApprovalStatus:
        """What it makes of an open approval."""
        if not self.approve:
            return ApprovalStatus.DENIED
        return ApprovalStatus.APPROVED if self.arguments is None else ApprovalStatus.EDITED


def call_hash(tool: str, arguments: JsonObject) -> str:
    """What an approval is bound to."""
    return content_hash({"tool": tool, "arguments": arguments})
