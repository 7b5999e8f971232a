"""Endpoints of webhooks as rows.

Rule: what an event's transaction goes by is read from here (store/outbox.py); so whoever changes whom an endpoint is
told about says so after the commit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from chargehand.domain.webhook import DeliveryStatus, Subscription, Webhook
from chargehand.store.database import Tx
from chargehand.store.pages import newest_first
from chargehand.store.webhook_tables import WebhookDelivery, WebhookEndpoint

_ROW = WebhookEndpoint
_COLUMNS = [getattr(_ROW, field.name) for field in fields(Webhook)]
_ONE = select(*_COLUMNS).where(_ROW.id == bindparam("one_id"))
_ONE_HELD = _ONE.with_for_update()
_SUBSCRIPTIONS = select(_ROW.id, _ROW.tenant, _ROW.kinds, _ROW.agents, _ROW.labels, _ROW.with_children).where(
    _ROW.disabled_at.is_(None)
)
_FIRST_DUE = (
    select(func.min(WebhookDelivery.next_at))
    .where(WebhookDelivery.endpoint_id == _ROW.id, WebhookDelivery.status == DeliveryStatus.PENDING.value)
    .scalar_subquery()
)
_WAITED_FOR = select(_ROW.id, _ROW.tenant, _ROW.url, _ROW.failing_since, _FIRST_DUE.label("due")).where(
    _ROW.disabled_at.is_(None), _FIRST_DUE.is_not(None)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """An endpoint's secrets, sealed."""

    secret: bytes
    previous: bytes | None
    previous_until: datetime | None

    def signing(self, now: datetime) -> list[bytes]:
        """Those that sign now, the newest first."""
        if self.previous is None or self.previous_until is None or self.previous_until <= now:
            return [self.secret]
        return [self.secret, self.previous]


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """An endpoint with something to be sent, from `due` on."""

    id: str
    tenant: str
    url: str
    is_failing: bool
    due: datetime


def as_webhook(row: Row[*tuple[Any, ...]]) -> Webhook:
    """A row as the domain's object."""
    values: dict[str, Any] = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    values |= {name: tuple(values[name]) for name in ("kinds", "agents")}
    return Webhook(**values)


async def add(tx: Tx, webhook: Webhook, secret: bytes) -> None:
    """Store a new one."""
    row = {field.name: getattr(webhook, field.name) for field in fields(Webhook)}
    row |= {"kinds": list(webhook.kinds), "agents": list(webhook.agents), "labels": dict(webhook.labels)}
    await tx.connection.execute(insert(_ROW), [{**row, "secret": secret, "previous_secret": None}])


async def get(tx: Tx, webhook_id: str) -> Webhook | None:
    """One endpoint, whoever's it is."""
    found = (await tx.connection.execute(_ONE, {"one_id": webhook_id})).first()
    return None if found is None else as_webhook(found)


async def hold(tx: Tx, webhook_id: str) -> Webhook | None:
    """As `get`, and no other transaction changes it before this one ends."""
    found = (await tx.connection.execute(_ONE_HELD, {"one_id": webhook_id})).first()
    return None if found is None else as_webhook(found)


async def secrets(tx: Tx, webhook_id: str) -> Secrets | None:
    """The sealed secrets of an endpoint."""
    columns = (_ROW.secret, _ROW.previous_secret, _ROW.previous_secret_until)
    found = (await tx.connection.execute(select(*columns).where(_ROW.id == webhook_id))).first()
    return None if found is None else Secrets(secret=found[0], previous=found[1], previous_until=found[2])


async def count(tx: Tx, tenant: str) -> int:
    """How many a tenant has."""
    counted = select(func.count()).select_from(_ROW).where(_ROW.tenant == tenant)
    return await tx.connection.scalar(counted) or 0


async def page(tx: Tx, *, tenant: str, before: str | None, limit: int) -> list[Webhook]:
    """A tenant's endpoints, newest first."""
    statement = newest_first(select(*_COLUMNS), _ROW, tenant=tenant, filters={}, before=before, limit=limit)
    return [as_webhook(row) for row in await tx.connection.execute(statement)]


async def subscriptions(tx: Tx, *, tenant: str | None = None) -> list[Subscription]:
    """The endpoints that are told something: every tenant's, or one's."""
    statement = _SUBSCRIPTIONS if tenant is None else _SUBSCRIPTIONS.where(_ROW.tenant == tenant)
    return [
        Subscription(
            id=row.id,
            tenant=row.tenant,
            kinds=frozenset(row.kinds),
            agents=frozenset(row.agents),
            labels=row.labels,
            with_children=row.with_children,
        )
        for row in await tx.connection.execute(statement)
    ]


async def awaited(tx: Tx) -> list[Awaited]:
    """The endpoints of all tenants for which something is to be sent, now or later."""
    return [
        Awaited(
            id=row.id,
            tenant=row.tenant,
            url=row.url,
            is_failing=row.failing_since is not None,
            due=row.due,
        )
        for row in await tx.connection.execute(_WAITED_FOR)
    ]


async def change(tx: Tx, webhook_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a row that is held."""
    await tx.connection.execute(update(_ROW).where(_ROW.id == webhook_id).values(**values))


async def remove(tx: Tx, webhook_id: str) -> None:
    """Delete it; its deliveries are another matter."""
    await tx.connection.execute(delete(_ROW).where(_ROW.id == webhook_id))
