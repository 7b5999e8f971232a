"""The newest snapshot of each workspace, as rows. A head moves only from the version that its mover has seen."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from chargehand.domain.task import Task
from chargehand.store.database import Tx
from chargehand.store.tables import AgentTask, WorkspaceHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a workspace stands."""

    workspace_id: str
    manifest: str
    version: int


async def get(tx: Tx, workspace_id: str) -> Head | None:
    """The head; None while nothing was published."""
    statement = select(WorkspaceHead.manifest, WorkspaceHead.version).where(
        WorkspaceHead.workspace_id == workspace_id
    )
    row = (await tx.connection.execute(statement)).first()
    return (
        None if row is None else Head(workspace_id=workspace_id, manifest=row.manifest, version=row.version)
    )


async def move(tx: Tx, workspace_id: str, manifest: str, *, seen: Head | None, by: Task) -> Head | None:
    """Name another manifest; None when the head is not the one that was seen."""
    version = seen.version + 1 if seen else 1
    values = {
        "manifest": manifest,
        "version": version,
        "task_id": by.id,
        "attempt": by.attempt,
        "taken_at": tx.now,
    }
    if seen is None:
        if await get(tx, workspace_id) is not None:
            return None
        await tx.connection.execute(insert(WorkspaceHead).values(workspace_id=workspace_id, **values))
    else:
        moved = await tx.connection.execute(
            update(WorkspaceHead)
            .where(WorkspaceHead.workspace_id == workspace_id, WorkspaceHead.version == seen.version)
            .values(**values)
        )
        if moved.rowcount != 1:
            return None
    return Head(workspace_id=workspace_id, manifest=manifest, version=version)


async def after(tx: Tx, workspace_id: str, *, limit: int) -> list[Head]:
    """The heads that follow, by workspace."""
    statement = (
        select(WorkspaceHead.workspace_id, WorkspaceHead.manifest, WorkspaceHead.version)
        .where(WorkspaceHead.workspace_id > workspace_id)
        .order_by(WorkspaceHead.workspace_id)
        .limit(limit)
    )
    return [
        Head(workspace_id=row.workspace_id, manifest=row.manifest, version=row.version)
        for row in await tx.connection.execute(statement)
    ]


async def forget_unused(tx: Tx, workspace_ids: Collection[str]) -> None:
    """Drop the heads of those of these workspaces that no task works in any more; call it after their tasks went.

    A workspace is named after the task that it was made for, which others of its tree, and tasks that go on from it,
    share.
    """
    ids = list(workspace_ids)
    used: set[str] = set()
    for column in (AgentTask.root_id, AgentTask.workspace_id, AgentTask.id):
        found = await tx.connection.execute(select(column).where(column.in_(ids)).distinct())
        used |= {value for (value,) in found if value is not None}
    await tx.connection.execute(
        delete(WorkspaceHead).where(WorkspaceHead.workspace_id.in_([one for one in ids if one not in used]))
    )
