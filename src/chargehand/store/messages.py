"""What people told open tasks, as rows; each is taken by one turn of the model."""

from collections.abc import Sequence

from sqlalchemy import bindparam, func, insert, select, update

from chargehand.store.database import Tx
from chargehand.store.tables import TaskMessage, TaskStep

_UNREAD = (
    select(TaskMessage.number, TaskMessage.text)
    .where(TaskMessage.task_id == bindparam("id"), TaskMessage.taken_by_path.is_(None))
    .order_by(TaskMessage.number)
)


async def add(tx: Tx, task_id: str, text: str, *, by: str) -> int:
    """Store a message; its number. The caller holds the task, so no other takes the same."""
    last = select(func.coalesce(func.max(TaskMessage.number), 0)).where(TaskMessage.task_id == task_id)
    number = int(await tx.connection.scalar(last) or 0) + 1
    row = {"task_id": task_id, "number": number, "text": text, "sent_by": by, "sent_at": tx.now}
    await tx.connection.execute(insert(TaskMessage), [row])
    return number


async def count(tx: Tx, task_id: str) -> int:
    """How many messages a task has been sent."""
    statement = select(func.count()).select_from(TaskMessage).where(TaskMessage.task_id == task_id)
    return int(await tx.connection.scalar(statement) or 0)


async def unread(tx: Tx, task_id: str) -> list[tuple[int, str]]:
    """(number, text) of what no turn has taken yet, in order."""
    return [(one.number, one.text) for one in await tx.connection.execute(_UNREAD, {"id": task_id})]


async def take(tx: Tx, task_id: str, numbers: Sequence[int], path: str) -> None:
    """Note the step that took them."""
    statement = (
        update(TaskMessage)
        .where(TaskMessage.task_id == task_id, TaskMessage.number.in_(numbers))
        .values(taken_by_path=path)
    )
    await tx.connection.execute(statement)


async def give_back(tx: Tx, task_id: str) -> None:
    """What was taken by a step that has been discarded is unread again."""
    kept = select(TaskStep.path).where(TaskStep.task_id == task_id)
    statement = (
        update(TaskMessage)
        .where(TaskMessage.task_id == task_id, TaskMessage.taken_by_path.not_in(kept))
        .values(taken_by_path=None)
    )
    await tx.connection.execute(statement)
