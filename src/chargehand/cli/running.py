"""Submits a task, watches it to its end and puts what it delivered into a folder."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from chargehand.app.loop import stop_signals
from chargehand.cli.connection import Connection, connect
from chargehand.cli.endings import Advice, conclude
from chargehand.cli.exits import ExitCode, Stopped, say
from chargehand.cli.inputs import budget_of, labels_of, schema_of, task_data_of
from chargehand.cli.output import write, write_json
from chargehand.cli.shows import Beside
from chargehand.cli.unpacking import check_target, deliver
from chargehand.cli.watching import watch
from chargehand.client import submission
from chargehand.domain.task import Status
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.wire.rest import DeliverableBody, TaskBody

NO_ADVICE = Advice()
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A task as the command line asks for it."""

    agent_id: str
    task_data: JsonObject
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    idempotency_key: str | None = None
    timeout_seconds: float | None = None
    budget: JsonObject = field(default_factory=dict[str, JsonValue])
    output_schema: JsonObject | None = None


def order_of(
    agent_id: str,
    *,
    spec: str | None,
    prompt: str | None,
    data: str | None,
    labels: list[str],
    idempotency_key: str | None,
    timeout_seconds: float | None,
    budget: list[str],
    output_schema: str | None,
) -> Order:
    """The order that the options of `run` amount to; InvalidInput when they do not."""
    return Order(
        agent_id=agent_id,
        task_data=task_data_of(spec=spec, prompt=prompt, data=data),
        labels=labels_of(labels),
        idempotency_key=idempotency_key,
        timeout_seconds=timeout_seconds,
        budget=budget_of(budget),
        output_schema=schema_of(output_schema),
    )


async def run(
    order: Order, *, server: str | None, out: Path | None, force: bool, as_json: bool, wait: bool
) -> ExitCode:
    """`chargehand run`."""
    if out is not None:
        check_target(out, force=force)
    async with connect(server, engine=wait) as connection:
        task = await submit(connection, order)
        if not wait:
            return _leave(connection, task, as_json=as_json)
        if not as_json:
            say(f"task {task.id} for {task.agent_id} at {_place(connection)}")
        return await see_through(connection, task, out=out, force=force, as_json=as_json)


async def resume_watching(
    task_id: str, *, server: str | None, out: Path | None, force: bool, as_json: bool
) -> ExitCode:
    """`chargehand tasks watch`: without a running service one of our own goes on with the task."""
    if out is not None:
        check_target(out, force=force)
    async with connect(server, engine=True) as connection:
        task = await connection.client.task(task_id)
        return await see_through(connection, task, out=out, force=force, as_json=as_json)


async def submit(connection: Connection, order: Order) -> TaskBody:
    """Send the order; the stored task."""
    call = submission(
        order.agent_id,
        order.task_data,
        labels=order.labels,
        idempotency_key=order.idempotency_key,
        timeout_seconds=order.timeout_seconds,
        budget=order.budget,
        output_schema=order.output_schema,
    )
    return await connection.client.submit(call)


async def see_through(
    connection: Connection,
    task: TaskBody,
    *,
    out: Path | None,
    force: bool,
    as_json: bool,
    advice: Advice = NO_ADVICE,
    beside: Beside | None = None,
) -> ExitCode:
    """Watch a task to its end, fetch what it delivered, tell how it came out."""
    client = connection.client
    farewell = _farewell(connection, task, advice)
    ended = await until_stopped(watch(client, task, as_json=as_json, beside=beside), farewell)
    delivered: list[DeliverableBody] = []
    if ended.status is Status.COMPLETED:
        delivered = await client.deliverables(task.id)
        if out is not None and delivered:
            await until_stopped(deliver(client, task.id, delivered, out, force=force), farewell)
    folder = out if delivered else None
    return await conclude(client, ended, delivered, folder=folder, as_json=as_json, advice=advice)


def _leave(connection: Connection, task: TaskBody, *, as_json: bool) -> ExitCode:
    """Print what a script needs to come back to the task."""
    if as_json:
        write_json(task)
    else:
        write(task.id)
    if connection.is_own:
        say(f"no service runs; the task is stored and is carried out by: chargehand tasks watch {task.id}")
    return ExitCode.OK


def _place(connection: Connection) -> str:
    return "a service in this process" if connection.is_own else connection.client.url


def _farewell(connection: Connection, task: TaskBody, advice: Advice) -> str:
    command = advice.go_on or f"chargehand tasks watch {task.id}"
    if connection.is_own:
        return f"stopped; the task keeps its journal and goes on from it with: {command}"
    return f"stopped watching; the task goes on. Watch it again with: {command}"


async def until_stopped(work: Coroutine[Any, Any, _Result], farewell: str) -> _Result:
    """The work's result; Stopped with the farewell when Ctrl-C or SIGTERM came first."""
    with stop_signals() as stopping:
        working = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise Stopped(farewell)
            return working.result()
        finally:
            stopped.cancel()
            working.cancel()
            await asyncio.wait((working,))
