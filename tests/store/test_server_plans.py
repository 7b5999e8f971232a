"""On the servers, too, a claim and a sweep read the rows that they need, however many tasks wait."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from sqlalchemy import insert, text

from chargehand.clock import SystemClock
from chargehand.domain.fairness import Lane
from chargehand.store import tables
from chargehand.store.database import Tx
from chargehand.store.server import ServerDatabase
from chargehand.store.server_url import ServerLimits, server_url
from chargehand.store.tables import AgentTask
from tests.databases import a_database, execute
from tests.store.test_query_plans import LANE, NOW, claim, sweep
from tests.store.test_tables import GOOD

WAITING = 20_000
MOST_ROWS = 200
"""What a claim of 8 tasks, or a sweep, may look at: a few for each, not all that wait."""
OTHERS = [Lane("default", "b", 0), Lane("default", "a", 5), Lane("other", "a", 0)]


@pytest.fixture(params=["postgresql", "mysql"])
def address(request: pytest.FixtureRequest) -> str:
    return a_database(str(request.param))


@pytest.fixture(params=[False, True], ids=["in time", "late"])
async def db(address: str, request: pytest.FixtureRequest) -> AsyncGenerator[ServerDatabase]:
    """All tasks wait to begin; or they are past their deadlines, and half of them wait for a time that has come."""
    opened = ServerDatabase(server_url(address), SystemClock(), ServerLimits(connections=2))
    try:
        async with opened.write() as tx:
            await fill(tx, is_late=request.param)
        execute(address, "ANALYZE agent_tasks" if address.startswith("post") else "ANALYZE TABLE agent_tasks")
        yield opened
    finally:
        await opened.stop()


async def fill(tx: Tx, *, is_late: bool) -> None:
    all_lanes = [LANE, *OTHERS]
    for lane in all_lanes:
        row = {"tenant": lane.tenant, "agent_id": lane.agent_id, "priority": lane.priority}
        await tx.connection.execute(insert(tables.Lane), [row])
    times = {"run_after": NOW, "created_at": NOW, "updated_at": NOW}
    documents: dict[str, Any] = {"task_data": {}, "labels": {}, "budget": {}}
    rows: list[dict[str, Any]] = []
    for number in range(WAITING):
        lane = all_lanes[number % len(all_lanes)]
        own: dict[str, Any] = {"id": f"task-{number}", "root_id": f"task-{number}", "tenant": lane.tenant}
        if is_late:
            own |= {"status": "pending" if number < WAITING / 2 else "waiting", "deadline_at": NOW}
        rows.append(
            {**GOOD, **times, **documents, **own, "agent_id": lane.agent_id, "priority": lane.priority}
        )
    await tx.connection.execute(insert(AgentTask), rows)


async def rows_read(tx: Tx) -> int:
    """Of tasks on PostgreSQL, of any table on MySQL, by this transaction or connection so far."""
    if tx.connection.dialect.name == "postgresql":
        asked = (
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'agent_tasks'"
        )
        return await tx.connection.scalar(text(asked)) or 0
    asked = "SHOW SESSION STATUS LIKE 'Handler_read%'"
    return sum(int(value) for _, value in await tx.connection.execute(text(asked)))


@pytest.mark.parametrize("ask", [claim, sweep], ids=lambda ask: ask.__name__)
async def test_what_is_asked_all_the_time_reads_few_rows_of_many(db: ServerDatabase, ask: Any) -> None:
    async with db.write() as tx:
        before = await rows_read(tx)
        await ask(tx)
        read = await rows_read(tx) - before

    assert read <= MOST_ROWS


async def test_the_count_sees_a_whole_table_read(db: ServerDatabase) -> None:
    async with db.write() as tx:
        before = await rows_read(tx)
        await tx.connection.scalar(text("SELECT count(task_data) FROM agent_tasks"))
        read = await rows_read(tx) - before

    assert read >= WAITING
