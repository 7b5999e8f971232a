"""The database as an outsider reads it: plain SQL through `psql` or the sqlite3 module, none of the service's code."""

import asyncio
import csv
import io
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chaos.ports import LOOPBACK
from chaos.servers import binary

Row = Sequence[str]
"""Each value as text; NULL is empty."""
QUERY_SECONDS = 120.0


class DatabaseSilent(Exception):
    """The database cannot be read now."""


class Outside(Protocol):
    """A database that is only read."""

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`, as tests/promises.py calls them."""
        ...

    async def rows(self, statement: str) -> list[Row]:
        """What a query finds; DatabaseSilent when there is no answer."""
        ...


@dataclass(frozen=True, slots=True)
class OutsidePostgresql:
    """Read through psql, directly: past the proxies."""

    port: int
    database: str = "postgres"
    kind: str = "postgresql"

    async def rows(self, statement: str) -> list[Row]:
        program = binary("psql", "usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")
        command = [str(program), "-X", "-q", "--csv", "-t", "-v", "ON_ERROR_STOP=1", "-h", LOOPBACK]
        process = await asyncio.create_subprocess_exec(
            *command,
            *("-p", str(self.port), "-U", "postgres", "-d", self.database, "-c", statement),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PGCONNECT_TIMEOUT": "5"},
        )
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                found, problem = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise DatabaseSilent(f"no answer in {QUERY_SECONDS:g} s to: {statement[:200]}") from None
        if process.returncode:
            raise DatabaseSilent(f"{problem.decode(errors='replace').strip()} (asked: {statement[:200]})")
        return [tuple(row) for row in csv.reader(io.StringIO(found.decode()))]


@dataclass(frozen=True, slots=True)
class OutsideSqlite:
    """Read as a file."""

    path: Path
    kind: str = "sqlite"

    async def rows(self, statement: str) -> list[Row]:
        return await asyncio.to_thread(self._rows, statement)

    def _rows(self, statement: str) -> list[Row]:
        try:
            with closing(
                sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=QUERY_SECONDS)
            ) as one:
                found = one.execute(statement).fetchall()
        except sqlite3.Error as error:
            raise DatabaseSilent(f"{error} (asked: {statement[:200]})") from error
        return [tuple("" if value is None else str(value) for value in row) for row in found]
