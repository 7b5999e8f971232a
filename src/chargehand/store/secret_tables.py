"""What is kept encrypted, and the keys that it is encrypted with, themselves encrypted."""

from datetime import datetime

from sqlalchemy import Index, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from chargehand.store.tables import Base


class DataKey(Base):
    """A tenant's key for sealing, wrapped by a master key that is in no row. The newest one seals, all open."""

    __tablename__ = "data_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    master_key_id: Mapped[str] = mapped_column(String(16))
    wrapped: Mapped[bytes] = mapped_column(LargeBinary(255))
    created_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_data_keys_tenant", "tenant", "created_at"),
        Index("ix_data_keys_master", "master_key_id"),
    )


class Secret(Base):
    """A tenant's secret, sealed. `version` counts the values that it has had; the last is kept."""

    __tablename__ = "secrets"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    sealed: Mapped[bytes] = mapped_column(LargeBinary(65_535))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(64))
    updated_at: Mapped[datetime]
    updated_by: Mapped[str] = mapped_column(String(64))
