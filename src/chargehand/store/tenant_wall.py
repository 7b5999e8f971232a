"""The second wall between tenants: PostgreSQL's row-level security, behind the filters of the statements.

Rule: a door that was opened for a tenant sees that tenant's rows alone, whatever a statement asks for. A door of the
service itself (sweeps, claims, many tenants' submissions in one commit) names no tenant and sees all. MySQL and SQLite
have no such thing; there the filters stand alone.
"""

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

VARIABLE = "chargehand.tenant"
"""What the policies (migrations/walls.py) compare with; empty: no tenant, all rows."""
_FOR_SESSION = text(f"SELECT set_config('{VARIABLE}', :tenant, false)")
_FOR_TRANSACTION = text(f"SELECT set_config('{VARIABLE}', :tenant, true)")


class TenantWall:
    """Says to a connection for whom it is used; nothing at all where the server knows no walls."""

    def __init__(self, url: URL) -> None:
        self._stands = url.get_backend_name() == "postgresql"

    async def around_session(self, connection: AsyncConnection, tenant: str | None) -> None:
        """For a connection on which each statement is a transaction; costs nothing while the tenant is the same."""
        if not self._stands:
            return
        info = _info(connection)
        wanted = tenant or ""
        if info.get(VARIABLE, "") == wanted:
            return
        # Unknown until it is answered: after a cancel it may or may not have been done.
        info[VARIABLE] = None
        await connection.execute(_FOR_SESSION, {"tenant": wanted})
        info[VARIABLE] = wanted

    async def around_transaction(self, connection: AsyncConnection, tenant: str | None) -> None:
        """For the transaction that begins; its end takes the wall away."""
        if self._stands and tenant is not None:
            await connection.execute(_FOR_TRANSACTION, {"tenant": tenant})


def _info(connection: AsyncConnection) -> dict[str, object]:
    """What is kept beside the driver's connection for as long as that lives."""
    inner = connection.sync_connection
    return {} if inner is None else inner.info
