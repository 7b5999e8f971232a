"""What is known of a tree of tasks from its events; the live tree and the lines are drawn from it.

Rule: only events change it, each is taken once, and it knows nothing of terminals.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chargehand.cli.event_data import mapping, mappings, number, text
from chargehand.domain.history import EventKind
from chargehand.wire.rest import DeltaBody, EventBody

MAX_SAID = 60
"""Characters of a model's words that a line has room for."""


@dataclass(slots=True, kw_only=True)
class StepView:
    """A step that is under way."""

    kind: str
    name: str
    summary: str
    started_at: datetime
    said: str = ""
    """The end of what a model has said in it so far."""


@dataclass(slots=True, kw_only=True)
class TaskView:
    """One task of the tree."""

    task_id: str
    agent_id: str
    status: str = "pending"
    reason: str | None = None
    message: str = ""
    """What it last said of its progress, or why it failed."""
    round: int = 0
    attempt: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seen: int = 0
    """The newest event's sequence."""
    running: dict[str, StepView] = field(default_factory=dict[str, StepView])
    steps_done: int = 0
    checks: dict[tuple[str, str], bool] = field(default_factory=dict[tuple[str, str], bool])
    delivered: list[str] = field(default_factory=list[str])
    children: list[str] = field(default_factory=list[str])

    @property
    def passed(self) -> int:
        return sum(self.checks.values())

    @property
    def failed(self) -> int:
        return len(self.checks) - self.passed

    @property
    def has_ended(self) -> bool:
        return self.status in {"completed", "failed", "canceled"}


class Progress:
    """A tree of tasks, as its events have told it so far."""

    def __init__(self, root_id: str, agent_id: str) -> None:
        self.root_id = root_id
        self.tasks: dict[str, TaskView] = {root_id: TaskView(task_id=root_id, agent_id=agent_id)}
        self._behind: timedelta | None = None

    def take(self, event: EventBody, *, received_at: datetime) -> bool:
        """Learn from an event; False when it was known or belongs to no task of the tree."""
        task = self.tasks.get(event.task_id)
        if task is None or event.sequence <= task.seen:
            return False
        task.seen = event.sequence
        lag = received_at - event.at
        self._behind = lag if self._behind is None else min(self._behind, lag)
        change = _CHANGES.get(event.kind)
        if change is not None:
            change(self, task, event)
        return True

    def hear(self, delta: DeltaBody) -> None:
        """Learn what a model is saying; of a step that is not known to be under way it is passed over."""
        task = self.tasks.get(delta.task_id)
        step = task.running.get(delta.path) if task is not None else None
        if step is not None:
            step.said = "" if delta.restart else (step.said + delta.thinking + delta.text)[-MAX_SAID:]

    def service_time(self, now: datetime) -> datetime:
        """The service's clock: no event is received before it happened, so the least lag is what is off."""
        return now - (self._behind or timedelta())

    def elapsed_seconds(self, task: TaskView, now: datetime) -> float | None:
        """How long a task has been carried out, all waits included."""
        if task.started_at is None:
            return None
        return max(0.0, ((task.ended_at or self.service_time(now)) - task.started_at).total_seconds())

    def walk(self) -> Iterator[TaskView]:
        """Every task, parents before their children."""
        left = [self.root_id]
        while left:
            task = self.tasks[left.pop()]
            yield task
            left += reversed(task.children)

    @property
    def root(self) -> TaskView:
        return self.tasks[self.root_id]


def _started(_: Progress, task: TaskView, event: EventBody) -> None:
    task.status, task.reason = "running", None
    task.attempt = int(number(event.data, "attempt", task.attempt + 1))
    task.started_at = task.started_at or event.at
    task.ended_at = None
    # What the attempt before had in flight is begun anew or answered from the journal.
    task.running.clear()


def _waiting(_: Progress, task: TaskView, event: EventBody) -> None:
    task.status, task.reason = "waiting", text(event.data, "reason")


