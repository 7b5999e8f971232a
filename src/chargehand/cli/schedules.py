"""The work of `chargehand schedules`."""

import json
import re
from collections.abc import Sequence
from datetime import datetime

from chargehand.cli.connection import Connection, connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.inputs import budget_of, labels_of, task_data_of
from chargehand.cli.lines import one_line, shortened, time_text
from chargehand.cli.listing import show_list
from chargehand.cli.output import write, write_fields, write_json, write_one
from chargehand.client import AsyncClient
from chargehand.client.schedules import schedule_change, schedule_listing, schedule_order, schedule_run
from chargehand.errors import ScheduleNotFound
from chargehand.wire.rest import TASK_ID_PATTERN, TaskBody
from chargehand.wire.schedules import SCHEDULE_NAME_PATTERN, ScheduleBody


async def add_schedule(
    name: str,
    server: str | None,
    *,
    cron: str,
    agent_id: str,
    time_zone: str,
    missed: str,
    spec: str | None,
    prompt: str | None,
    data: str | None,
    labels: Sequence[str],
    priority: int,
    budget: Sequence[str],
    timeout_seconds: int | None,
    is_paused: bool,
    as_json: bool,
) -> ExitCode:
    """A new schedule."""
    call = schedule_order(
        name,
        cron,
        agent_id,
        task_data_of(spec=spec, prompt=prompt, data=data),
        time_zone=time_zone,
        missed=missed,
        labels=labels_of(labels),
        priority=priority,
        timeout_seconds=timeout_seconds,
        budget=budget_of(budget),
        is_paused=is_paused,
    )
    async with connect(server) as connection:
        made = await connection.client.put_schedule(call)
    return _told(made, connection, as_json=as_json)


async def list_schedules(server: str | None, *, agent_id: str | None, limit: int, as_json: bool) -> ExitCode:
    """Schedules, newest first."""
    return await show_list(
        server,
        lambda client, cursor, most: client.schedules(
            schedule_listing(agent_id=agent_id, cursor=cursor, limit=most)
        ),
        ("SCHEDULE", "CRON", "ZONE", "AGENT", "NEXT", "LAST"),
        lambda one: (
            *(one.name, one.cron, one.time_zone, one.agent_id, _next_text(one)),
            "failed" if one.last_error else "",
        ),
        limit=limit,
        as_json=as_json,
        empty="there is none; make one with: chargehand schedules add --help",
    )


async def show_schedule(schedule: str, server: str | None, *, as_json: bool) -> ExitCode:
    """One schedule."""
    async with connect(server) as connection:
        found = await _found(connection.client, schedule)
    return write_one(found, _write, as_json=as_json)


async def set_paused(schedule: str, server: str | None, *, is_paused: bool, as_json: bool) -> ExitCode:
    """Pause it, or resume it."""
    async with connect(server) as connection:
        found = await _found(connection.client, schedule)
        changed = await connection.client.put_schedule(schedule_change(found.id, {"is_paused": is_paused}))
    return _told(changed, connection, as_json=as_json)


async def run_now(schedule: str, server: str | None, *, as_json: bool) -> ExitCode:
    """Its task, at once."""
    async with connect(server) as connection:
        found = await _found(connection.client, schedule)
        task = await connection.client.submit(schedule_run(found.id))
    return write_one(task, _write_submitted, as_json=as_json)


async def remove_schedule(schedule: str, server: str | None) -> ExitCode:
    """No more of it."""
    async with connect(server) as connection:
        found = await _found(connection.client, schedule)
        await connection.client.remove_schedule(found.id)
    write(f"removed {found.name}")
    return ExitCode.OK


async def _found(client: AsyncClient, schedule: str) -> ScheduleBody:
    """The schedule of this id or name."""
    if re.fullmatch(TASK_ID_PATTERN, schedule):
        return await client.schedule(schedule)
    if re.fullmatch(SCHEDULE_NAME_PATTERN, schedule):
        for one in (await client.schedules(schedule_listing(name=schedule))).items:
            return one
    raise ScheduleNotFound(f"there is no schedule {schedule[:128]!r}; chargehand schedules list shows them")


def _told(schedule: ScheduleBody, connection: Connection, *, as_json: bool) -> ExitCode:
    if as_json:
        write_json(schedule)
        return ExitCode.OK
    write(f"{schedule.name}: {_next_text(schedule)}")
    if connection.is_own and schedule.next_times:
        say("no service runs; it comes while one does: chargehand serve")
    return ExitCode.OK


def _write_submitted(task: TaskBody) -> None:
    write(task.id)
    say(f"go on with: chargehand tasks watch {task.id}")


def _next_text(schedule: ScheduleBody) -> str:
    if schedule.is_paused:
        return "paused"
    return time_text(schedule.next_times[0]) if schedule.next_times else "never"


def _write(one: ScheduleBody) -> None:
    error = one.last_error
    write_fields(
        [
            ("schedule", f"{one.name} ({one.id})"),
            ("cron", f"{one.cron} ({one.time_zone})"),
            ("next", ", ".join(map(time_text, one.next_times)) or _next_text(one)),
            ("missed", one.missed),
            ("agent", one.agent_id),
            ("input", shortened(one_line(json.dumps(one.task_data, ensure_ascii=False)), 200)),
            ("labels", ", ".join(f"{key}={value}" for key, value in one.labels.items())),
            ("priority", str(one.priority) if one.priority else ""),
            ("budget", ", ".join(f"{key}={value}" for key, value in one.budget.items())),
            ("timeout", f"{one.timeout_seconds} s" if one.timeout_seconds else ""),
            ("last", _last_text(one.last_at, one.last_task_id)),
            ("last error", f"{time_text(error.due_at)}: {error.message}" if error else ""),
        ]
    )


def _last_text(at: datetime | None, task_id: str | None) -> str:
    task = f", task {task_id}" if task_id else ""
    return f"{time_text(at)}{task}" if at else ""
