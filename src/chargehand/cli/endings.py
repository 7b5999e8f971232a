"""What is said when a watched task has ended: its outcome, what failed, what was delivered, and the exit code."""

import json
from collections.abc import Sequence
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


async def conclude(
    client: AsyncClient,
    task: TaskBody,
    delivered: Sequence[DeliverableBody],
    *,
    folder: Path | None,
    as_json: bool,
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
        await _tell_failed(client, task)
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


async def _tell_failed(client: AsyncClient, task: TaskBody) -> None:
    why = f": {task.error.message}" if task.error else ""
    say(f"{task.status} ({task.reason}){why}")
    for event in await _last_failed_checks(client, task):
        data = event.data
        say(f"\ncheck failed: {data.get('deliverable')}: {one_line(str(data.get('check')))}")
        for line in str(data.get("output") or "").strip().splitlines()[-OUTPUT_LINES:]:
            say(f"  {one_line(line)}")
    say(f"look into it: chargehand tasks show {task.id} --steps")
    if task.parent_id is None:
        say(f"try again from its journal: chargehand tasks retry {task.id} --watch")


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
