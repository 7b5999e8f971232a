"""The table of tenants."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from chargehand.store.tables import Base


class Tenant(Base):
    """One of those whose agents, tasks and keys are kept apart. A tenant without a row is not suspended."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(128))
    created_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    suspended_at: Mapped[datetime | None]
