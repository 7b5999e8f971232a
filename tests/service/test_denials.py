"""What was refused: noted beside the requests, and a flood of it costs little. No database differs in this."""

import json
from pathlib import Path

import pytest

from chargehand.errors import Unavailable
from chargehand.service.denials import ELSEWHERE, MOST_KINDS, WINDOW_SECONDS, WRITES_A_SECOND
from chargehand.service.origin import coming_from
from chargehand.store.sqlite import SqliteDatabase
from tests.databases import outside
from tests.given import TestClock
from tests.service.test_audit import OWNER, STRANGER, all_of, an_audit, is_whole


@pytest.fixture
def database() -> str:
    return "sqlite"


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


async def test_a_flood_from_one_address_is_two_entries_a_minute(tmp_path: Path, clock: TestClock) -> None:
    async with an_audit(tmp_path, clock) as (audit, _):
        with coming_from("198.51.100.9", "r1"):
            for _ in range(500):
                await audit.denials.unauthenticated()
            clock.advance(WINDOW_SECONDS)
            await audit.denials.unauthenticated()

        entries = await all_of(audit, OWNER)

    assert [entry.details["count"] for entry in entries] == [1, 500]
    assert {entry.address for entry in entries} == {"198.51.100.9"}
    assert {(entry.actor_kind, entry.result) for entry in entries} == {("anonymous", "denied")}
    assert is_whole(entries)


async def test_since_is_when_the_first_of_those_counted_came(tmp_path: Path, clock: TestClock) -> None:
    async with an_audit(tmp_path, clock) as (audit, _):
        came: list[str] = []
        for seconds in (0, 5, 10, 120):
            clock.advance(seconds)
            came.append(clock.now().isoformat())
            await audit.denials.unauthenticated()
            if seconds == 10:
                clock.advance(1)
                await audit.denials.flush()

        entries = await all_of(audit, OWNER)

    told = [(entry.details["count"], entry.details["since"]) for entry in entries]
    assert told == [(1, came[0]), (2, came[1]), (1, came[3])]


async def test_who_lacks_a_right_is_noted_in_their_tenant_with_what_they_tried(
    tmp_path: Path, clock: TestClock
) -> None:
    async with an_audit(tmp_path, clock) as (audit, _):
        await audit.denials.forbidden(STRANGER, "DELETE /secrets/{secret}")
        await audit.denials.forbidden(STRANGER, "DELETE /secrets/{secret}")
        await audit.denials.forbidden(STRANGER, "PUT /secrets/{secret}")
        for _ in range(2):
            await audit.denials.forbidden(OWNER, "GET /of/another/tenant")

        entries = await all_of(audit, STRANGER)

    told = [(entry.actor_id, entry.object_id, entry.details["count"]) for entry in entries]
    assert sorted(told, key=str) == [
        ("stranger", "DELETE /secrets/{secret}", 1),
        ("stranger", "DELETE /secrets/{secret}", 1),
        ("stranger", "PUT /secrets/{secret}", 1),
    ]


async def test_a_flood_from_many_addresses_is_written_slowly_and_counted_within_bounds(
    tmp_path: Path, clock: TestClock
) -> None:
    async with an_audit(tmp_path, clock) as (audit, _):
        for number in range(MOST_KINDS + 500):
            with coming_from(f"2001:db8::{number:x}", None):
                await audit.denials.unauthenticated()
        with outside(tmp_path / "chargehand.db") as rows:
            [(written,)] = rows.execute("SELECT count(*) FROM audit_entries").fetchall()
            [(details,)] = rows.execute("SELECT details FROM audit_entries WHERE number = 1").fetchall()

    assert written <= WRITES_A_SECOND
    assert json.loads(details)["count"] == 1


async def test_addresses_beyond_the_bound_are_counted_together(
    tmp_path: Path, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargehand.service.denials.MOST_KINDS", 2)
    async with an_audit(tmp_path, clock) as (audit, _):
        for number in range(6):
            with coming_from(f"192.0.2.{number}", None):
                await audit.denials.unauthenticated()

        entries = await all_of(audit, OWNER)

    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.address] = counts.get(entry.address, 0) + int(str(entry.details["count"]))
    assert counts == {"192.0.2.0": 1, "192.0.2.1": 1, ELSEWHERE: 4}


async def test_a_database_that_is_away_changes_no_answer_and_loses_no_count(
    tmp_path: Path, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(db: SqliteDatabase, tenant: str | None = None) -> None:
        del db, tenant
        raise Unavailable("the database is away")

    async with an_audit(tmp_path, clock) as (audit, _):
        with monkeypatch.context() as away:
            away.setattr(SqliteDatabase, "write", refuse)
            first = clock.now().isoformat()
            await audit.denials.unauthenticated()
            clock.advance(1)
            await audit.denials.unauthenticated()

        entries = await all_of(audit, OWNER)

    [entry] = entries
    assert (entry.details["count"], entry.details["since"]) == (2, first)
