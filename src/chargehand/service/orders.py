"""An order, looked at before anything is stored, and the task that it becomes."""

import math
import re
from datetime import datetime, timedelta

from chargehand.domain.access import Principal
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.agent_ranking import AUTO
from chargehand.domain.budget import Budget
from chargehand.domain.task import FOREVER, Status, Task, TaskOrder
from chargehand.domain.values import JsonObject, check_json, content_hash
from chargehand.errors import InvalidInput
from chargehand.telemetry.traces import current_traceparent

MAX_PRIORITY = 100
MAX_DELAY = timedelta(days=366)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_LABEL_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CONTEXT_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def check_order(order: TaskOrder, now: datetime) -> None:
    """InvalidInput for what cannot be a task, whatever the agent."""
    check_json(order.task_data)
    Budget.from_data(order.budget)
    if not isinstance(order.priority, int) or abs(order.priority) > MAX_PRIORITY:  # pyright: ignore[reportUnnecessaryIsInstance] - programs in Python call this too
        raise InvalidInput(f"priority is a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}")
    if order.idempotency_key is not None and not _KEY.fullmatch(order.idempotency_key):
        raise InvalidInput("Idempotency-Key is 1 to 255 visible ASCII characters")
    if order.context_id is not None and not _CONTEXT_ID.fullmatch(order.context_id):
        raise InvalidInput("context_id is 1 to 64 of A-Z a-z 0-9 _ . : -")
    if len(order.labels) > 32:
        raise InvalidInput("a task has at most 32 labels")
    for key, value in order.labels.items():
        check_json(value)
        if not _LABEL_KEY.fullmatch(key) or len(value) > 255:
            raise InvalidInput(
                f"label {key[:64]!r}: a key is 1 to 64 of A-Z a-z 0-9 _ . -, a value up to 255 long"
            )
    if order.run_after is not None:
        if order.run_after.tzinfo is None:
            raise InvalidInput("run_after has no offset from UTC; end it with Z or with one such as +02:00")
        if order.run_after > now + MAX_DELAY:
            raise InvalidInput(f"run_after is at most {MAX_DELAY.days} days from now")
    seconds = order.timeout_seconds
    if seconds is not None and not (math.isfinite(seconds) and 0 < seconds <= MAX_DELAY.total_seconds()):
        raise InvalidInput("timeout_seconds is greater than 0 and at most a year")


def payload_hash(order: TaskOrder, who: Principal) -> str:
    """What a repeated key is compared by; empty without a key.

    What `auto` picks depends on what the caller is narrowed to, so another key's pick is no replay.
    """
    if order.idempotency_key is None:
        return ""
    return content_hash(
        {
            "agent_id": order.agent_id,
            "task_data": order.task_data,
            "context_id": order.context_id,
            "labels": order.labels,
            "priority": order.priority,
            "run_after": order.run_after.isoformat() if order.run_after else None,
            "timeout_seconds": order.timeout_seconds,
            **({"budget": order.budget} if order.budget else {}),
            **({"agents": sorted(who.agents)} if order.agent_id == AUTO and who.agents is not None else {}),
            **({"output_schema": order.output_schema} if order.output_schema is not None else {}),
        }
    )


def first_due(task: Task, now: datetime) -> datetime:
    """When the engine must look at a new task without being told: a delay's end, or the deadline."""
    return task.run_after if task.run_after > now else task.deadline_at or FOREVER


def new_task(
    *,
    id: str,
    tenant: str,
    definition: AgentDefinition,
    task_data: JsonObject,
    run_after: datetime,
    priority: int,
    root_id: str,
    context_id: str,
    labels: dict[str, str],
    deadline_at: datetime | None,
    created_by: str,
    now: datetime,
    budget: Budget | None = None,
    parent: Task | None = None,
    parent_step: str | None = None,
    own_workspace: bool = False,
    output_schema: JsonObject | None = None,
    traceparent: str | None = None,
    rights: JsonObject | None = None,
) -> Task:
    """A task as it is before anything happened to it."""
    shared = parent.workspace_id if parent else None
    return Task(
        id=id,
        tenant=tenant,
        agent_id=definition.id,
        agent_version=definition.version,
        task_data=task_data,
        status=Status.PENDING,
        reason=None,
        result=None,
        error=None,
        attempt=0,
        tries=0,
        losses=0,
        worker_id=None,
        lease_until=None,
        run_after=run_after,
        priority=priority,
        parent_id=parent.id if parent else None,
        parent_step=parent_step,
        root_id=root_id,
        depth=parent.depth + 1 if parent else 0,
        context_id=context_id,
        follows_id=None,
        workspace_id=id if own_workspace else shared,
        # A child belongs to the work that orders it, which may be a span of its own below the parent's trace.
        traceparent=current_traceparent() or parent.traceparent if parent else traceparent,
        output_schema=output_schema,
        labels=labels,
        budget=(budget or definition.block.budget).as_data(),
        steps_spent=0,
        children_spent=0,
        usd_nanos_spent=0,
        tokens_spent=0,
        tool_calls_spent=0,
        deadline_at=deadline_at,
        cancel_requested_at=None,
        wakes=0,
        last_event=1,
        round=0,
        created_by=created_by,
        rights=parent.rights if parent else rights,
        created_at=now,
        updated_at=now,
        started_at=None,
        finished_at=None,
    )
