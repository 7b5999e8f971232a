"""Schedules as the SDK's calls."""

import uuid
from collections.abc import Mapping

from chargehand.client.calls import Call, path_of, query_of, sending
from chargehand.domain.values import JsonObject


def schedule_order(
    name: str,
    cron: str,
    agent_id: str,
    task_data: JsonObject,
    *,
    time_zone: str = "UTC",
    missed: str = "once",
    labels: Mapping[str, str] | None = None,
    priority: int = 0,
    timeout_seconds: int | None = None,
    budget: JsonObject | None = None,
    is_paused: bool = False,
) -> Call:
    """POST a schedule. A name is taken once: when the first answer was lost, the second try tells so."""
    body: dict[str, object] = {"name": name, "cron": cron, "agent_id": agent_id, "task_data": task_data}
    body |= {"time_zone": time_zone, "missed": missed, "priority": priority, "is_paused": is_paused}
    extras = {"labels": dict(labels or {}), "timeout_seconds": timeout_seconds, "budget": budget}
    return sending("POST", "/schedules", body | {key: value for key, value in extras.items() if value})


def schedule_listing(
    *, name: str | None = None, agent_id: str | None = None, cursor: str | None = None, limit: int = 50
) -> Call:
    """GET a page of schedules, newest first."""
    given = {"name": name, "agent_id": agent_id, "cursor": cursor, "limit": limit}
    return Call(method="GET", path="/schedules", query=query_of(given))


def schedule_change(schedule_id: str, changes: JsonObject) -> Call:
    """PATCH a schedule; sent twice it does the same as once."""
    return sending("PATCH", path_of("schedules", schedule_id), changes, repeatable=True)


def schedule_run(schedule_id: str, *, idempotency_key: str | None = None) -> Call:
    """POST that its task is submitted now. Without a key one is made, so that a lost answer makes no second task."""
    headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    return Call(method="POST", path=path_of("schedules", schedule_id, "run"), headers=headers)
