"""The table of tenants' own limits."""

from datetime import datetime

from sqlalchemy import BigInteger, Double, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from chargehand.store.tables import Base


class TenantLimit(Base):
    """The limits of a tenant that has other ones than the settings say. NULL: what the settings say."""

    __tablename__ = "tenant_limits"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    requests_per_second: Mapped[float | None] = mapped_column(Double())
    submits_per_second: Mapped[float | None] = mapped_column(Double())
    concurrency: Mapped[int | None] = mapped_column(Integer)
    backlog: Mapped[int | None] = mapped_column(BigInteger)
    streams: Mapped[int | None] = mapped_column(Integer)
    usd_nanos_per_day: Mapped[int | None] = mapped_column(BigInteger)
    tokens_per_day: Mapped[int | None] = mapped_column(BigInteger)
    storage_bytes: Mapped[int | None] = mapped_column(BigInteger)
    updated_at: Mapped[datetime]
    updated_by: Mapped[str] = mapped_column(String(64))
