"""The journal of a task as `tasks show --steps` lists it: what each step came to, and why where it went wrong."""

import json
from collections.abc import Sequence
from typing import Any, cast

from chargehand.cli.lines import one_line, seconds_text, shortened
from chargehand.cli.output import write, write_rows
from chargehand.domain.history import StepKind, StepStatus, error_line
from chargehand.domain.task import FINAL
from chargehand.wire.rest import StepBody, TaskBody

MAX_ARGUMENTS = 120
_BY_CODE = {
    "policy_denied": "denied",
    "approval_denied": "denied",
    "refused_by_definition": "denied",
    "delegation_refused": "denied",
    "outcome_unknown": "unknown",
}
"""What is said of a tool call that came to an error, by the code in its details; of any other, ERROR."""


def write_steps(task: TaskBody, journal: Sequence[StepBody]) -> None:
    """A line for each step."""
    if not journal:
        return
    write("\nsteps")
    rows: list[tuple[str, ...]] = []
    for one in journal:
        took = (one.finished_at - one.started_at).total_seconds() if one.finished_at else None
        lasted = seconds_text(took) if took is not None else ""
        about = shortened(one_line(json.dumps(one.arguments, ensure_ascii=False)), MAX_ARGUMENTS)
        status, why = standing(task, one)
        rows.append((one.path, one.kind, status, lasted, f"{one.name} {about}" + (f": {why}" if why else "")))
    write_rows(("STEP", "KIND", "STATUS", "TOOK", "WHAT"), rows)


def standing(task: TaskBody, step: StepBody) -> tuple[str, str]:
    """What a step came to, and the first line of why where it is an error."""
    if step.status is not StepStatus.DONE:
        return ("cut off", "") if task.status in FINAL else (step.status, "")
    if step.kind is not StepKind.TOOL or not isinstance(step.result, dict):
        return step.status, ""
    result = cast("dict[str, Any]", step.result)
    if result.get("is_error") is not True:
        return step.status, ""
    details = result.get("details")
    code = cast("dict[str, Any]", details).get("code") if isinstance(details, dict) else None
    return _BY_CODE.get(str(code), "ERROR"), error_line(result)
