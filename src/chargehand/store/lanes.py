"""Lanes: that there are tasks of an agent with a priority for a tenant; what claims go round (store/claims.py)."""

from collections.abc import Sequence

from sqlalchemy import bindparam, insert, select

from chargehand.domain.fairness import Lane
from chargehand.domain.task import Task
from chargehand.store import tables
from chargehand.store.database import Tx

# Built once, like those of store/tasks.py.
_FIND = select(tables.Lane.priority).where(
    tables.Lane.tenant == bindparam("tenant"),
    tables.Lane.agent_id == bindparam("agent_id"),
    tables.Lane.priority == bindparam("priority"),
)
_INSERT = insert(tables.Lane)


class Lanes:
    """The lanes that this process knows to be there, so that a task is stored without a look for its own."""

    def __init__(self) -> None:
        self._known: set[Lane] = set()

    async def open(self, tx: Tx, tasks: Sequence[Task]) -> None:
        """See to it that new tasks have their lanes, in the transaction that stores them."""
        wanted = {Lane(task.tenant, task.agent_id, task.priority) for task in tasks} - self._known
        if not wanted:
            return
        # In one order everywhere, so that two processes that open the same lanes do not wait for each other.
        for lane in sorted(wanted):
            row = {"tenant": lane.tenant, "agent_id": lane.agent_id, "priority": lane.priority}
            if await tx.connection.scalar(_FIND, row) is None:
                await tx.connection.execute(_INSERT, row)
        tx.after_commit(lambda: self._known.update(wanted))
