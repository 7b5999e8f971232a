"""What is said when a watched task has ended: its outcome, what failed, what was delivered, and the exit code."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from chargehand.cli.exits import ExitCode, say
from chargehand.cli.lines import json_line, one_line, seconds_text, shortened, size_text
from chargehand.cli.output import write
from chargehand.client import AsyncClient
from chargehand.domain.task import Status
from chargehand.wire.rest import DeliverableBody, EventBody, TaskBody

CODES = {Status.COMPLETED: ExitCode.OK, Status.FAILED: ExitCode.FAILED, Status.CANCELED: ExitCode.CANCELED}
OUTPUT_LINES = 25
"""Of a failed check's output, the last."""
STDERR_LINES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """How a task is gone on with, where that is not by its id."""

    go_on: str | None = None
    where: str = ""
    """What has to be set for other commands to find the task."""


async def conclude(
    client: AsyncClient,
    task: TaskBody,
    delivered: Sequence[DeliverableBody],
    *,
    folder: Path | None,
    as_json: bool,
    advice: Advice,
) -> ExitCode:
    """Tell how an ended task came out; `folder` is where its deliverables were put."""
    code = CODES.get(task.status, ExitCode.FAILED)
    if as_json:
        ended: dict[str, object] = {
            "kind": "chargehand.ended",
            "task": task.model_dump(mode="json"),
            "deliverables": [one.model_dump(mode="json") for one in delivered],
            "out": str(folder) if folder is not None else None,
        }
        write(json_line(ended))
    elif task.status is Status.COMPLETED:
        _tell_completed(task, delivered, folder)
    else:
        await _tell_failed(client, task, advice)
    return code


def _tell_completed(task: TaskBody, delivered: Sequence[DeliverableBody], folder: Path | None) -> None:
    lasted = (task.finished_at or task.updated_at) - (task.started_at or task.created_at)
    write(f"completed in {seconds_text(lasted.total_seconds())}: task {task.id}")
    for one in delivered:
        write(f"  {one.name}: {len(one.files)} files, {size_text(one.size_bytes)}")
        for found in one.evidence:
            write(f"    checked: {one_line(found.check)} ({seconds_text(found.duration_seconds)})")
    if task.result is not None:
        write(f"  result: {shortened(one_line(json.dumps(task.result, ensure_ascii=False)), 2000)}")
    if folder is not None:
        write(f"written to {folder}")
    elif delivered:
        write(f"fetch it: chargehand deliverables get {task.id} --out DIR")


async def _tell_failed(client: AsyncClient, task: TaskBody, advice: Advice) -> None:
    first, *more = (task.error.message if task.error else "").splitlines() or [""]
    say(f"{task.status} ({task.reason})" + (f": {one_line(first)}" if first else ""))
    _say_last(more)
    say_stderr(task, say)
    for event in await _last_failed_checks(client, task):
        data = event.data
        say(f"\ncheck failed: {data.get('deliverable')}: {one_line(str(data.get('check')))}")
        _say_last(str(data.get("output") or "").strip().splitlines())
    say(f"look into it{advice.where}: chargehand tasks show {task.id} --steps")
    if task.parent_id is None:
        again = advice.go_on or f"chargehand tasks retry {task.id} --watch{_more_budget(task)}"
        say(f"try again from its journal: {again}")


def _more_budget(task: TaskBody) -> str:
    """The option without which a task whose budget is used up would fail again at once."""
    details = task.error.details if task.error else {}
    limit = str(details.get("limit"))
    message = task.error.message if task.error else ""
    # A day's limit, or that of a delegated agent's definition, is not the retry's to raise.
    if task.reason != "budget_exhausted" or "--budget " not in message:
        return ""
    if f"--budget {limit}=" not in message:
        return " --budget LIMIT=AMOUNT"
    try:
        budget, used, needed = (Decimal(str(details.get(name, 0))) for name in ("budget", "used", "needed"))
    except InvalidOperation:
        return f" --budget {limit}=AMOUNT"
    return f" --budget {limit}={max(2 * budget, used + needed):f}"


def _say_last(lines: Sequence[str]) -> None:
    """The end of what a program printed; its indentation stays, whatever would steer the terminal goes."""
    for line in lines[-OUTPUT_LINES:]:
        say(_indented(line))


def say_stderr(task: TaskBody, tell: Callable[[str], object]) -> None:
    """Of a program that ended badly, the last that it printed on standard error."""
    printed = (task.error.details if task.error else {}).get("stderr")
    lines = [line for line in str(printed or "").splitlines() if line.strip()]
    if lines:
        tell("it printed last on standard error:")
    for line in lines[-STDERR_LINES:]:
        tell(_indented(line))


def _indented(line: str) -> str:
    indent = len(line) - len(line.lstrip(" "))
    return "  " + " " * min(indent, 40) + shortened(one_line(line))


async def _last_failed_checks(client: AsyncClient, task: TaskBody) -> list[EventBody]:
    """What the checks found in the last round, where they are what the task failed on."""
    found: dict[tuple[str, str], EventBody] = {}
    if task.reason == "checks_failed":
        async for event in client.events(task.id):
            if event.kind == "task.repair_requested":
                found.clear()
            elif event.kind == "deliverable.checked" and event.data.get("passed") is not True:
                found[str(event.data.get("deliverable")), str(event.data.get("check"))] = event
    return list(found.values())
