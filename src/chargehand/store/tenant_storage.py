"""How much a tenant's deliverables hold."""

from sqlalchemy import bindparam, func, select

from chargehand.store.database import Tx
from chargehand.store.tables import AgentTask, TaskDeliverable

_BYTES = (
    select(func.coalesce(func.sum(TaskDeliverable.size_bytes), 0))
    .join(AgentTask, AgentTask.id == TaskDeliverable.task_id)
    .where(AgentTask.tenant == bindparam("whose"))
)


async def delivered_bytes(tx: Tx, tenant: str) -> int:
    """The bytes of all deliverables of a tenant, each counted by itself also where two have the same content."""
    return int(await tx.connection.scalar(_BYTES, {"whose": tenant}) or 0)
