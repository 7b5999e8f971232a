"""A table `notes` on each database: opened through the port, and looked at past it."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chargehand.clock import SystemClock
from chargehand.store.database import Database
from chargehand.store.server import ServerDatabase
from chargehand.store.server_url import ServerLimits, server_url
from chargehand.store.sqlite import SqliteDatabase
from tests.databases import execute, found

TABLE = "CREATE TABLE notes (author INTEGER, line INTEGER CHECK (line < 100), UNIQUE (author, line))"


@dataclass(slots=True, kw_only=True)
class Place:
    """One database. `url` is None where it is the file."""

    kind: str
    path: Path
    url: str | None
    _opened: list[Database] = field(default_factory=list[Database])

    @property
    def is_server(self) -> bool:
        return self.url is not None

    def open(self, **limits: Any) -> Database:
        """Open it once more; `close` closes it. The limits are those of a server."""
        if self.url is None:
            opened: Database = SqliteDatabase(self.path, SystemClock())
        else:
            opened = ServerDatabase(server_url(self.url), SystemClock(), ServerLimits(**limits))
        self._opened.append(opened)
        return opened

    async def close(self) -> None:
        for opened in self._opened:
            await opened.stop()

    def execute(self, *statements: str) -> None:
        if self.url is not None:
            execute(self.url, *statements)
            return
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            for statement in statements:
                other.execute(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What another connection sees."""
        if self.url is not None:
            return found(self.url, statement)
        with closing(sqlite3.connect(self.path)) as other:
            return other.execute(statement).fetchall()

    def notes(self) -> int:
        count: int = self.rows("SELECT count(*) FROM notes")[0][0]
        return count

    def connections(self) -> set[int]:
        """The server's own ids of the connections that this service has to the database."""
        if self.kind == "postgresql":
            statement = (
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'chargehand'"
            )
        else:
            statement = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
        return {row[0] for row in self.rows(statement)}

    def kill(self, connections: set[int]) -> None:
        """As the server's operator would."""
        statement = "SELECT pg_terminate_backend({})" if self.kind == "postgresql" else "KILL {}"
        self.execute(*(statement.format(one) for one in connections))
