"""What must hold of a database at any moment between two transactions, checked past all of our code."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tests.databases import outside
from tests.promises import rules


def violations(database: Path) -> list[str]:
    """Every broken promise, named with the task that shows it; an empty list when all hold."""
    with outside(database) as connection:
        return [
            f"{rule}: {', '.join(map(str, row))}"
            for rule, statement in RULES
            for row in connection.execute(statement)
        ] + list(_unsound_file(connection))


def _unsound_file(connection: sqlite3.Connection) -> Iterator[str]:
    for (verdict,) in connection.execute("PRAGMA integrity_check"):
        if verdict != "ok":
            yield f"the file is damaged: {verdict}"


RULES = rules("sqlite")
"""What is promised, and a query for what breaks it."""
