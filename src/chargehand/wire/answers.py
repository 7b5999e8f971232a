"""The domain's objects as the bodies of answers: plain dictionaries, and the bytes that are sent.

Rule: what is built here has the shape that `rest.py` declares. It is not built through those models because
validating every answer costs more than the rest of a small request; a test validates each one instead.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import orjson

from chargehand.domain.access import Principal
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.agent_block import block_as_data
from chargehand.domain.approval import Approval
from chargehand.domain.deliverable import Deliverable
from chargehand.domain.history import Event, Step
from chargehand.domain.key import KeyRecord
from chargehand.domain.mcp import Pin, shown_name
from chargehand.domain.money import usd_text
from chargehand.domain.quota import QuotaUse
from chargehand.domain.schedule import Schedule
from chargehand.domain.task import FOREVER, Task
from chargehand.domain.tenant import Tenant
from chargehand.domain.usage import Usage, UsageSums
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.wire.limits import limit_uses

Body = dict[str, Any]


def to_json(body: object) -> bytes:
    """The bytes of an answer. Times become RFC 3339 in UTC, written with Z."""
    try:
        return orjson.dumps(body, option=orjson.OPT_UTC_Z)
    except TypeError:
        # An agent may have returned what orjson refuses and JSON allows, such as an integer of 70 bits.
        return json.dumps(body, default=_time, allow_nan=False).encode()


def _time(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no place in an answer")


def listed(items: Iterable[Body], **more: JsonValue) -> Body:
    """A list, or a part of one."""
    return {"items": list(items), **more}


def task_body(task: Task, selection: JsonObject | None = None) -> Body:
    """TaskBody. `selection`: how the agent was picked, in the answer to a task for `auto`."""
    return {
        **({} if selection is None else {"selection": selection}),
        "id": task.id,
        "agent_id": task.agent_id,
        "agent_version": task.agent_version,
        "task_data": task.task_data,
        "status": task.status.value,
        "reason": task.reason,
        "result": task.result,
        "error": task.error,
        "attempt": task.attempt,
        "round": task.round,
        "priority": task.priority,
        "labels": task.labels,
        "parent_id": task.parent_id,
        "root_id": task.root_id,
        "depth": task.depth,
        "context_id": task.context_id,
        "follows_id": task.follows_id,
        "budget": task.budget,
        "output_schema": task.output_schema,
        "steps_spent": task.steps_spent,
        "children_spent": task.children_spent,
        "spent": {
            "usd": usd_text(task.usd_nanos_spent),
            "tokens": task.tokens_spent,
            "steps": task.steps_spent,
            "tool_calls": task.tool_calls_spent,
            "children": task.children_spent,
        },
        "last_event": task.last_event,
        "created_by": task.created_by,
        "run_after": None if task.run_after == FOREVER else task.run_after,
        "deadline_at": task.deadline_at,
        "cancel_requested_at": task.cancel_requested_at,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
    }


def event_body(event: Event) -> Body:
    """EventBody."""
    return {
        "task_id": event.task_id,
        "sequence": event.sequence,
        "kind": event.kind,
        "at": event.at,
        "data": event.data,
    }


def step_body(step: Step) -> Body:
    """StepBody."""
    return {
        "task_id": step.task_id,
        "path": step.path,
        "kind": step.kind.value,
        "name": step.name,
        "arguments": step.arguments,
        "status": step.status.value,
        "result": step.result,
        "attempt": step.attempt,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
    }


def question_body(step: Step) -> Body:
    """QuestionBody, of a step that is a question."""
    choices = step.arguments.get("choices")
    return {
        "question": step.path,
        "text": str(step.arguments.get("question", "")),
        "choices": choices if isinstance(choices, list) and choices else None,
        "asked_at": step.started_at,
    }


def approval_body(one: Approval) -> Body:
    """ApprovalBody."""
    body = {field.name: getattr(one, field.name) for field in fields(one) if field.name != "tenant"}
    return {**body, "status": one.status.value}


def schedule_body(one: Schedule) -> Body:
    """ScheduleBody."""
    unseen = ("tenant", "rights", "next_at")
    body = {field.name: getattr(one, field.name) for field in fields(one) if field.name not in unseen}
    return {**body, "next_times": one.next_times()}


def deliverable_body(one: Deliverable) -> Body:
    """DeliverableBody."""
    return {
        "task_id": one.task_id,
        "name": one.name,
        "path": one.path,
        "is_folder": one.is_folder,
        "sha256": one.sha256,
        "size_bytes": one.size_bytes,
        "files": [
            {"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes} for file in one.files
        ],
        "evidence": [evidence.as_data() for evidence in one.evidence],
        "stored_at": one.stored_at,
    }


def agent_summary(agent: AgentDefinition) -> Body:
    """AgentSummary."""
    return {
        "id": agent.id,
        "name": agent.name,
        "description": agent.description,
        "tools": list(agent.tools),
        "runtime": agent.runtime.value,
        "version": agent.version,
    }


def agent_body(agent: AgentDefinition) -> Body:
    """AgentBody."""
    return {
        **agent_summary(agent),
        "mcp_tools": list(agent.mcp_tools),
        "chargehand": block_as_data(agent.block),
        "format": agent.format.value,
        "wishes": {name: value for name, value in asdict(agent.wishes).items() if value},
        "findings": [asdict(finding) for finding in agent.findings],
        "source": agent.source,
    }


def mcp_tool_body(pin: Pin) -> Body:
    """McpToolBody."""
    return {
        **pin.tool.as_data(),
        "server": pin.server,
        "shown_name": shown_name(pin.server, pin.tool.name),
        "state": pin.state.value,
        "seen_hash": pin.seen_hash,
        "approved_hash": pin.approved_hash,
        "seen_at": pin.seen_at,
        "approved_at": pin.approved_at,
        "approved_by": pin.approved_by,
    }


def usage_body(usage: Usage, quotas: Iterable[QuotaUse]) -> Body:
    """UsageBody."""
    return listed(
        ({"group": group, **_sums(sums)} for group, sums in usage.groups),
        group_by=usage.by.value,
        total=_sums(usage.total),
        is_complete=usage.is_complete,
        limits=limit_uses(quotas),
    )


def _sums(sums: UsageSums) -> Body:
    return {
        "calls": sums.calls,
        "usd": usd_text(sums.usd_nanos),
        "unpriced_calls": sums.unpriced_calls,
        "input_tokens": sums.input_tokens,
        "output_tokens": sums.output_tokens,
        "cache_read_tokens": sums.cache_read_tokens,
        "cache_write_tokens": sums.cache_write_tokens,
        "lost_calls": sums.lost_calls,
        "lost_usd": usd_text(sums.lost_usd_nanos),
        "lost_tokens": sums.lost_tokens,
        "reserved_usd": usd_text(sums.reserved_usd_nanos),
        "reserved_tokens": sums.reserved_tokens,
    }


def versions_body(versions: Iterable[tuple[str, datetime]]) -> Body:
    """AgentVersionList."""
    return listed({"version": version, "created_at": since} for version, since in versions)


def whoami_body(who: Principal) -> Body:
    """WhoAmI."""
    return {
        "id": who.id,
        "tenant": who.tenant,
        "scopes": sorted(scope.value for scope in who.scopes),
        "roles": list(who.roles),
        "agents": None if who.agents is None else sorted(who.agents),
        "expires_at": who.expires_at,
    }


def key_body(key: KeyRecord) -> Body:
    """KeyBody."""
    return {
        "id": key.id,
        "name": key.name,
        "last_four": key.last_four,
        "scopes": sorted(scope.value for scope in key.scopes),
        "roles": list(key.roles),
        "agents": None if key.agents is None else sorted(key.agents),
        "replaces": key.replaces,
        "created_by": key.created_by,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def tenant_body(tenant: Tenant) -> Body:
    """TenantBody."""
    return {**asdict(tenant), "is_suspended": tenant.suspended_at is not None}


def ready_body(*, ok: bool, checks: Mapping[str, tuple[bool, bool, str]] | None) -> Body:
    """ReadyBody; `checks`, whether each is good, degraded, and in words, only for callers who may see them."""
    body: Body = {"status": "ready" if ok else "not_ready"}
    if checks is not None:
        body["checks"] = {
            name: {"ok": good, "degraded": degraded, "detail": detail}
            for name, (good, degraded, detail) in checks.items()
        }
    return body
