"""Moves a large store from SQLite to PostgreSQL while tasks are in flight, and tells whether anything was lost.

    python -m bench.moving                      100,000 tasks and 20 that run: about four minutes
    python -m bench.moving --tasks 5000 --running 4

A `chargehand serve` on SQLite gets SIGKILL while tasks run. `chargehand db copy` copies the store, and what it copied
is compared here once more, past the service's own code. Then a service on the copy carries the tasks to their ends.
Needs a PostgreSQL, as `python3 dev.py bench` does. The exit code is 1 where a row or a task is missing.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import JSON, NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from bench.failures import until_running
from bench.filling import fill_sqlite
from bench.ground import ROOT, Ground, OwnDatabase
from bench.load import Connection
from bench.ours import LEASE_SECONDS, OnSqlite
from chargehand.store.schema import METADATA

END_SECONDS = LEASE_SECONDS + 60

ASKED = {
    "tasks": "SELECT count(*) FROM agent_tasks",
    "tasks that ran at the kill": "SELECT count(*) FROM agent_tasks WHERE agent_id = 'hold'",
    "of them completed by a second attempt": (
        "SELECT count(*) FROM agent_tasks WHERE agent_id = 'hold' AND status = 'completed' AND attempt = 2"
    ),
    "of them with one event of their end": (
        "SELECT count(*) FROM agent_tasks WHERE agent_id = 'hold' AND 1 = "
        "(SELECT count(*) FROM task_events WHERE task_id = agent_tasks.id AND kind = 'task.completed')"
    ),
    "of them with all their events": (
        "SELECT count(*) FROM agent_tasks WHERE agent_id = 'hold' AND last_event = "
        "(SELECT count(*) FROM task_events WHERE task_id = agent_tasks.id)"
    ),
}
"""Of the copy, after everything has ended."""


class OnCopy(OnSqlite):
    """The same service, on the database that was copied to."""

    name = "copy"

    def __init__(self, ground: Ground, folder: Path, url: str) -> None:
        super().__init__(ground)
        self.folder, self.url = folder, url

    async def prepare(self) -> None:
        """Nothing: the copy is what it starts on."""

    def variables(self) -> dict[str, str]:
        return {**super().variables(), "CHARGEHAND_DATABASE_URL": self.url}


async def killed_at_work(service: OnSqlite, tasks: int, running: int, seconds: float) -> list[str]:
    """The store: so many tasks completed, so many that run, whose ids are given; then its process is gone."""
    await service.start()
    connection = await Connection.open(service.port)
    status, answer = await connection.ask(service.submit())
    if status != 202:
        raise RuntimeError(f"the service answered {status}: {answer[:200]!r}")
    template = json.loads(answer)["id"]
    await service.wait(connection, template)
    await fill_sqlite(service.folder / "chargehand.db", template, 1, tasks)
    held = service.submit("hold", {"seconds": seconds})
    ids = [json.loads((await connection.ask(held))[1])["id"] for _ in range(running)]
    for task_id in ids:
        await until_running(service, connection, task_id)
    service.programs.pop().kill()
    connection.close()
    return ids


def copied(service: OnSqlite, source: str, target: str) -> float:
    """Seconds that `chargehand db copy` took; what it says goes to this process' own output."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "chargehand", "db", "copy", source, target]
    subprocess.run(command, env=service.variables(), cwd=service.folder, check=True)  # noqa: S603 - our own arguments
    return time.perf_counter() - begun


async def gone_on(service: OnCopy, ids: Sequence[str], limit_seconds: float) -> None:
    """Until each of these tasks is completed; TimeoutError after the limit."""
    connection = await Connection.open(service.port)
    async with asyncio.timeout(limit_seconds):
        for task_id in ids:
            await service.wait(connection, task_id)
    connection.close()


async def differing(path: Path, url: str) -> tuple[int, list[str]]:
    """(rows of FROM, the tables whose rows are not the same at TO), read by nothing but the drivers."""
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
    rows, wrong = 0, list[str]()
    try:
        with closing(sqlite3.connect(path)) as source:
            async with engine.connect() as target:
                for table in METADATA.sorted_tables:
                    columns = ", ".join(f'"{column.name}"' for column in table.columns)
                    statement = f"SELECT {columns} FROM {table.name}"  # noqa: S608 - names of our own tables
                    json_at = {at for at, column in enumerate(table.columns) if isinstance(column.type, JSON)}
                    here = marks(source.execute(statement), json_at)
                    if here != marks(tuple(row) for row in await target.execute(text(statement))):
                        wrong.append(table.name)
                    rows += len(here)
    finally:
        await engine.dispose()
    return rows, wrong


def marks(rows: Iterable[Sequence[object]], json_at: Collection[int] = ()) -> list[int]:
    """A number for each row, in order, whatever the order of the rows. `json_at`: columns with JSON as text."""
    return sorted(
        hash(tuple(_plain(value, is_json_text=at in json_at) for at, value in enumerate(row))) for row in rows
    )


def _plain(value: object, *, is_json_text: bool) -> object:
    """A value as both databases have it: JSON without its spelling, truth as a number."""
    if is_json_text and isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return int(value) if isinstance(value, bool) else value


async def counted(url: str) -> dict[str, int]:
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return {
                what: int((await connection.execute(text(sql))).scalar_one()) for what, sql in ASKED.items()
            }
    finally:
        await engine.dispose()


async def run(asked: argparse.Namespace) -> bool:
    """Whether all is there."""
    with tempfile.TemporaryDirectory(prefix="chargehand-moving-", ignore_cleanup_errors=True) as folder:
        ground = Ground(Path(folder), ROOT / ".bench", os.environ)
        database = await OwnDatabase.make(ground)
        service = OnSqlite(ground, slots=asked.running + 1)
        copy: OnCopy | None = None
        try:
            ids = await killed_at_work(service, asked.tasks, asked.running, asked.seconds)
            path = service.folder / "chargehand.db"
            seconds = copied(service, f"sqlite:///{path}", database.url)
            rows, wrong = await differing(path, database.url)
            say(
                f"{rows:,} rows copied and compared in {seconds:.0f} s; compared once more: {wrong or 'all the same'}"
            )
            copy = OnCopy(ground, service.folder, database.url)
            await copy.start()
            await gone_on(copy, ids, asked.seconds + END_SECONDS)
            found = await counted(database.url)
            for what, count in found.items():
                say(f"{count:>9,} {what}")
            tasks, *held = found.values()
            return not wrong and tasks == asked.tasks + asked.running + 1 and set(held) == {asked.running}
        finally:
            for one in (service, copy):
                if one is not None:
                    await one.stop()
            await database.drop()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="bench.moving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=100_000, help="completed tasks in the store")
    parser.add_argument("--running", type=int, default=20, help="tasks that run when the process is killed")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="that they take: longer than all need to start"
    )
    is_whole = asyncio.run(run(parser.parse_args(arguments)))
    say("nothing is lost, and every task went on" if is_whole else "SOMETHING IS MISSING")
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
