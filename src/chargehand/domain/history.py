"""What happened to a task (events) and what was recorded so that it need not happen again (steps)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chargehand.domain.values import JsonObject, JsonValue


class EventKind(StrEnum):
    """Every kind of event; the data of each is told in docs/reference/events.md."""

    SUBMITTED = "task.submitted"
    STARTED = "task.started"
    WAITING = "task.waiting"
    WOKEN = "task.woken"
    RELEASED = "task.released"
    RESCUED = "task.rescued"
    DEFERRED = "task.deferred"
    CANCEL_REQUESTED = "task.cancel_requested"
    REOPENED = "task.reopened"
    COMPLETED = "task.completed"
    FAILED = "task.failed"
    CANCELED = "task.canceled"
    STEP_STARTED = "step.started"
    STEP_FINISHED = "step.finished"
    DELEGATED = "task.delegated"
    CHILD_FINISHED = "task.child_finished"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_DECIDED = "approval.decided"
    ASKED = "question.asked"
    ANSWERED = "question.answered"
    MESSAGE_RECEIVED = "message.received"
    MESSAGE_TAKEN = "message.taken"
    PROGRESS = "task.progress"
    CHECKED = "deliverable.checked"
    DELIVERED = "deliverable.stored"
    REPAIR = "task.repair_requested"


TERMINAL_EVENTS = frozenset({EventKind.COMPLETED, EventKind.FAILED, EventKind.CANCELED})


MODEL_DELTA = "model.delta"
"""What a stream of events has beside them: a piece of an answer that is still being written. It is no event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. `sequence` starts at 1 and has no gap within a task."""

    task_id: str
    sequence: int
    kind: str
    at: datetime
    data: JsonObject


MAX_ERROR_LINE = 120


def error_line(result: JsonValue) -> str:
    """The first line of what a failed tool call told; empty where it told nothing."""
    content = result.get("content") if isinstance(result, dict) else None
    lines = content.strip().splitlines() if isinstance(content, str) else []
    line = lines[0] if lines else ""
    return line if len(line) <= MAX_ERROR_LINE else line[: MAX_ERROR_LINE - 3] + "..."


class StepKind(StrEnum):
    """What a journaled unit is."""

    MODEL = "model"
    """One answer of a language model."""
    TOOL = "tool"
    DELEGATION = "delegation"
    QUESTION = "question"
    APPROVAL = "approval"
    """A call that a person decides about; the call itself is a step beside it."""
    TIMER = "timer"
    VALUE = "value"
    """Something nondeterministic that was computed once: a time, a number, a reading."""
    CHECK = "check"


PROVIDER_WAIT = "provider"
"""The name of the timers that a model's task waits by for a provider that could not answer."""


CUT_BY_BUDGET = "cut_by_budget"
"""Set in the result of a model's answer that ended early because the budget allowed no longer one."""


def changes_path(round_number: int) -> str:
    """Where the journal of a task with a workspace of its own says what of its changes came back."""
    return f"{round_number}/changes"


class StepStatus(StrEnum):
    """Where a step stands."""

    RUNNING = "running"
    OPEN = "open"
    """It waits for children, a person or a time; no worker is held."""
    DONE = "done"
    """Finished: its result is used by every replay and it is never run again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One journaled unit. `path` is its place in the run: `0/3` is the fourth step of round 0."""

    task_id: str
    path: str
    kind: StepKind
    name: str
    arguments: JsonObject
    status: StepStatus
    result: JsonValue
    attempt: int
    started_at: datetime
    finished_at: datetime | None
