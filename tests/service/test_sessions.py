"""Sessions: how long they are good, what they are worth, and that an ended one is gone."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.errors import TenantSuspended, Unauthorized
from chargehand.service.access import Access
from chargehand.service.keys import Keys
from chargehand.service.sessions import IDLE, LONGEST, MOST_OF_PRINCIPAL, Sessions
from chargehand.store import tenants
from chargehand.store.bus import Bus
from chargehand.store.database import Database
from chargehand.store.session_tables import BrowserSession
from chargehand.store.sessions import SessionRecord, find, insert_session
from tests.databases import outside
from tests.given import TestClock, a_core

ADMIN = Principal(id="owner", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.ADMIN}))
BY_TOKEN = Principal(
    id="corp:alice", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.TASKS_READ, Scope.AGENTS_READ})
)


@dataclass(frozen=True)
class Opened:
    """Two processes on one database that hear nothing of each other, and the clock of both."""

    clock: TestClock
    access: Access
    sessions: Sessions
    elsewhere: Sessions
    database: Path
    db: Database

    async def is_good(self, secret: str) -> bool:
        try:
            await self.sessions.verify(secret)
        except Unauthorized:
            return False
        return True

    def rows(self) -> int:
        with outside(self.database) as connection:
            return connection.execute("SELECT count(*) FROM sessions").fetchone()[0]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncGenerator[Opened]:
    clock = TestClock()
    async with a_core(tmp_path, clock=clock, with_engine=False) as core:
        bus, elsewhere = Bus(), Access(core.db, clock, tmp_path / "pepper")
        access = Access(core.db, clock, tmp_path / "pepper", bus)
        await access.bootstrap(tmp_path / "admin.key")
        yield Opened(
            clock=clock,
            access=access,
            sessions=Sessions(core.db, clock, access, bus),
            elsewhere=Sessions(core.db, clock, elsewhere),
            database=core.settings.database_path,
            db=core.db,
        )


async def begun(opened: Opened, who: Principal = BY_TOKEN) -> str:
    return (await opened.sessions.begin(who, key_id=None, until=None)).secret


async def test_a_session_is_its_holders_in_every_process(opened: Opened) -> None:
    secret = await begun(opened)

    found = await opened.elsewhere.verify(secret)

    assert found.principal == replace(BY_TOKEN, expires_at=found.expires_at)
    assert found.csrf_token == (await opened.sessions.verify(secret)).csrf_token
    assert secret not in found.csrf_token
    assert secret not in repr(found)


async def test_a_scope_that_only_a_newer_version_knows_opens_nothing_and_closes_nothing(
    opened: Opened,
) -> None:
    """Beside a process of the next version, on the same rows."""
    record = SessionRecord(
        id_hash="h",
        tenant=DEFAULT_TENANT,
        principal_id="corp:alice",
        key_id=None,
        scopes=frozenset({Scope.TASKS_READ}),
        created_at=opened.clock.now(),
        seen_at=opened.clock.now(),
        expires_at=opened.clock.now(),
    )
    async with opened.db.write() as tx:
        await insert_session(tx, record)
        newer = update(BrowserSession).values(scopes=["tasks:read", "tasks:dream"])
        await tx.connection.execute(newer)
        found = await find(tx, "h")

    assert found == record


async def test_the_secret_itself_is_in_no_row(opened: Opened) -> None:
    secret = await begun(opened)

    with outside(opened.database) as connection:
        told = repr(connection.execute("SELECT * FROM sessions").fetchall())

    assert secret not in told
    assert opened.rows() == 1


async def test_an_unused_session_ends_after_half_an_hour_and_a_used_one_goes_on(opened: Opened) -> None:
    used, unused = await begun(opened), await begun(opened)

    for _ in range(5):
        opened.clock.advance(IDLE.total_seconds() - 120)
        assert await opened.is_good(used)

    assert not await opened.is_good(unused)
    opened.clock.advance(IDLE.total_seconds())
    assert not await opened.is_good(used)


async def test_no_session_is_good_for_longer_than_twelve_hours_however_much_it_is_used(
    opened: Opened,
) -> None:
    secret, good = await begun(opened), 0

    for _ in range(60):
        good += await opened.is_good(secret)
        opened.clock.advance(900)

    assert good * timedelta(minutes=15) == LONGEST


async def test_a_session_ends_with_the_token_that_it_was_begun_with(opened: Opened) -> None:
    until = opened.clock.now() + timedelta(minutes=10)
    session = await opened.sessions.begin(BY_TOKEN, key_id=None, until=until)

    opened.clock.jump(599)
    before = await opened.is_good(session.secret)
    opened.clock.jump(1)

    with pytest.raises(Unauthorized, match="expired"):
        await opened.sessions.begin(BY_TOKEN, key_id=None, until=until)
    assert session.expires_at == until
    assert (before, await opened.is_good(session.secret)) == (True, False)


async def test_a_session_ends_with_its_key_at_once_here_and_within_five_seconds_elsewhere(
    opened: Opened,
) -> None:
    _, record = await Keys(opened.access).issue(ADMIN, "short", frozenset({Scope.TASKS_READ}))
    who = Principal(id=record.id, tenant=record.tenant, scopes=record.scopes)
    secret = (await opened.sessions.begin(who, key_id=record.id, until=None)).secret
    await opened.elsewhere.verify(secret)

    await Keys(opened.access).revoke(ADMIN, record.id)

    assert not await opened.is_good(secret)
    opened.clock.advance(5)
    with pytest.raises(Unauthorized, match="revoked"):
        await opened.elsewhere.verify(secret)


async def test_a_session_ends_when_its_key_expires(opened: Opened) -> None:
    expires_at = opened.clock.now() + timedelta(minutes=5)
    _, record = await Keys(opened.access).issue(ADMIN, "short", frozenset({Scope.TASKS_READ}), expires_at)
    who = Principal(id=record.id, tenant=record.tenant, scopes=record.scopes)
    secret = (await opened.sessions.begin(who, key_id=record.id, until=None)).secret
    assert await opened.is_good(secret)

    opened.clock.advance(300)

    assert not await opened.is_good(secret)


async def test_a_logout_ends_the_session_at_once_here_and_within_five_seconds_elsewhere(
    opened: Opened,
) -> None:
    secret, other = await begun(opened), await begun(opened)
    await opened.elsewhere.verify(secret)

    await opened.sessions.end(BY_TOKEN, secret)
    await opened.sessions.end(BY_TOKEN, secret)

    assert not await opened.is_good(secret)
    opened.clock.advance(5)
    with pytest.raises(Unauthorized):
        await opened.elsewhere.verify(secret)
    assert await opened.is_good(other)


async def test_a_login_takes_the_place_of_the_browsers_last_session(opened: Opened) -> None:
    first = await begun(opened)
    assert await opened.is_good(first)

    second = await opened.sessions.begin(BY_TOKEN, key_id=None, until=None, replaces=first)

    assert not await opened.is_good(first)
    assert await opened.is_good(second.secret)
    assert opened.rows() == 1


async def test_who_begins_sessions_without_end_has_so_many_at_most(opened: Opened) -> None:
    other = await begun(opened, ADMIN)
    await begun(opened, replace(BY_TOKEN, tenant="another"))
    secrets: list[str] = []
    for _ in range(MOST_OF_PRINCIPAL + 3):
        opened.clock.advance(1)
        secrets.append(await begun(opened))

    good = [await opened.is_good(secret) for secret in secrets]

    assert good == [False] * 3 + [True] * MOST_OF_PRINCIPAL
    assert await opened.is_good(other)
    # The one of the same name in another tenant is there too.
    assert opened.rows() == MOST_OF_PRINCIPAL + 2


async def test_each_login_takes_away_what_has_ended(opened: Opened) -> None:
    for _ in range(3):
        await begun(opened)
    opened.clock.advance(IDLE.total_seconds())

    await begun(opened, ADMIN)

    assert opened.rows() == 1


async def test_what_is_no_secret_of_a_session_is_refused(opened: Opened) -> None:
    good = await begun(opened)
    wrong = [
        "",
        "x",
        "a" * 43,
        "a" * 44,
        "\u00e9" * 43,
        "a" * 42 + "\n",
        good[:-1],
        good + "\n",
        good.swapcase(),
    ]

    assert [await opened.is_good(secret) for secret in wrong] == [False] * len(wrong)


async def test_a_session_ends_with_its_tenants_suspension_however_it_was_begun(opened: Opened) -> None:
    _, record = await Keys(opened.access).issue(ADMIN, "short", frozenset({Scope.TASKS_READ}))
    by_key = Principal(id=record.id, tenant=record.tenant, scopes=record.scopes)
    secrets = [
        (await opened.sessions.begin(by_key, key_id=record.id, until=None)).secret,
        await begun(opened),
    ]
    assert [await opened.is_good(secret) for secret in secrets] == [True, True]

    async with opened.access.db.write() as tx:
        await tenants.change(tx, DEFAULT_TENANT, {"suspended_at": tx.now})
    opened.clock.advance(5)

    for secret in secrets:
        with pytest.raises(TenantSuspended):
            await opened.sessions.verify(secret)
