"""Every error a caller may handle.

A class stands for one thing that can be done about it; `code` is stable and goes over the wire, `status`
is the HTTP status of the problem body. A message names the thing and the way out.

    ChargehandError
    ├── InvalidInput                  what was sent cannot be accepted as it is
    │   ├── InvalidDefinition         an agent's Markdown file
    │   ├── InvalidSpecification      a service specification
    │   ├── InvalidCursor
    │   ├── WebhookUrlRefused         an address that webhooks are not sent to
    │   ├── NoAgentFits               a task for `auto`, and nobody whose description matches
    │   └── IdempotencyMismatch       the key was used before, with another payload
    ├── NotFound                      absent, or another tenant's
    │   ├── AgentNotFound
    │   ├── TaskNotFound
    │   ├── ApprovalNotFound
    │   ├── ScheduleNotFound
    │   ├── KeyNotFound
    │   ├── TenantNotFound
    │   ├── SecretNotFound
    │   ├── WebhookNotFound
    │   ├── WebhookDeliveryNotFound
    │   └── DeliverableNotFound
    ├── Conflict                      the thing's present state forbids it
    │   ├── IllegalMove               a task's status does not allow the move
    │   ├── ScheduleNameTaken         the tenant has a schedule of this name
    │   ├── ApprovalStale             the approval is for other arguments than the caller has seen
    │   ├── RuntimeMissing            the agent's runtime is not there yet
    │   ├── MasterKeyMissing          nothing to encrypt secrets with, or not the key that they need
    │   ├── PriceUnknown              a budget in USD, and a model whose price nobody knows
    │   └── DataFolderInUse           another process holds the data folder
    ├── Unauthorized / Forbidden      no valid key / a key without the scope
    │   └── TenantSuspended           a key of a tenant that the operator has suspended
    ├── PayloadTooLarge / UnsupportedMediaType
    ├── TooManyRequests
    ├── StorageFull                   the disk reserve is used up: nothing new is accepted
    ├── TenantStorageFull             the tenant stores as much as it may
    ├── ContentDamaged                stored bytes do not have their hash any more
    ├── Unavailable                   not now: starting, stopping, database out of reach
    │   └── RaceLost                  other transactions were in the way again and again
    ├── BudgetExhausted               the tree of tasks has used what it may
    ├── BudgetReserved                what is left is reserved for calls under way: ask again when they have ended
    ├── LeaseLost                     another worker carries the task, or nobody may: drop the work
    ├── JournalMismatch               a replay asked for another step than the journal holds
    ├── ToolError                     a tool call failed; the agent is told and may go on
    │   ├── AddressRefused            a host whose address may not be talked to
    │   └── PathRefused               a path outside the workspace, or one that is no plain path
    └── SandboxUnavailable            the wanted level cannot be had here: nothing is run
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing wrong with an input: where it stands, what is wrong, what to do about it."""

    where: str
    message: str
    hint: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}: {self.where}" if self.line else self.where
        return f"{place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ChargehandError(Exception):
    """The root of the tree."""

    code = "internal"
    status = 500

    def __init__(
        self, message: str, *, findings: Sequence[Finding] = (), retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.findings = tuple(findings)
        self.retry_after_seconds = retry_after_seconds
        """When it makes sense to ask again, where that is known."""


class InvalidInput(ChargehandError):
    """What was sent cannot be accepted as it is."""

    code = "invalid_input"
    status = 422


class InvalidDefinition(InvalidInput):
    """An agent's definition file cannot be registered."""

    code = "agent.invalid_definition"


class InvalidSpecification(InvalidInput):
    """A service specification is wrong; each finding has its line and a hint."""

    code = "specification.invalid"


class InvalidCursor(InvalidInput):
    """The cursor was not made by this service, or for another list."""

    code = "invalid_cursor"
    status = 400


class WebhookUrlRefused(InvalidInput):
    """Webhooks are not sent to this address."""

    code = "webhook.url_refused"


class NoAgentFits(InvalidInput):
    """A task for `auto`, and no agent that could carry it out has a description that matches."""

    code = "agent.none_fits"


class IdempotencyMismatch(InvalidInput):
    """The Idempotency-Key was used before with another payload."""

    code = "idempotency.payload_differs"


class NotFound(ChargehandError):
    """Absent, or another tenant's: the two are not told apart."""

    code = "not_found"
    status = 404


class AgentNotFound(NotFound):
    """No agent of this id (and version) is registered."""

    code = "agent.not_found"


class TaskNotFound(NotFound):
    """No task of this id."""

    code = "task.not_found"


class ApprovalNotFound(NotFound):
    """No approval of this id."""

    code = "approval.not_found"


class ScheduleNotFound(NotFound):
    """No schedule of this id."""

    code = "schedule.not_found"


class KeyNotFound(NotFound):
    """No key of this id."""

    code = "key.not_found"


class TenantNotFound(NotFound):
    """No tenant of this id."""

    code = "tenant.not_found"


class SecretNotFound(NotFound):
    """No secret of this name."""

    code = "secret.not_found"


class WebhookNotFound(NotFound):
    """No webhook of this id."""

    code = "webhook.not_found"


class WebhookDeliveryNotFound(NotFound):
    """The webhook has no delivery of this id, or none any more."""

    code = "webhook.delivery_not_found"


class DeliverableNotFound(NotFound):
    """The task has no deliverable of this name, or not yet."""

    code = "deliverable.not_found"


class Conflict(ChargehandError):
    """The thing's present state forbids what was asked."""

    code = "conflict"
    status = 409


class IllegalMove(Conflict):
    """A task's status does not allow the move."""

    code = "task.illegal_move"


class ScheduleNameTaken(Conflict):
    """The tenant has another schedule of this name."""

    code = "schedule.name_taken"


class ApprovalStale(Conflict):
    """The hash that was sent is not that of the call which waits."""

    code = "approval.stale"


class RuntimeMissing(Conflict):
    """The agent's runtime is not available in this service."""

    code = "agent.runtime_missing"


class MasterKeyMissing(Conflict):
    """There is no master key to encrypt with, or not the one that stored secrets need."""

    code = "secrets.no_master_key"


class PriceUnknown(Conflict):
    """A model's price is unknown where money is limited."""

    code = "model.price_unknown"


class DataFolderInUse(Conflict):
    """Another process holds the data folder."""

    code = "data_folder.in_use"


class Unauthorized(ChargehandError):
    """No key, or not a valid one."""

    code = "unauthorized"
    status = 401
    is_of_token = False
    """Whether a key or token was sent, and was no good: the answer's challenge says so (RFC 6750)."""


class Forbidden(ChargehandError):
    """The key lacks the scope."""

    code = "forbidden"
    status = 403


class TenantSuspended(Forbidden):
    """The key is valid, and its tenant is suspended by the operator."""

    code = "tenant.suspended"


class PayloadTooLarge(ChargehandError):
    """The body has more bytes, depth or nodes than the service takes."""

    code = "payload_too_large"
    status = 413


class UnsupportedMediaType(ChargehandError):
    """The body is not application/json (or text/markdown where a definition is sent)."""

    code = "unsupported_media_type"
    status = 415


class TooManyRequests(ChargehandError):
    """A rate or a concurrency limit was reached."""

    code = "too_many_requests"
    status = 429


class StorageFull(ChargehandError):
    """The disk reserve is used up: nothing new is accepted, what is there is kept."""

    code = "storage_full"
    status = 507


class TenantStorageFull(ChargehandError):
    """The tenant's deliverables hold as much as it may store; what is there is kept."""

    code = "tenant_storage_full"
    status = 507


class ContentDamaged(ChargehandError):
    """Stored bytes do not have their hash any more; a backup has them, or nobody."""

    code = "content_damaged"


class Unavailable(ChargehandError):
    """Not now: the service is starting or stopping, or its database is out of reach."""

    code = "unavailable"
    status = 503


class RaceLost(Unavailable):
    """Other transactions were in the way again and again; nothing was changed, and asking again is safe."""

    code = "database.race_lost"


class BudgetExhausted(ChargehandError):
    """The tree of tasks has used what its root may, or the tenant what it may in a day. `details` says of what."""

    code = "budget_exhausted"
    status = 409

    def __init__(self, message: str, *, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


class BudgetReserved(ChargehandError):
    """What is left of the tree's budget is reserved for calls that are under way; most of it will be given back."""

    code = "budget_reserved"
    status = 409


class LeaseLost(ChargehandError):
    """The attempt is no longer this worker's: another carries it, or nobody may."""

    code = "lease_lost"
    status = 409


class JournalMismatch(ChargehandError):
    """A replay asked for another step than the journal holds at this place."""

    code = "journal_mismatch"


class ToolError(ChargehandError):
    """A tool call failed in a way that the agent is told of and can act on."""

    code = "tool_error"
    status = 422


class AddressRefused(ToolError):
    """The address that a host has may not be talked to; the message tells it."""

    code = "address_refused"


class PathRefused(ToolError):
    """The path leaves the workspace, or is none that every platform reads alike."""

    code = "path_refused"


class SandboxUnavailable(ChargehandError):
    """The wanted sandbox level cannot be had on this machine; nothing was run."""

    code = "sandbox_unavailable"
    status = 503
