"""The database's part of a backup: one file of SQLite that holds the rows of one moment, and the way back.

Rule: whatever the database is, a backup of it is such a file; so it can be restored to any other.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import func, select

from chargehand.clock import SystemClock
from chargehand.domain.task import OPEN
from chargehand.errors import Unavailable
from chargehand.store import migrate
from chargehand.store.copy_sides import Side, side_of
from chargehand.store.copying import Told, copy
from chargehand.store.database import Database
from chargehand.store.sqlite import SqliteDatabase, integrity_problem
from chargehand.store.tables import AgentTask


async def save_rows(source: Side, file: Path, told: Told) -> None:
    """Write the rows of this moment into a new file that only its owner reads, beside whoever is at work."""
    await asyncio.to_thread(file.touch, 0o600)
    if source.path is None:
        await copy(source, _file(file), told=told, force=True)
    elif migrate.current_revision(source.path) != migrate.HEAD:
        raise Unavailable(
            f"{source.path} is not at revision {migrate.HEAD}; run `chargehand db upgrade` first"
        )
    else:
        with closing(sqlite3.connect(source.path)) as connection:
            # One read transaction: writers go on meanwhile.
            connection.execute("VACUUM INTO ?", (str(file),))
    if problem := integrity_problem(file):
        raise Unavailable(
            f"the copy of the database is damaged ({problem}); see the disk that it was written to"
        )


async def bring_rows(file: Path, target: Side, told: Told) -> None:
    """Fill an empty database on a server with the rows of a backup."""
    await copy(_file(file), target, told=told)


def check_rows(file: Path) -> None:
    """Unavailable when the file is damaged, or of a newer version."""
    try:
        problem = integrity_problem(file)
    except sqlite3.DatabaseError as error:
        problem = str(error)
    if problem:
        raise Unavailable(f"the database in the backup is damaged ({problem})")
    migrate.require_known(migrate.current_revision(file))


def opened(file: Path) -> Database:
    """The rows of a backup, to be asked."""
    return SqliteDatabase(file, SystemClock())


async def open_workspaces(db: Database) -> set[str]:
    """The workspaces of tasks that have not ended."""
    place = func.coalesce(AgentTask.workspace_id, AgentTask.root_id)
    statement = select(place).where(AgentTask.status.in_([status.value for status in OPEN])).distinct()
    async with db.read() as tx:
        return {str(one) for one in await tx.connection.scalars(statement)}


def _file(path: Path) -> Side:
    return side_of(f"sqlite:///{path}")
