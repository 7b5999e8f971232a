"""Brings a database to the schema that this code knows, and says so when it cannot.

Alembic is imported only when there is something to do: it costs a third of the start-up time.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from chargehand.errors import Unavailable
from chargehand.failpoint import fail_point

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

HEAD = "0011"
"""The newest revision in migrations/versions; a test holds the two together."""
UNFINISHED = "copying"
"""In the place of a revision: `chargehand db copy` was begun there and not brought to its end."""


def current_revision(path: Path) -> str | None:
    """The revision that the file is at; None for a new or an empty file."""
    if not path.exists():
        return None
    with closing(sqlite3.connect(path)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return None if row is None else str(row[0])


def upgrade(path: Path) -> str | None:
    """Bring the database to HEAD; the revision it was at before. Unavailable when that cannot be."""
    try:
        before = current_revision(path)
        if before != HEAD:
            _run(path, before)
    except (sqlite3.DatabaseError, OSError) as error:
        raise Unavailable(f"the database {path.name} cannot be opened or written: {error}") from error
    return before


def run_revisions(connection: "Connection", before: str | None) -> None:
    """Apply what is missing, on a connection whose transaction the caller commits."""
    from alembic import command  # noqa: PLC0415 - see the module's docstring

    require_known(before)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    fail_point("migrate.before_commit")


def own_tables() -> frozenset[str]:
    """The names of this service's tables, by which a database of something else is told apart."""
    from chargehand.store.schema import METADATA  # noqa: PLC0415 - see the module's docstring

    return frozenset(METADATA.tables)


def require_known(before: str | None) -> None:
    """Unavailable for a revision that only a newer version has; the message names the way out."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    if before == UNFINISHED:
        raise Unavailable(
            "the database holds a copy that is not whole; give the same `chargehand db copy` again, and it goes on"
        )
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if before is not None and before not in known:
        raise Unavailable(
            f"the database is at revision {before}, which is newer than this version of Chargehand knows"
            f" ({HEAD}); install the newer version again"
        )


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option(
        "script_location", (Path(__file__).parent / "migrations").as_posix().replace("%", "%%")
    )
    return config


def _run(path: Path, before: str | None) -> None:
    from sqlalchemy import create_engine, event, exc  # noqa: PLC0415 - as above

    if not path.exists():
        # Else the umask decides who reads it; what SQLite puts beside it has the same mode.
        path.touch(mode=0o600)
    engine = create_engine(f"sqlite:///{path.as_posix()}")
    event.listen(engine, "connect", _no_driver_transactions)
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            run_revisions(connection, before)
    except exc.DatabaseError as error:
        raise Unavailable(f"the database {path.name} cannot be migrated: {error.orig}") from error
    finally:
        engine.dispose()


def _no_driver_transactions(connection: sqlite3.Connection, entry: object) -> None:
    """The driver would commit before each change of the schema, and a kill would leave half of it."""
    del entry
    connection.isolation_level = None


def _begin(connection: "Connection") -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
