"""Behind the filters of the statements, PostgreSQL itself keeps tenants apart."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, make_url, select, text, update

from chargehand.clock import SystemClock
from chargehand.errors import ChargehandError
from chargehand.store.database import Tx
from chargehand.store.schema import METADATA
from chargehand.store.server import ServerDatabase
from chargehand.store.server_url import ServerLimits, server_url
from chargehand.store.tables import AgentTask, TaskEvent
from chargehand.store.tenant_wall import TenantWall
from tests.databases import a_database, found
from tests.store.test_query_plans import NOW
from tests.store.test_tables import GOOD

WITHOUT_TENANT = {
    "duties": "what processes do for all tenants",
    "tenant_limits": "the operator's, read for all tenants at once",
    "mcp_tools": "the operator's servers, the same for all tenants",
    "tenants": "which there are: for the operator, and looked at with each key",
    "workspace_heads": "read and written by workers alone, never for a request",
}


@pytest.fixture
def url() -> str:
    return a_database("postgresql")


@pytest.fixture
async def db(url: str) -> AsyncGenerator[ServerDatabase]:
    """With a task and its event of each of two tenants, and one connection to read and one to write with."""
    opened = ServerDatabase(server_url(url), SystemClock(), ServerLimits(connections=2))
    try:
        async with opened.write() as tx:
            for tenant in ("one", "two"):
                await tx.connection.execute(insert(AgentTask), [a_task(tenant)])
                event: dict[str, Any] = {
                    "task_id": f"of {tenant}",
                    "sequence": 1,
                    "kind": "submitted",
                    "at": NOW,
                    "data": {},
                }
                await tx.connection.execute(insert(TaskEvent), [event])
        yield opened
    finally:
        await opened.stop()


def a_task(tenant: str) -> dict[str, Any]:
    times = {"run_after": NOW, "created_at": NOW, "updated_at": NOW}
    documents: dict[str, Any] = {"task_data": {}, "labels": {}, "budget": {}}
    return {**GOOD, **times, **documents, "id": f"of {tenant}", "root_id": f"of {tenant}", "tenant": tenant}


async def seen(tx: Tx) -> tuple[list[str], list[str]]:
    """Tasks and events of a statement that forgot to name the tenant."""
    tasks = await tx.connection.scalars(select(AgentTask.id).order_by(AgentTask.id))
    events = await tx.connection.scalars(select(TaskEvent.task_id).order_by(TaskEvent.task_id))
    return list(tasks), list(events)


async def test_a_door_opened_for_a_tenant_shows_that_tenants_rows_to_a_statement_without_a_filter(
    db: ServerDatabase,
) -> None:
    told: list[tuple[list[str], list[str]]] = []

    # One connection serves all of them in turn.
    for tenant in ("one", "two", None, "one", None, "nobody"):
        async with db.read(tenant) as tx:
            told.append(await seen(tx))
        async with db.write(tenant) as tx:
            assert await seen(tx) == told[-1]

    every = ["of one", "of two"]
    assert [events for _, events in told] == [["of one"], ["of two"], every, ["of one"], every, []]
    assert [tasks for tasks, _ in told] == [events for _, events in told]


async def test_a_door_opened_for_a_tenant_changes_no_other_tenants_rows(db: ServerDatabase) -> None:
    async with db.write("one") as tx:
        changed = await tx.connection.execute(update(AgentTask).values(priority=9))
        deleted = await tx.connection.execute(delete(TaskEvent))

    async with db.read() as tx:
        untouched = await tx.connection.scalar(select(func.count()).where(AgentTask.priority == 0))
        left = list(await tx.connection.scalars(select(TaskEvent.task_id)))
    assert (changed.rowcount, deleted.rowcount, untouched, left) == (1, 1, 1, ["of two"])


async def test_a_row_cannot_be_stored_for_another_tenant_or_given_to_one(db: ServerDatabase) -> None:
    given = update(AgentTask).where(AgentTask.id == "of one").values(tenant="two")
    for statement in (insert(AgentTask).values(**a_task("two") | {"id": "new"}), given):
        with pytest.raises(ChargehandError, match="row-level security"):
            async with db.write("one") as tx:
                await tx.connection.execute(statement)

    async with db.read() as tx:
        assert (await seen(tx))[0] == ["of one", "of two"]


async def test_a_transaction_that_failed_leaves_no_wall_behind(db: ServerDatabase) -> None:
    with pytest.raises(RuntimeError):
        async with db.write("one"):
            raise RuntimeError

    async with db.write() as tx:
        assert (await seen(tx))[0] == ["of one", "of two"]


class Told:
    """A connection to a server, which writes down for which tenants it was to be used."""

    def __init__(self) -> None:
        self.tenants: list[str] = []
        self.info: dict[str, object] = {}
        self.sync_connection = self

    async def execute(self, _statement: object, parameters: dict[str, str]) -> None:
        self.tenants.append(parameters["tenant"])


async def test_a_connection_is_told_of_its_tenant_when_that_changes_and_not_else() -> None:
    told: Any = Told()
    wall = TenantWall(make_url("postgresql+asyncpg://db/x"))

    for tenant in (None, "one", "one", "two", None, None, "one"):
        await wall.around_session(told, tenant)
    assert told.tenants == ["one", "two", "", "one"]
    for tenant in (None, "one", "one"):
        await wall.around_transaction(told, tenant)
    assert told.tenants[4:] == ["one", "one"]


async def test_a_server_without_such_walls_is_told_nothing() -> None:
    told: Any = Told()
    wall = TenantWall(make_url("mysql+asyncmy://db/x"))

    await wall.around_session(told, "one")
    await wall.around_transaction(told, "one")

    assert told.tenants == []


def test_every_table_with_rows_of_tenants_stands_behind_the_wall(url: str) -> None:
    forced = "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
    policies = "SELECT tablename FROM pg_policies WHERE policyname = 'tenant_wall'"

    walled = {str(table) for (table,) in found(url, forced)}

    assert walled == {str(table) for (table,) in found(url, policies)}
    assert walled == METADATA.tables.keys() - WITHOUT_TENANT.keys()


def test_the_tests_meet_the_wall(url: str) -> None:
    [(is_above,)] = found(url, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")

    assert is_above is False


async def test_few_rows_are_read_for_a_tenants_events(db: ServerDatabase) -> None:
    async with db.write() as tx:
        # Few enough to be quick, many enough that nobody would read them all.
        await tx.connection.execute(
            insert(AgentTask), [a_task("one") | {"id": f"task-{number}"} for number in range(2_000)]
        )
        await tx.connection.execute(text("ANALYZE agent_tasks"))
    async with db.write("one") as tx:
        await tx.connection.execute(select(TaskEvent).where(TaskEvent.task_id == "of one"))
        read = (
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'agent_tasks'"
        )
        assert (await tx.connection.scalar(text(read))) <= 2
