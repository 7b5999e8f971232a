"""Sessions of browsers as a table."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from chargehand.store.tables import Base


class BrowserSession(Base):
    """Somebody who showed a key or a token once and goes on with a cookie, of which only a hash is kept."""

    __tablename__ = "sessions"

    id_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    principal_id: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str | None] = mapped_column(String(16))
    """The key that was shown; None: a token."""
    scopes: Mapped[list[Any]] = mapped_column(JSON)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_sessions_expiry", "expires_at"),
        Index("ix_sessions_principal", "tenant", "principal_id", "created_at"),
    )
