"""A tree of tasks on a terminal: one line a task, cut to its width; finished ones folded to its height."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text
from rich.tree import Tree

from chargehand.cli.lines import one_line, seconds_text
from chargehand.cli.progress import Progress, StepView, TaskView

COLORS = {
    "pending": "dim",
    "running": "cyan",
    "waiting": "yellow",
    "completed": "green",
    "failed": "bold red",
    "canceled": "magenta",
}
SPIN = 0.25
"""Seconds that a running task's mark stands still."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The signs of one character set."""

    status: Mapping[str, str]
    running: Sequence[str]
    passed: str
    failed: str


UNICODE = Marks(
    {"pending": "·", "waiting": "◔", "completed": "✓", "failed": "✗", "canceled": "⊘"},
    ("◐", "◓", "◑", "◒"),
    "✓",
    "✗",
)
ASCII = Marks(
    {"pending": ".", "waiting": "~", "completed": "+", "failed": "x", "canceled": "-"},
    ("|", "/", "-", "\\"),
    " ok",
    " failed",
)


def marks_for(encoding: str | None) -> Marks:
    """The signs that an output's encoding can show."""
    return UNICODE if (encoding or "").lower().startswith("utf") else ASCII


def draw(progress: Progress, *, now: datetime, height: int, marks: Marks) -> Tree:
    """The tree in at most `height` lines, as long as what is under way fits."""
    hidden = _hidden(progress, height)
    root = progress.root
    tree = Tree(_label(progress, root, now, marks), guide_style="dim")
    _grow(progress, root, tree, now, marks, hidden)
    return tree


def _hidden(progress: Progress, height: int) -> set[str]:
    """Which finished tasks to fold away, oldest first, so that the rest fits."""
    shown = list(progress.walk())
    hidden: set[str] = set()
    # Children before their parents: a folded task has no line that another could hang from.
    for task in reversed(shown):
        if len(shown) - len(hidden) + 1 <= height:
            break
        folded = task.has_ended and task.task_id != progress.root_id
        if folded and all(child in hidden for child in task.children):
            hidden.add(task.task_id)
    return hidden


def _grow(
    progress: Progress, task: TaskView, branch: Tree, now: datetime, marks: Marks, hidden: set[str]
) -> None:
    folded = [child for child in task.children if child in hidden]
    for child_id in task.children:
        if child_id not in hidden:
            child = progress.tasks[child_id]
            _grow(progress, child, branch.add(_label(progress, child, now, marks)), now, marks, hidden)
    if folded:
        good = sum(progress.tasks[child].status == "completed" for child in folded)
        rest = f", {len(folded) - good} not" if good < len(folded) else ""
        branch.add(Text(f"{good} more completed{rest}", style="dim", no_wrap=True, overflow="ellipsis"))


def _label(progress: Progress, task: TaskView, now: datetime, marks: Marks) -> Text:
    color = COLORS.get(task.status, "")
    label = Text(no_wrap=True, overflow="ellipsis", end="")
    label.append(f"{_mark(task, now, marks)} ", style=color)
    label.append(one_line(task.agent_id), style="bold" if task.task_id == progress.root_id else "")
    elapsed = progress.elapsed_seconds(task, now)
    if elapsed is not None:
        label.append(f"  {seconds_text(elapsed)}", style="dim")
    if task.passed:
        label.append(f"  {task.passed}{marks.passed}", style="green")
    if task.failed:
        label.append(f"  {task.failed}{marks.failed}", style="red")
    if task.round and not task.has_ended:
        label.append(f"  repair {task.round}", style="yellow")
    doing = _doing(progress, task, now)
    if doing:
        label.append(f"  {doing}", style="red" if task.status == "failed" else "dim")
    return label


def _mark(task: TaskView, now: datetime, marks: Marks) -> str:
    if task.status == "running":
        return marks.running[int(now.timestamp() / SPIN) % len(marks.running)]
    return marks.status.get(task.status, "?")


def _doing(progress: Progress, task: TaskView, now: datetime) -> str:
    if task.has_ended:
        reason = f"{task.reason}: " if task.reason and task.message else task.reason or ""
        return one_line(reason + task.message) if task.status != "completed" else ""
    if task.status == "running" and task.running:
        # A value is computed in no time: it would only flicker.
        steps = [_step(progress, step, now) for step in task.running.values() if step.kind != "value"]
        return "; ".join(reversed(steps)) or one_line(task.message)
    if task.status == "waiting":
        return one_line(task.message) or _waits_for(progress, task)
    if task.status == "pending":
        return one_line(task.message) if task.reason == "retry" else ""
    return one_line(task.message)


def _step(progress: Progress, step: StepView, now: datetime) -> str:
    seconds = (progress.service_time(now) - step.started_at).total_seconds()
    # A short step's time would only flicker.
    lasted = f" ({seconds_text(seconds)})" if seconds >= 2 else ""
    if step.kind == "check":
        return one_line(f"checks {step.name.removeprefix('check:')}") + lasted
    if step.said:
        return f"{step.name}{lasted}: …{one_line(step.said)}"
    return one_line(f"{step.name} {step.summary}") + lasted


def _waits_for(progress: Progress, task: TaskView) -> str:
    if task.reason == "children":
        waiting = sum(not progress.tasks[child].has_ended for child in task.children)
        return f"waits for {waiting} of {len(task.children)} colleagues"
    return f"waits: {task.reason}" if task.reason else "waits"
