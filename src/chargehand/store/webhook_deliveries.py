"""Deliveries of webhooks as rows, and the log of their tries.

Rule: what came of a try is written only where the delivery still has the number of tries that the sender saw; of two
senders that both tried, the second writes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, or_, select, update

from chargehand.domain.task import FOREVER
from chargehand.domain.values import JsonObject
from chargehand.domain.webhook import Delivery, DeliveryAttempt, DeliveryStatus, ToldTask
from chargehand.store.database import Tx
from chargehand.store.pages import newest_first
from chargehand.store.tables import AgentTask, TaskEvent
from chargehand.store.webhook_tables import WebhookAttempt, WebhookDelivery, WebhookEndpoint

_ROW = WebhookDelivery
_PENDING = DeliveryStatus.PENDING.value
_COLUMNS = [getattr(_ROW, field.name) for field in fields(Delivery)]
_ONE = select(*_COLUMNS).where(_ROW.id == bindparam("one_id"))
_ONE_HELD = _ONE.with_for_update()
_DUE = (
    select(_ROW.id)
    .where(
        _ROW.endpoint_id == bindparam("endpoint"),
        _ROW.status == _PENDING,
        _ROW.next_at <= bindparam("now"),
    )
    .order_by(_ROW.next_at, _ROW.id)
    .limit(bindparam("most"))
)
_HAS_ENDPOINT = select(WebhookEndpoint.id).where(WebhookEndpoint.id == _ROW.endpoint_id).exists()
_EVENT = (
    select(TaskEvent.at, TaskEvent.data, AgentTask.agent_id, AgentTask.labels, AgentTask.parent_id)
    .join(AgentTask, AgentTask.id == TaskEvent.task_id)
    .where(TaskEvent.task_id == bindparam("task"), TaskEvent.sequence == bindparam("number"))
)


def as_delivery(row: Row[*tuple[Any, ...]]) -> Delivery:
    """A row as the domain's object."""
    values: dict[str, Any] = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    values["status"] = DeliveryStatus(values["status"])
    return Delivery(**values)


def fresh(
    delivery_id: str,
    endpoint_id: str,
    tenant: str,
    kind: str,
    *,
    now: datetime,
    event: tuple[str, int] | None = None,
    data: JsonObject | None = None,
) -> Delivery:
    """One that is to be sent at once: of an event (task, number), or with data of its own."""
    task_id, sequence = event or (None, None)
    return Delivery(
        id=delivery_id,
        endpoint_id=endpoint_id,
        tenant=tenant,
        kind=kind,
        task_id=task_id,
        sequence=sequence,
        data=data,
        status=DeliveryStatus.PENDING,
        attempts=0,
        tries=0,
        next_at=now,
        response_status=None,
        error=None,
        created_at=now,
        ended_at=None,
    )


async def add(tx: Tx, deliveries: Sequence[Delivery]) -> None:
    """Store new ones."""
    rows = [
        {field.name: getattr(one, field.name) for field in fields(Delivery)} | {"status": one.status.value}
        for one in deliveries
    ]
    if rows:
        await tx.connection.execute(insert(_ROW), rows)


async def get(tx: Tx, delivery_id: str) -> Delivery | None:
    """One delivery, whoever's it is."""
    found = (await tx.connection.execute(_ONE, {"one_id": delivery_id})).first()
    return None if found is None else as_delivery(found)


async def hold(tx: Tx, delivery_id: str) -> Delivery | None:
    """As `get`, and no other transaction changes it before this one ends."""
    found = (await tx.connection.execute(_ONE_HELD, {"one_id": delivery_id})).first()
    return None if found is None else as_delivery(found)


async def page(
    tx: Tx, *, tenant: str, endpoint_id: str, status: str | None, before: str | None, limit: int
) -> list[Delivery]:
    """An endpoint's deliveries, newest first."""
    filters = {"endpoint_id": endpoint_id, "status": status}
    statement = newest_first(
        select(*_COLUMNS), _ROW, tenant=tenant, filters=filters, before=before, limit=limit
    )
    return [as_delivery(row) for row in await tx.connection.execute(statement)]


async def due(tx: Tx, endpoint_id: str, *, limit: int) -> list[str]:
    """The ids of those that are to be sent to an endpoint now, longest due first."""
    asked = {"endpoint": endpoint_id, "now": tx.now, "most": limit}
    return list(await tx.connection.scalars(_DUE, asked))


