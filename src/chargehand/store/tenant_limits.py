"""Tenants' own limits as rows."""

from typing import Any

from sqlalchemy import delete, insert, select, update

from chargehand.domain.tenant_limits import LIMIT_NAMES, TenantLimits
from chargehand.store.database import Tx
from chargehand.store.tenant_limit_tables import TenantLimit

_COLUMNS = [getattr(TenantLimit, name) for name in LIMIT_NAMES]
_ALL = select(TenantLimit.tenant, *_COLUMNS)


async def every(tx: Tx) -> dict[str, TenantLimits]:
    """The limits of each tenant that has its own."""
    rows = await tx.connection.execute(_ALL)
    return {row[0]: TenantLimits(**dict(zip(LIMIT_NAMES, row[1:], strict=True))) for row in rows}


async def store(tx: Tx, tenant: str, limits: TenantLimits, by: str) -> None:
    """Keep a tenant's limits instead of those before; with none at all there is no row."""
    values: dict[str, Any] = {name: getattr(limits, name) for name in LIMIT_NAMES}
    if limits == TenantLimits():
        await tx.connection.execute(delete(TenantLimit).where(TenantLimit.tenant == tenant))
        return
    values |= {"updated_at": tx.now, "updated_by": by}
    row = select(TenantLimit.tenant).where(TenantLimit.tenant == tenant).with_for_update()
    if await tx.connection.scalar(row) is None:
        await tx.connection.execute(insert(TenantLimit).values(tenant=tenant, **values))
    else:
        await tx.connection.execute(update(TenantLimit).where(TenantLimit.tenant == tenant).values(values))
