"""Which tasks a caller sees: those of the tenant, and of a key that is narrowed only the trees of its agents.

Rule: what a caller does not see is told as what is not there, whether it is read, changed or named in a body.
"""

from chargehand.domain.access import Principal
from chargehand.domain.task import Task
from chargehand.errors import TaskNotFound
from chargehand.store import tasks
from chargehand.store.database import Tx


async def is_visible(tx: Tx, who: Principal, tenant: str, root_id: str) -> bool:
    """Whether a tree of tasks is the caller's to see."""
    if tenant != who.tenant:
        return False
    if who.agents is None:
        return True
    root = (await tasks.get(tx, [root_id])).get(root_id)
    return root is not None and who.sees(root.agent_id)


async def seen(tx: Tx, who: Principal, task: Task | None, task_id: str) -> Task:
    """The task; TaskNotFound for one that is absent or not the caller's to see."""
    if task is None or not await is_visible(tx, who, task.tenant, task.root_id):
        raise not_found(task_id)
    return task


def not_found(task_id: str) -> TaskNotFound:
    """What is said of a task that is not there, or not for the caller."""
    return TaskNotFound(f"there is no task {task_id[:64]!r}")