async def event_of(tx: Tx, delivery: Delivery) -> Mapping[str, Any] | None:
    """What is told of the event: `at`, `data`, and its task's `agent_id`, `labels` and `parent_id`."""
    asked = {"task": delivery.task_id, "number": delivery.sequence}
    found = (await tx.connection.execute(_EVENT, asked)).first()
    return None if found is None else dict(found._mapping)  # pyright: ignore[reportPrivateUsage] - as above


async def tasks_of(tx: Tx, task_ids: Collection[str]) -> list[ToldTask]:
    """What is chosen by among the events of these tasks."""
    columns = [getattr(AgentTask, field.name) for field in fields(ToldTask)]
    found = await tx.connection.execute(select(*columns).where(AgentTask.id.in_(task_ids)))
    return [ToldTask(**row._mapping) for row in found]  # pyright: ignore[reportPrivateUsage] - as above


async def change(tx: Tx, delivery_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a row that is held."""
    await tx.connection.execute(update(_ROW).where(_ROW.id == delivery_id).values(**values))


async def note(tx: Tx, delivery: Delivery, attempt: DeliveryAttempt) -> None:
    """Add a try to the log."""
    row = {"delivery_id": delivery.id, "tenant": delivery.tenant, **asdict(attempt)}
    await tx.connection.execute(insert(WebhookAttempt), [row])


async def attempts(tx: Tx, delivery: Delivery) -> list[DeliveryAttempt]:
    """The tries of a delivery, in order."""
    columns = [getattr(WebhookAttempt, field.name) for field in fields(DeliveryAttempt)]
    statement = (
        select(*columns)
        .where(WebhookAttempt.delivery_id == delivery.id, WebhookAttempt.tenant == delivery.tenant)
        .order_by(WebhookAttempt.number)
    )
    rows = await tx.connection.execute(statement)
    return [DeliveryAttempt(**row._mapping) for row in rows]  # pyright: ignore[reportPrivateUsage] - as above


async def bring_forward(tx: Tx, endpoint_id: str) -> None:
    """What waits for an endpoint is sent now."""
    mine = update(_ROW).where(_ROW.endpoint_id == endpoint_id, _ROW.status == _PENDING, _ROW.next_at > tx.now)
    await tx.connection.execute(mine.values(next_at=tx.now))


async def put_off(tx: Tx, endpoint_id: str) -> None:
    """What waits for an endpoint waits until it is wanted again."""
    mine = update(_ROW).where(_ROW.endpoint_id == endpoint_id, _ROW.status == _PENDING)
    await tx.connection.execute(mine.values(next_at=FOREVER))


async def delete_of_tasks(tx: Tx, task_ids: Collection[str]) -> None:
    """Delete what tells of these tasks."""
    ids = list(await tx.connection.scalars(select(_ROW.id).where(_ROW.task_id.in_(task_ids))))
    await delete_all(tx, ids)


async def delete_all(tx: Tx, delivery_ids: Sequence[str]) -> None:
    """Delete deliveries with their log."""
    if delivery_ids:
        await tx.connection.execute(
            delete(WebhookAttempt).where(WebhookAttempt.delivery_id.in_(delivery_ids))
        )
        await tx.connection.execute(delete(_ROW).where(_ROW.id.in_(delivery_ids)))


async def of_endpoint(tx: Tx, endpoint_id: str, *, limit: int) -> list[str]:
    """Ids of an endpoint's deliveries."""
    return list(
        await tx.connection.scalars(select(_ROW.id).where(_ROW.endpoint_id == endpoint_id).limit(limit))
    )


async def old(tx: Tx, before: datetime, *, limit: int) -> list[str]:
    """Ids of those that ended before that time, of all tenants."""
    statement = select(_ROW.id).where(_ROW.ended_at < before).order_by(_ROW.ended_at).limit(limit)
    return list(await tx.connection.scalars(statement))


async def without_endpoint(tx: Tx, *, limit: int) -> list[str]:
    """Ids of those whose endpoint is gone: stored by a process that had not heard of it yet."""
    return list(await tx.connection.scalars(select(_ROW.id).where(~_HAS_ENDPOINT).limit(limit)))


async def hold_no_more_wanted(tx: Tx, delivery_ids: Collection[str], before: datetime) -> list[str]:
    """Those that `old` or `without_endpoint` would still find; one that was sent again since is not among them."""
    statement = select(_ROW.id).where(_ROW.id.in_(delivery_ids), or_(_ROW.ended_at < before, ~_HAS_ENDPOINT))
    return list(await tx.connection.scalars(statement.with_for_update()))
