"""The audit: entries that are only ever appended, and where each tenant's chain ends."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from chargehand.store.tables import LONG_TEXT, Base


class AuditEntry(Base):
    """Who did what. Never updated, never deleted."""

    __tablename__ = "audit_entries"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor_id: Mapped[str] = mapped_column(String(255))
    actor_kind: Mapped[str] = mapped_column(String(16))
    action: Mapped[str] = mapped_column(String(64))
    object_kind: Mapped[str] = mapped_column(String(32))
    object_id: Mapped[str] = mapped_column(String(255))
    address: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    result: Mapped[str] = mapped_column(String(16))
    details: Mapped[str] = mapped_column(LONG_TEXT)
    """JSON as the text that was hashed; a JSON column would keep its meaning only."""
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))

    __table_args__ = (
        Index("ix_audit_entries_actor", "tenant", "actor_id", "number"),
        Index("ix_audit_entries_object", "tenant", "object_id", "number"),
        Index("ix_audit_entries_at", "tenant", "at"),
    )


class AuditHead(Base):
    """The newest entry of a tenant; held while the next one is written, so that there is one chain."""

    __tablename__ = "audit_heads"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