def _pending(_: Progress, task: TaskView, event: EventBody) -> None:
    task.status, task.reason = "pending", None
    task.ended_at = None
    task.running.clear()
    if event.kind == EventKind.DEFERRED:
        task.reason, task.message = "retry", text(mapping(event.data, "error"), "message")
    if event.kind == EventKind.REOPENED:
        task.message = ""
        task.checks.clear()


def _ended(_: Progress, task: TaskView, event: EventBody) -> None:
    task.status = event.kind.removeprefix("task.")
    task.reason = text(event.data, "reason") or None
    task.message = text(mapping(event.data, "error"), "message")
    task.ended_at = event.at
    task.running.clear()


def _canceling(_: Progress, task: TaskView, event: EventBody) -> None:
    task.message = "is being canceled"


def _step_started(_: Progress, task: TaskView, event: EventBody) -> None:
    data = event.data
    task.running[text(data, "path")] = StepView(
        kind=text(data, "kind"),
        name=text(data, "name"),
        summary=text(data, "summary"),
        started_at=event.at,
    )


def _step_finished(_: Progress, task: TaskView, event: EventBody) -> None:
    task.running.pop(text(event.data, "path"), None)
    task.steps_done += 1


def _delegated(progress: Progress, task: TaskView, event: EventBody) -> None:
    for child_id, agent_id in children_of(event):
        if child_id not in progress.tasks:
            progress.tasks[child_id] = TaskView(task_id=child_id, agent_id=agent_id)
            task.children.append(child_id)


def _checked(_: Progress, task: TaskView, event: EventBody) -> None:
    name = (text(event.data, "deliverable"), text(event.data, "check"))
    task.checks[name] = event.data.get("passed") is True


def _repair(_: Progress, task: TaskView, event: EventBody) -> None:
    task.round = int(number(event.data, "round", task.round + 1))
    task.checks.clear()


def _stored(_: Progress, task: TaskView, event: EventBody) -> None:
    task.delivered.append(text(event.data, "name"))


def _said(_: Progress, task: TaskView, event: EventBody) -> None:
    task.message = text(event.data, "message")


def _asked(_: Progress, task: TaskView, event: EventBody) -> None:
    task.message = "asks a question"


def _approval_asked(_: Progress, task: TaskView, event: EventBody) -> None:
    task.message = f"waits for approval of {text(event.data, 'tool')}"


def _answered(_: Progress, task: TaskView, event: EventBody) -> None:
    task.message = ""


_CHANGES: dict[str, Callable[[Progress, TaskView, EventBody], None]] = {
    EventKind.STARTED: _started,
    EventKind.WAITING: _waiting,
    EventKind.WOKEN: _pending,
    EventKind.RELEASED: _pending,
    EventKind.RESCUED: _pending,
    EventKind.DEFERRED: _pending,
    EventKind.REOPENED: _pending,
    EventKind.CANCEL_REQUESTED: _canceling,
    EventKind.COMPLETED: _ended,
    EventKind.FAILED: _ended,
    EventKind.CANCELED: _ended,
    EventKind.STEP_STARTED: _step_started,
    EventKind.STEP_FINISHED: _step_finished,
    EventKind.DELEGATED: _delegated,
    EventKind.CHECKED: _checked,
    EventKind.REPAIR: _repair,
    EventKind.DELIVERED: _stored,
    EventKind.PROGRESS: _said,
    EventKind.APPROVAL_REQUESTED: _approval_asked,
    EventKind.APPROVAL_DECIDED: _answered,
    EventKind.ASKED: _asked,
    EventKind.ANSWERED: _answered,
}


def children_of(event: EventBody) -> list[tuple[str, str]]:
    """(task id, agent id) of the children that a delegation names."""
    if event.kind != EventKind.DELEGATED:
        return []
    found = [(text(one, "task_id"), text(one, "agent_id")) for one in mappings(event.data, "children")]
    return [(task_id, agent_id) for task_id, agent_id in found if task_id]
