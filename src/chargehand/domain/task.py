"""A task, what its status may become, and how an attempt at it can end.

Rule: `MOVES` is the only place that says which status follows which; the store builds its guarded updates
from it and nothing else writes a status.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from chargehand.domain.budget import Budget
from chargehand.domain.values import JsonObject, JsonValue


class Status(StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Nothing but `reopen` leads out of a final status."""
        return self in FINAL


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELED})
OPEN = frozenset(Status) - FINAL


class Move(StrEnum):
    """What may happen to a task's status."""

    CLAIM = "claim"
    """A worker takes the task; the attempt number grows."""
    WAIT = "wait"
    """The attempt ends without an outcome: children, a person or a timer must come first."""
    WAKE = "wake"
    """What the task waited for has come."""
    RELEASE = "release"
    """A worker that stops in good order gives the task back; no attempt is spent."""
    DEFER = "defer"
    """The attempt failed and the agent's policy allows another, later."""
    RESCUE = "rescue"
    """The lease ran out: the worker is gone."""
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    REOPEN = "reopen"
    """A person asks for another try of a task that ended badly."""


MOVES: dict[Move, tuple[frozenset[Status], Status]] = {
    Move.CLAIM: (frozenset({Status.PENDING}), Status.RUNNING),
    Move.WAIT: (frozenset({Status.RUNNING}), Status.WAITING),
    Move.WAKE: (frozenset({Status.WAITING}), Status.PENDING),
    Move.RELEASE: (frozenset({Status.RUNNING}), Status.PENDING),
    Move.DEFER: (frozenset({Status.RUNNING}), Status.PENDING),
    Move.RESCUE: (frozenset({Status.RUNNING}), Status.PENDING),
    Move.COMPLETE: (frozenset({Status.RUNNING}), Status.COMPLETED),
    Move.FAIL: (OPEN, Status.FAILED),
    Move.CANCEL: (OPEN, Status.CANCELED),
    Move.REOPEN: (frozenset({Status.FAILED, Status.CANCELED}), Status.PENDING),
}
"""Move → (from, to)."""


class Reason(StrEnum):
    """Why a status stands so, for machines."""

    CHILDREN = "children"
    APPROVAL = "approval"
    QUESTION = "question"
    TIMER = "timer"
    BUDGET = "budget"
    RETRY = "retry"
    TIMEOUT = "timeout"
    BUDGET_EXHAUSTED = "budget_exhausted"
    CHECKS_FAILED = "checks_failed"
    WORKER_LOST = "worker_lost"
    AGENT_ERROR = "agent_error"
    INVALID_INPUT = "invalid_input"
    OUTPUT_INVALID = "output_invalid"
    JOURNAL_MISMATCH = "journal_mismatch"
    SANDBOX_UNAVAILABLE = "sandbox_unavailable"
    STORAGE_FULL = "storage_full"
    CANCELED_BY_CALLER = "canceled_by_caller"
    PARENT_ENDED = "parent_ended"


MAX_WORKER_LOSSES = 3
"""Workers that a task may lose in a row, no step finished between, before it is failed (`worker_lost`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    """Why a task failed, for people and programs; never a traceback, never a secret."""

    reason: Reason
    message: str
    details: JsonObject = field(default_factory=dict[str, JsonValue])

    def as_data(self) -> JsonObject:
        """The shape that is stored and sent."""
        return {"reason": self.reason.value, "message": self.message, "details": self.details}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A row of `agent_tasks`, as everyone but the store sees it."""

    id: str
    tenant: str
    agent_id: str
    agent_version: str
    task_data: JsonObject
    status: Status
    reason: str | None
    result: JsonValue
    error: JsonObject | None
    attempt: int
    tries: int
    losses: int
    worker_id: str | None
    lease_until: datetime | None
    run_after: datetime
    priority: int
    parent_id: str | None
    parent_step: str | None
    root_id: str
    depth: int
    context_id: str
    follows_id: str | None
    """The task in the same context whose conversation this one goes on from."""
    workspace_id: str | None
    """The task whose workspace it works in; None: the root's."""
    traceparent: str | None
    output_schema: JsonObject | None
    labels: dict[str, str]
    budget: JsonObject
    steps_spent: int
    children_spent: int
    usd_nanos_spent: int
    """With what is reserved now: the whole tree's on its root, else this task's own; so is `tokens_spent`."""
    tokens_spent: int
    tool_calls_spent: int
    deadline_at: datetime | None
    cancel_requested_at: datetime | None
    wakes: int
    last_event: int
    round: int
    created_by: str
    rights: JsonObject | None
    """What its submitter could do (domain/rights.py); None: all that an administrator of the tenant can."""
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def limits(self) -> Budget:
        """The budget of the tree that this task is the root of, or draws from."""
        return Budget.from_data(self.budget)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOrder:
    """What a caller asks for, checked and ready to be stored."""

    agent_id: str
    task_data: JsonObject
    context_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])
    priority: int = 0
    run_after: datetime | None = None
    timeout_seconds: float | None = None
    budget: JsonObject = field(default_factory=dict[str, JsonValue])
    """Limits that are lower than the agent's, or that it does not have."""
    output_schema: JsonObject | None = None
    """The JSON schema of the result that the caller wants; before the definition's."""
    traceparent: str | None = None
    """The W3C trace context of the request; one that is none is passed over."""
    idempotency_key: str | None = None
    follows_id: str | None = None
    """The finished task whose conversation it goes on from, and in whose workspace."""
    workspace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The agent finished; its deliverables, if it promised any, passed their checks."""

    result: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The attempt ended badly. `may_retry`: another could do better, if the agent's policy has one left."""

    error: TaskError
    may_retry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """The attempt can go no further until something comes; it holds no worker meanwhile."""

    reason: Reason
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The worker stops; another attempt goes on from the journal, so many seconds later at the earliest."""

    after_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Canceled:
    """The attempt was stopped because somebody canceled the task."""


Outcome = Completed | Failed | Suspended | Released | Canceled

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""`run_after` of a task that waits for something other than a time."""
