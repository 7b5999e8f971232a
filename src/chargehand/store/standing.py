"""How all tenants' tasks stand at one moment, in numbers: what Prometheus is told.

Rule: each number is one statement over an index of few rows, since monitoring asks again and again.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select

from chargehand.domain.approval import ApprovalStatus
from chargehand.domain.task import Status
from chargehand.store import backlog
from chargehand.store.database import Tx
from chargehand.store.tables import AgentTask, Approval
from chargehand.store.tasks import count_by_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Over all tenants."""

    by_status: dict[str, int]
    due: int
    """Pending tasks that could begin now; none of a suspended tenant's could."""
    oldest_due_seconds: float
    """How long the first of them has been due; 0 when none is."""
    expired_leases: int
    """Running tasks whose worker has been silent for longer than its lease, and which nobody has taken back yet."""
    open_approvals: int
    oldest_approval_seconds: float


async def read_standing(tx: Tx) -> Standing:
    """The numbers of this moment."""
    is_silent = (AgentTask.status == Status.RUNNING.value, AgentTask.lease_until <= tx.now)
    is_open = Approval.status == ApprovalStatus.OPEN.value
    asked = select(func.count(), func.min(Approval.created_at)).where(is_open)
    due_count, due_since = await backlog.whole(tx)
    open_count, open_since = (await tx.connection.execute(asked)).one()
    return Standing(
        by_status=await count_by_status(tx),
        due=due_count,
        oldest_due_seconds=_age(tx, due_since),
        expired_leases=await _count(tx, *is_silent),
        open_approvals=open_count,
        oldest_approval_seconds=_age(tx, open_since),
    )


async def _count(tx: Tx, *which: ColumnElement[bool]) -> int:
    return int(await tx.connection.scalar(select(func.count()).select_from(AgentTask).where(*which)) or 0)


def _age(tx: Tx, since: datetime | None) -> float:
    return 0.0 if since is None else max(0.0, (tx.now - since).total_seconds())
