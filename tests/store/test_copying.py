"""A copy of a database holds every row as it was, and a service goes on there with what was under way."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chargehand.domain.deliverable import Deliverable, DeliveredFile
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.task import Completed, Reason, Status, Suspended
from chargehand.domain.values import JsonObject, JsonValue, bytes_hash
from chargehand.errors import Conflict, InvalidInput, Unavailable
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from chargehand.store import copying, migrate
from chargehand.store.copy_sides import TABLES, side_of
from chargehand.store.copying import copy
from tests import databases, given
from tests.given import TestClock
from tests.invariants import violations

PROGRAM = Path(__file__).with_name("copy_worker.py")
ODD: JsonValue = {
    "z": 1,
    "a": [0.1, 1e-7, 1.0, -0.0, 2**53 - 1, None, True, "", "\U0001d6fc \u2028 ☃ \" \\ '"],
    "n": None,
    "": {"b": {}, "a": []},
}
HANDED_OUT = Delegation(agent_id="work", task_data={}, labels={})


async def work(ctx: PlaybookContext) -> str:
    del ctx
    return "done"


async def lead(ctx: PlaybookContext) -> JsonValue:
    [answer] = await ctx.delegate(HANDED_OUT)
    return answer["status"]


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> Generator[dict[str, str]]:
    """An empty database of this test's own on each server."""
    made: dict[str, tuple[str, str]] = {}
    name = f"chargehand_copy_{os.getpid()}"
    for kind in ("postgresql", "mysql"):
        server: str = request.getfixturevalue(f"{kind}_url")
        databases.execute(server, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
        made[kind] = server, urlsplit(server)._replace(path=f"/{name}").geturl()
    yield {kind: url for kind, (_, url) in made.items()}
    for server, _ in made.values():
        databases.execute(server, f"DROP DATABASE {name}")


async def a_store(folder: Path, clock: TestClock, *, more: int = 0) -> Path:
    """Every kind of task in every standing, and values that are easily bent; the database's file."""
    playbooks = {"work": work, "lead": lead}
    async with given.a_core(folder, playbooks=playbooks, clock=clock, with_engine=False) as core:
        ended = await given.a_running_task(
            core, "work", {"odd": ODD}, idempotency_key="key", labels={"a": "Ключ ünï"}
        )
        one = Deliverable(
            task_id=ended.id,
            name="book",
            path="book",
            is_folder=False,
            sha256=await core.deliveries.keep(b"bytes"),
            size_bytes=2**40,
            files=(DeliveredFile(path="ünï", sha256=bytes_hash(b"bytes"), size_bytes=5),),
            evidence=(),
            stored_at=ended.created_at,
        )
        await core.deliveries.store(ended, [one])
        await core.attempts.finish(ended, Completed(result=ODD))
        root = await given.a_running_task(core, "lead")
        arguments: JsonObject = {"orders": [{"agent_id": "work", "task_data": {}}]}
        step = core.journal.new_step(root, "0/0", StepKind.DELEGATION, "work", arguments, StepStatus.OPEN)
        await core.journal.delegate(root, step, [HANDED_OUT])
        await core.attempts.finish(root, Suspended(reason=Reason.CHILDREN))
        await given.a_running_task(core, "work", {"n": "running"})
        await given.a_task(core, "work", run_after=clock.now() + timedelta(hours=1))
        for number in range(more):
            await given.a_task(core, "work", {"n": number})
        async with core.db.write() as tx:
            await tx.connection.exec_driver_sql(
                "INSERT INTO api_keys (id, tenant, name, key_hash, last_four, scopes, created_at, revoked_at)"
                " VALUES ('k', 't', 'n', x'00ff0d0a27', 'last', '[]', 1, 253402300799999999)"
            )
            await tx.connection.exec_driver_sql(
                "UPDATE agent_tasks SET result = 'null' WHERE status = 'completed'"
            )
    return core.settings.database_path


def rows(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(database)) as connection:
        return {
            table.name: sorted(
                connection.execute(f"SELECT {', '.join(c.name for c in table.columns)} FROM {table.name}"),  # noqa: S608 - names of our tables
                key=repr,
            )
            for table in TABLES
        }


def address(path: Path) -> str:
    return f"sqlite:///{path}"


async def copied(one: str, other: str) -> int:
    return await copy(side_of(one), side_of(other), told=lambda progress: None)


async def test_all_the_way_round_every_row_is_what_it_was(
    tmp_path: Path, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "ROWS_AT_ONCE", 3)
    original = await a_store(tmp_path, TestClock(), more=10)
    back = tmp_path / "back" / "data" / "chargehand.db"

    counts = [
        await copied(address(original), servers["postgresql"]),
        await copied(servers["postgresql"], servers["mysql"]),
        await copied(servers["mysql"], address(back)),
    ]

    before = rows(original)
    assert counts == [sum(map(len, before.values()))] * 3
    assert rows(back) == before
    assert migrate.current_revision(back) == migrate.HEAD
    with closing(sqlite3.connect(back)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'copy_notes'").fetchall() == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
async def test_a_service_on_the_copy_finishes_what_was_under_way(
    tmp_path: Path, servers: dict[str, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TestClock()
    original = await a_store(tmp_path / "one", clock)
    folder = tmp_path / "two"
    target = servers.get(kind) or address(folder / "data" / "chargehand.db")

    await copied(address(original), target)

    if kind in servers:
        monkeypatch.setenv(databases.VARIABLE, target)
    clock.advance(3700)
    async with given.a_core(folder, playbooks={"work": work, "lead": lead}, clock=clock) as core:
        everyone = [row[0] for row in rows(original)["agent_tasks"]]
        standing = [(await given.ended(core, task_id)).status for task_id in everyone]
    assert standing.count(Status.COMPLETED) == len(standing) == 5
    assert violations(core.settings.database_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
@pytest.mark.parametrize(
    "point", ["copying.begun", "copying.before_commit:3", "copying.committed:4", "copying.compared"]
)
async def test_killed_anywhere_it_goes_on(
    tmp_path: Path, servers: dict[str, str], kind: str, point: str
) -> None:
    original = await a_store(tmp_path, TestClock(), more=5)
    back = tmp_path / "back.db"
    target = servers.get(kind) or address(tmp_path / "two" / "chargehand.db")

    killed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(PROGRAM), address(original), target],
        env={**os.environ, "CHARGEHAND_FAIL_POINT": point},
        check=False,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    if point == "copying.compared":
        # It was whole already; only the notes were left.
        with pytest.raises(Conflict, match="not empty"):
            await copied(address(original), target)
    else:
        with pytest.raises(Unavailable, match="not whole"):
            migrate.require_known(await side_of(target).revision())
        await copied(address(original), target)
    await copied(target, address(back))
    assert rows(back) == rows(original)


async def test_a_row_that_changed_on_its_way_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = await a_store(tmp_path, TestClock())
    target = tmp_path / "two" / "chargehand.db"

    def bend(name: str) -> None:
        if name == "copying.committed" and rows(target)["task_labels"]:
            with closing(sqlite3.connect(target)) as connection:
                connection.execute("UPDATE agent_tasks SET task_data = '{}' WHERE status = 'completed'")
                connection.commit()

    monkeypatch.setattr(copying, "fail_point", bend)
    with pytest.raises(Unavailable, match=r"agent_tasks .* differs at TO: task_data"):
        await copied(address(original), address(target))
    assert migrate.current_revision(target) == migrate.UNFINISHED


async def test_what_is_refused(tmp_path: Path, servers: dict[str, str]) -> None:
    original = await a_store(tmp_path, TestClock())
    other = await a_store(tmp_path / "other", TestClock())
    newer = tmp_path / "newer.db"
    migrate.upgrade(newer)
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()

    for one, two, said in (
        (original, original, "same database"),
        (tmp_path / "none.db", tmp_path / "x.db", "is empty"),
        (original, other, "is not empty"),
        (newer, tmp_path / "x.db", "newer"),
        (original, newer, "newer"),
    ):
        with pytest.raises((Conflict, Unavailable), match=said):
            await copied(address(one), address(two))
    for wrong in ("sqlite://", "sqlite:///", "oracle://x/y", "postgresql://host"):
        with pytest.raises(InvalidInput):
            side_of(wrong)

    # A service at work: its leases are in the rows.
    await copied(address(original), servers["postgresql"])
    databases.execute(
        servers["postgresql"],
        "UPDATE agent_tasks SET lease_until = 253402300799999999 WHERE status = 'running'",
    )
    with pytest.raises(Conflict, match="live"):
        await copied(servers["postgresql"], address(tmp_path / "x.db"))
    await copy(
        side_of(servers["postgresql"]),
        side_of(address(tmp_path / "x.db")),
        told=lambda progress: None,
        force=True,
    )


def test_no_message_shows_a_password() -> None:
    assert side_of("postgresql://me:secret@127.0.0.1/x").name == "postgresql://me:***@127.0.0.1/x"
