"""The audit on each database: one chain a tenant, in the transaction of what it tells, whoever writes at once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from chargehand.domain.access import DEFAULT_TENANT, LOCAL_OPERATOR, Principal, Scope
from chargehand.domain.audit import Action, AuditEntry, Chain, Wanted
from chargehand.domain.known_secrets import KNOWN
from chargehand.errors import Forbidden
from chargehand.service.audit import Audit
from chargehand.service.audit_records import record
from chargehand.service.denials import Denials
from chargehand.service.origin import coming_from
from chargehand.store.database import Database, retried
from tests.given import TestClock
from tests.service.test_vault import opened

OWNER = Principal(id="owner", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.ADMIN}))
STRANGER = Principal(id="stranger", tenant="another", scopes=frozenset({Scope.ADMIN}))
EVERYTHING = Wanted()


@asynccontextmanager
async def an_audit(folder: Path, clock: TestClock) -> AsyncGenerator[tuple[Audit, Database], None]:
    async with opened(folder) as (_, db):
        yield Audit(db, Denials(db, clock)), db


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@retried
async def canceled(db: Database, who: Principal, task_id: str) -> None:
    async with db.write(who.tenant) as tx:
        await record(tx, who, Action.TASK_CANCELED, task_id, {"tasks": 1})


async def all_of(audit: Audit, who: Principal) -> list[AuditEntry]:
    return [entry async for part in audit.whole(who) for entry in part]


def is_whole(entries: list[AuditEntry]) -> bool:
    chain = Chain()
    return all(chain.add(entry) is None for entry in entries)


async def test_each_tenant_has_a_chain_of_its_own(tmp_path: Path, clock: TestClock) -> None:
    async with an_audit(tmp_path, clock) as (audit, db):
        for number in range(3):
            with coming_from("192.0.2.7", f"r{number}"):
                await canceled(db, OWNER, f"task-{number}")
            await canceled(db, STRANGER, "foreign")

        mine, theirs = await all_of(audit, OWNER), await all_of(audit, STRANGER)
        page = await audit.page(OWNER, EVERYTHING)

    assert [entry.number for entry in mine] == [1, 2, 3]
    assert is_whole(mine)
    assert is_whole(theirs)
    assert {entry.object_id for entry in theirs} == {"foreign"}
    assert (mine[2].address, mine[2].request_id, mine[2].actor_kind) == ("192.0.2.7", "r2", "key")
    assert (theirs[0].address, theirs[0].request_id) == ("local", None)
    assert page.items == mine[::-1]
    assert (page.head.number, page.head.hash) == (3, mine[2].hash)


async def test_an_entry_goes_with_the_transaction_that_it_tells_of(tmp_path: Path, clock: TestClock) -> None:
    async with an_audit(tmp_path, clock) as (audit, db):
        with suppress(ZeroDivisionError):
            async with db.write(OWNER.tenant) as tx:
                await record(tx, OWNER, Action.TASK_CANCELED, "never")
                raise ZeroDivisionError
        await canceled(db, OWNER, "done")

        entries = await all_of(audit, OWNER)

    assert [entry.object_id for entry in entries] == ["done"]
    assert is_whole(entries)


async def test_many_writers_at_once_make_one_chain(tmp_path: Path, clock: TestClock) -> None:
    async with an_audit(tmp_path, clock) as (audit, db):
        await asyncio.gather(*(canceled(db, OWNER, f"task-{number}") for number in range(12)))

        entries = await all_of(audit, OWNER)

    assert len({entry.object_id for entry in entries}) == len(entries) == 12
    assert is_whole(entries)


async def test_entries_are_narrowed_by_who_what_and_when(tmp_path: Path, clock: TestClock) -> None:
    async with an_audit(tmp_path, clock) as (audit, db):
        await canceled(db, OWNER, "one")
        await canceled(db, replace(OWNER, id="other"), "two")
        async with db.write(OWNER.tenant) as tx:
            await record(tx, LOCAL_OPERATOR, Action.SECRET_PUT, "one")
        newest = (await audit.page(OWNER, EVERYTHING)).items[0]

        async def found(wanted: Wanted) -> list[int]:
            return [entry.number for entry in (await audit.page(OWNER, wanted)).items]

        assert await found(Wanted(actor_id="other")) == [2]
        assert await found(Wanted(action="secret.put")) == [3]
        assert await found(Wanted(object_id="one")) == [3, 1]
        assert await found(Wanted(object_kind="task", result="done")) == [2, 1]
        assert await found(Wanted(result="denied")) == []
        assert 3 in await found(Wanted(since=newest.at))
        assert 3 not in await found(Wanted(until=newest.at))
        page = await audit.page(OWNER, EVERYTHING, limit=2)
        rest = await audit.page(OWNER, EVERYTHING, limit=2, before=page.next_cursor)

    assert [entry.number for entry in (*page.items, *rest.items)] == [3, 2, 1]
    assert (page.next_cursor, rest.next_cursor) == (2, None)
    assert newest.actor_kind == "local"


async def test_only_whoever_may_read_the_audit_does(tmp_path: Path, clock: TestClock) -> None:
    nobody = replace(OWNER, scopes=frozenset(Scope) - {Scope.ADMIN, Scope.AUDIT_READ})
    async with an_audit(tmp_path, clock) as (audit, _):
        with pytest.raises(Forbidden):
            await audit.page(nobody, EVERYTHING)
        with pytest.raises(Forbidden):
            await all_of(audit, nobody)


async def test_a_known_secret_in_the_details_is_not_stored(tmp_path: Path, clock: TestClock) -> None:
    KNOWN.add(["hunter2-canary-5521"])
    async with an_audit(tmp_path, clock) as (audit, db):
        async with db.write(OWNER.tenant) as tx:
            await record(tx, OWNER, Action.TASK_RETRIED, "t", {"said": "it is hunter2-canary-5521"})

        [entry] = await all_of(audit, OWNER)

    assert entry.details == {"said": "it is [redacted]"}


async def test_what_somebody_broke_in_the_database_is_shown_and_breaks_the_chain(
    tmp_path: Path, clock: TestClock, database: str
) -> None:
    async with an_audit(tmp_path, clock) as (audit, db):
        await canceled(db, OWNER, "one")
        async with db.write() as tx:
            # As nothing in the code does.
            await tx.connection.exec_driver_sql("UPDATE audit_entries SET details = 'no JSON'")

        entries = await all_of(audit, OWNER)

    del database
    assert entries[0].details == {"unreadable": True}
    assert not is_whole(entries)
