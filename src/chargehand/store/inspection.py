"""What an operator may look at while no service runs: SQLite's version, a database file's revision."""

import sqlite3
from pathlib import Path

from chargehand.errors import Unavailable
from chargehand.store import migrate


def sqlite_version() -> str:
    """The version of the library that this Python uses."""
    return sqlite3.sqlite_version


def revision(path: Path) -> str | None:
    """The revision that a database is at, or None; Unavailable when the file is no database or is damaged."""
    try:
        return migrate.current_revision(path)
    except sqlite3.Error as error:
        raise Unavailable(f"{path} cannot be read as a database: {error}; restore it from a copy") from error
