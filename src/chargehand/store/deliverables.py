"""Deliverables as rows: a manifest of content hashes, and the evidence of the checks."""

from typing import Any

from sqlalchemy import Row, delete, insert, select

from chargehand.domain.deliverable import Deliverable, DeliveredFile, Evidence
from chargehand.store.database import Tx
from chargehand.store.tables import TaskDeliverable


async def store(tx: Tx, deliverable: Deliverable) -> None:
    """Keep a deliverable; one of the same name that an earlier round stored is replaced."""
    await tx.connection.execute(
        delete(TaskDeliverable).where(
            TaskDeliverable.task_id == deliverable.task_id, TaskDeliverable.name == deliverable.name
        )
    )
    await tx.connection.execute(
        insert(TaskDeliverable).values(
            task_id=deliverable.task_id,
            name=deliverable.name,
            path=deliverable.path,
            is_folder=deliverable.is_folder,
            sha256=deliverable.sha256,
            size_bytes=deliverable.size_bytes,
            files=[[file.path, file.sha256, file.size_bytes] for file in deliverable.files],
            evidence=[evidence.as_data() for evidence in deliverable.evidence],
            stored_at=deliverable.stored_at,
        )
    )


async def of_task(tx: Tx, task_id: str) -> list[Deliverable]:
    """A task's deliverables, by name."""
    statement = (
        select(TaskDeliverable.__table__)
        .where(TaskDeliverable.task_id == task_id)
        .order_by(TaskDeliverable.name)
    )
    return [_as_deliverable(row) for row in await tx.connection.execute(statement)]


def _as_deliverable(row: Row[Any]) -> Deliverable:
    return Deliverable(
        task_id=row.task_id,
        name=row.name,
        path=row.path,
        is_folder=row.is_folder,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        files=tuple(
            DeliveredFile(path=path, sha256=digest, size_bytes=size) for path, digest, size in row.files
        ),
        evidence=tuple(Evidence.from_data(data) for data in row.evidence),
        stored_at=row.stored_at,
    )
