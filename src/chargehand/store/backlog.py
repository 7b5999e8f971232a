"""How many tasks are pending and due: the backlog."""

from sqlalchemy import bindparam, func, literal, select

from chargehand.domain.task import Status
from chargehand.store.database import Tx
from chargehand.store.tables import AgentTask, UtcMicroseconds

_IS_DUE = (
    AgentTask.status == Status.PENDING.value,
    AgentTask.run_after <= bindparam("now", type_=UtcMicroseconds),
)
_SOME = select(literal(1).label("one")).where(*_IS_DUE).limit(bindparam("most")).subquery()
_COUNT = select(func.count()).select_from(_SOME)
_OPEN_OF = (
    select(AgentTask.status, func.count())
    .where(
        AgentTask.tenant == bindparam("whose"),
        AgentTask.status.in_([Status.PENDING.value, Status.RUNNING.value]),
        AgentTask.run_after <= bindparam("now", type_=UtcMicroseconds),
    )
    .group_by(AgentTask.status)
)
_BY_TENANT = select(AgentTask.tenant, func.count()).where(*_IS_DUE).group_by(AgentTask.tenant)


async def count(tx: Tx, *, most: int) -> int:
    """The backlog of all tenants; no more than `most` are counted."""
    return int(await tx.connection.scalar(_COUNT, {"now": tx.now, "most": most}) or 0)


async def count_by_tenant(tx: Tx) -> dict[str, int]:
    """The backlog of each tenant that has one."""
    rows = await tx.connection.execute(_BY_TENANT, {"now": tx.now})
    return {row[0]: row[1] for row in rows}


async def open_of(tx: Tx, tenant: str) -> tuple[int, int]:
    """How many due tasks of a tenant wait to begin, and how many run."""
    rows = await tx.connection.execute(_OPEN_OF, {"whose": tenant, "now": tx.now})
    found = {row[0]: int(row[1]) for row in rows}
    return found.get(Status.PENDING.value, 0), found.get(Status.RUNNING.value, 0)
