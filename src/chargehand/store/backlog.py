"""How many tasks are pending and due: the backlog.

Rule: a suspended tenant's tasks are none of it. None of them begins, so they would fill it for everybody until the
tenant is resumed.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, literal, select

from chargehand.domain.task import Status
from chargehand.store.database import Tx
from chargehand.store.tables import AgentTask, UtcMicroseconds
from chargehand.store.tenants import suspended

_IS_DUE = (
    AgentTask.status == Status.PENDING.value,
    AgentTask.run_after <= bindparam("now", type_=UtcMicroseconds),
)
_OF_SUSPENDED = AgentTask.tenant.in_(bindparam("suspended", expanding=True))
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
_COUNT_OF_SUSPENDED = select(func.count()).select_from(AgentTask).where(*_IS_DUE, _OF_SUSPENDED)
_BY_TENANT = select(AgentTask.tenant, func.count()).where(*_IS_DUE).group_by(AgentTask.tenant)
_WHOLE = select(func.count(), func.min(AgentTask.run_after)).where(*_IS_DUE)


async def count(tx: Tx, *, most: int) -> int:
    """The backlog of all tenants; no more than `most` are counted."""
    held_up = await _of_suspended(tx, await suspended(tx))
    found = int(await tx.connection.scalar(_COUNT, {"now": tx.now, "most": most + held_up}) or 0)
    return max(0, found - held_up)


async def count_by_tenant(tx: Tx) -> dict[str, int]:
    """The backlog of each tenant that has one."""
    passed_over = set(await suspended(tx))
    rows = await tx.connection.execute(_BY_TENANT, {"now": tx.now})
    return {row[0]: row[1] for row in rows if row[0] not in passed_over}


async def whole(tx: Tx) -> tuple[int, datetime | None]:
    """The backlog of all tenants, and since when its first task is due."""
    passed_over = await suspended(tx)
    # Else over an index alone, and the oldest by one seek.
    statement = _WHOLE.where(~_OF_SUSPENDED) if passed_over else _WHOLE
    given = {"now": tx.now, **({"suspended": passed_over} if passed_over else {})}
    found = (await tx.connection.execute(statement, given)).one()
    return int(found[0]), found[1]


async def _of_suspended(tx: Tx, tenants: Sequence[str]) -> int:
    if not tenants:
        return 0
    return int(await tx.connection.scalar(_COUNT_OF_SUSPENDED, {"now": tx.now, "suspended": tenants}) or 0)


async def open_of(tx: Tx, tenant: str) -> tuple[int, int]:
    """How many due tasks of a tenant wait to begin, and how many run."""
    rows = await tx.connection.execute(_OPEN_OF, {"whose": tenant, "now": tx.now})
    found = {row[0]: int(row[1]) for row in rows}
    return found.get(Status.PENDING.value, 0), found.get(Status.RUNNING.value, 0)
