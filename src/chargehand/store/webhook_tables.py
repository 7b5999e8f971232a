"""The tables of webhooks: endpoints, what each is to be told (the outbox), and what came of each try."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Index, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from chargehand.store.tables import LONG_TEXT, Base


class WebhookEndpoint(Base):
    """Where a tenant's events are sent. Its secrets are sealed (service/vault.py)."""

    __tablename__ = "webhook_endpoints"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(String(2048))
    description: Mapped[str] = mapped_column(String(200))
    kinds: Mapped[list[Any]] = mapped_column(JSON)
    agents: Mapped[list[Any]] = mapped_column(JSON)
    labels: Mapped[dict[str, Any]] = mapped_column(JSON)
    with_children: Mapped[bool]
    secret: Mapped[bytes] = mapped_column(LargeBinary(512))
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary(512))
    previous_secret_until: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(String(16))
    created_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(
            "(disabled_at IS NULL) = (disabled_reason IS NULL)", name="disabled_endpoint_has_reason"
        ),
        CheckConstraint("disabled_reason IN ('by_hand','gone','failing')", name="known_disabled_reason"),
        Index("ix_webhook_endpoints_listed", "tenant", "id"),
    )


class WebhookDelivery(Base):
    """The outbox: one event for one endpoint, stored in the transaction of the event. Its id is the `webhook-id`."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(String(36))
    tenant: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(64))
    task_id: Mapped[str | None] = mapped_column(String(36))
    sequence: Mapped[int | None] = mapped_column(Integer)
    data: Mapped[dict[str, Any] | None]
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer)
    tries: Mapped[int] = mapped_column(Integer)
    next_at: Mapped[datetime]
    response_status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(LONG_TEXT)
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("status IN ('pending','delivered','failed')", name="known_delivery_status"),
        CheckConstraint("(status = 'pending') = (ended_at IS NULL)", name="ended_delivery_has_time"),
        Index("ix_webhook_deliveries_due", "endpoint_id", "status", "next_at"),
        Index("ix_webhook_deliveries_listed", "endpoint_id", "id"),
        Index("ix_webhook_deliveries_task", "task_id"),
        Index("ix_webhook_deliveries_ended", "ended_at"),
    )


class WebhookAttempt(Base):
    """What came of one try of a delivery."""

    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    tenant: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
    milliseconds: Mapped[int] = mapped_column(Integer)
    response_status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(LONG_TEXT)
    answer: Mapped[str] = mapped_column(LONG_TEXT)
