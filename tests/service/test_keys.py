"""Keys: made within one's own rights, replaced with an overlap, ended everywhere, and noted when they are used."""

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from chargehand.app.core import Core
from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    KeyNotFound,
    StorageFull,
    Unauthorized,
)
from chargehand.service import keys as keys_module
from chargehand.service.access import CACHE_SECONDS, Access
from chargehand.service.keys import MOST_KEPT_FOR, Keys
from chargehand.store import access as key_rows
from chargehand.store.bus import Bus
from chargehand.store.redis_bus import RedisExchange
from tests import given
from tests.given import TestClock, rows
from tests.store.test_bus import connected, until

OWNER = Principal(id="owner", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.ADMIN}))
STRANGER = Principal(id="stranger", tenant="another", scopes=frozenset({Scope.ADMIN}))
MAKER = frozenset({Scope.KEYS_WRITE, Scope.KEYS_READ, Scope.TASKS_READ})
READ = frozenset({Scope.TASKS_READ})


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def core(tmp_path: Path, clock: TestClock) -> AsyncGenerator[Core, None]:
    async with given.a_core(tmp_path, clock=clock, with_engine=False) as core:
        yield core


@pytest.fixture
async def access(core: Core, tmp_path: Path) -> AsyncGenerator[Access, None]:
    found = Access(core.db, core.clock, tmp_path / "pepper")
    await found.bootstrap(tmp_path / "admin.key")
    yield found
    await found.close()


@pytest.fixture
def keys(access: Access) -> Keys:
    return Keys(access)


def maker(*agents: str, expires_at: datetime | None = None) -> Principal:
    """Who makes keys for some agents only, or until some time."""
    narrowed = frozenset(agents) if agents else None
    return Principal(id="m", tenant=DEFAULT_TENANT, scopes=MAKER, agents=narrowed, expires_at=expires_at)


async def test_a_key_has_the_narrowing_and_the_end_of_its_maker_unless_less_is_said(
    access: Access, keys: Keys, clock: TestClock
) -> None:
    ends = clock.now() + timedelta(days=1)
    who = maker("a", "b", expires_at=ends)

    key, _ = await keys.issue(who, "as mine", READ)
    _, less = await keys.issue(who, "less", READ, ends - timedelta(hours=1), agents=["a"], roles=["viewer"])

    holder = await access.verify(key)
    assert (holder.agents, holder.expires_at) == ({"a", "b"}, ends)
    assert (less.agents, less.expires_at, less.created_by) == ({"a"}, ends - timedelta(hours=1), "m")
    assert less.roles == ("viewer",)


async def test_nobody_gives_away_a_scope_that_they_have_not(keys: Keys) -> None:
    who = Principal(id="m", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.KEYS_WRITE}))

    for scope in set(Scope) - {Scope.KEYS_WRITE}:
        with pytest.raises(Forbidden, match=rf"no more than itself, and this one has not {scope.value}"):
            await keys.issue(who, "more", frozenset({scope}))


async def test_an_administrator_of_a_tenant_makes_none_for_the_service(keys: Keys) -> None:
    with pytest.raises(Forbidden, match="admin:service"):
        await keys.issue(OWNER, "more", frozenset({Scope.ADMIN_SERVICE}))


async def test_nobody_gives_away_agents_or_time_that_they_have_not(keys: Keys, clock: TestClock) -> None:
    ends = clock.now() + timedelta(hours=1)

    with pytest.raises(Forbidden, match="is narrowed to a"):
        await keys.issue(maker("a"), "more", READ, agents=["a", "b"])
    with pytest.raises(Forbidden, match="no key that it makes lasts longer"):
        await keys.issue(maker(expires_at=ends), "more", READ, ends + timedelta(seconds=1))


async def test_what_is_about_the_whole_tenant_is_not_narrowed_to_agents(keys: Keys) -> None:
    for scope in (Scope.ADMIN, Scope.WEBHOOKS_WRITE, Scope.SECRETS_READ, Scope.AUDIT_READ):
        with pytest.raises(InvalidInput, match=f"cannot have {scope.value}: that is about the whole tenant"):
            await keys.issue(OWNER, "half", frozenset({scope, Scope.TASKS_READ}), agents=["a"])


async def test_agents_that_are_none_are_refused(keys: Keys) -> None:
    for agents in ([], ["A"], ["../b"], [f"a{number}" for number in range(101)]):
        with pytest.raises(InvalidInput):
            await keys.issue(OWNER, "x", READ, agents=agents)


async def test_an_end_without_an_offset_is_refused(keys: Keys) -> None:
    with pytest.raises(InvalidInput, match="offset from UTC"):
        await keys.issue(OWNER, "x", READ, datetime(2030, 1, 1))  # noqa: DTZ001 - that is what is refused


async def test_a_tenant_has_no_more_live_keys_than_the_limit(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "MAX_LIVE_KEYS", 3)
    _, second = await keys.issue(OWNER, "second", READ)
    await keys.issue(OWNER, "third", READ)

    with pytest.raises(Conflict, match="as many as there may be"):
        await keys.issue(OWNER, "fourth", READ)
    await keys.revoke(OWNER, second.id)

    await keys.issue(OWNER, "fourth", READ)


async def test_a_key_that_was_replaced_works_on_for_a_day(
    access: Access, keys: Keys, clock: TestClock
) -> None:
    old, record = await keys.issue(OWNER, "ci", READ, agents=["a"], roles=["viewer"])

    new, successor, replaced = await keys.rotate(OWNER, record.id)

    both = [await access.verify(one) for one in (old, new)]
    assert {(one.scopes, one.agents) for one in both} == {(READ, frozenset({"a"}))}
    assert (successor.name, successor.roles, successor.replaces) == ("ci", ("viewer",), record.id)
    assert (replaced.name, replaced.expires_at) == (f"ci~{record.id}", clock.now() + timedelta(days=1))
    clock.advance(24 * 3_600)
    assert (await access.verify(new)).id == successor.id
    with pytest.raises(Unauthorized, match="expired"):
        await access.verify(old)


async def test_a_key_can_be_replaced_with_no_overlap(access: Access, keys: Keys) -> None:
    old, record = await keys.issue(OWNER, "ci", READ)
    await access.verify(old)

    await keys.rotate(OWNER, record.id, kept_for=timedelta(0))

    with pytest.raises(Unauthorized, match="expired"):
        await access.verify(old)


async def test_nobody_takes_the_name_that_a_key_gets_when_it_is_replaced(keys: Keys) -> None:
    _, strong = await keys.issue(OWNER, "deploy", frozenset({Scope.ADMIN}))

    for name in (f"deploy~{strong.id}", "~", "admin~x"):
        with pytest.raises(InvalidInput, match="has no '~'"):
            await keys.issue(maker(), name, READ)

    _, successor, _ = await keys.rotate(OWNER, strong.id)
    _, again, _ = await keys.rotate(OWNER, successor.id)
    assert again.name == "deploy"


async def test_of_a_key_and_those_it_replaced_two_are_live(access: Access, keys: Keys) -> None:
    first, record = await keys.issue(OWNER, "ci", READ)
    second, next_one, _ = await keys.rotate(OWNER, record.id)

    third, _, _ = await keys.rotate(OWNER, next_one.id)

    with pytest.raises(Unauthorized, match="revoked"):
        await access.verify(first)
    await access.verify(second)
    await access.verify(third)


async def test_a_successor_lasts_as_long_as_the_old_key_did_and_no_longer_than_who_makes_it(
    keys: Keys, clock: TestClock
) -> None:
    hour = timedelta(hours=1)
    _, one = await keys.issue(OWNER, "one", READ, clock.now() + 2 * hour)
    _, two = await keys.issue(OWNER, "two", READ, clock.now() + 2 * hour)
    clock.advance(3_600)

    _, successor, replaced = await keys.rotate(OWNER, one.id)
    _, short, _ = await keys.rotate(maker(expires_at=clock.now() + hour), two.id)

    assert successor.expires_at == clock.now() + 2 * hour
    assert replaced.expires_at == one.expires_at
    assert short.expires_at == clock.now() + hour


async def test_what_cannot_be_replaced_is_told(keys: Keys) -> None:
    _, ended = await keys.issue(OWNER, "ended", READ)
    await keys.revoke(OWNER, ended.id)
    _, replaced = await keys.issue(OWNER, "replaced", READ)
    await keys.rotate(OWNER, replaced.id)
    _, strong = await keys.issue(OWNER, "strong", frozenset({Scope.ADMIN}))

    with pytest.raises(Conflict, match="has ended"):
        await keys.rotate(OWNER, ended.id)
    with pytest.raises(Conflict, match="already; replace that one"):
        await keys.rotate(OWNER, replaced.id)
    with pytest.raises(Forbidden, match="replaces only keys that do no more than itself"):
        await keys.rotate(maker(), strong.id)
    with pytest.raises(KeyNotFound):
        await keys.rotate(STRANGER, strong.id)
    with pytest.raises(InvalidInput, match="0 s to 90 days"):
        await keys.rotate(OWNER, strong.id, kept_for=MOST_KEPT_FOR + timedelta(seconds=1))


async def test_a_stronger_key_is_not_ended_by_a_weaker(access: Access, keys: Keys) -> None:
    key, strong = await keys.issue(OWNER, "strong", frozenset({Scope.ADMIN}))

    with pytest.raises(Forbidden, match="ends only keys that do no more than itself"):
        await keys.revoke(maker(), strong.id)

    await access.verify(key)


async def test_keys_are_listed_by_name_page_by_page(keys: Keys) -> None:
    for name in ("c", "b", "d"):
        await keys.issue(OWNER, name, READ)

    first = await keys.page(OWNER, limit=2)
    second = await keys.page(OWNER, limit=2, after=first.next_cursor)

    assert [one.name for one in first.items + second.items] == ["admin", "b", "c", "d"]
    assert second.next_cursor is None
    assert [one.name for one in (await keys.page(OWNER, name="b")).items] == ["b"]
    assert (await keys.page(STRANGER, after=first.next_cursor)).items == []


async def test_a_narrowed_key_sees_keys_that_are_narrowed_as_far(keys: Keys) -> None:
    _, inside = await keys.issue(OWNER, "inside", READ, agents=["a"])
    _, beyond = await keys.issue(OWNER, "beyond", READ, agents=["b"])
    _, wide = await keys.issue(OWNER, "wide", READ)

    seen = await keys.page(maker("a", "c"))

    assert [one.id for one in seen.items] == [inside.id]
    for one in (beyond, wide):
        with pytest.raises(KeyNotFound):
            await keys.get(maker("a", "c"), one.id)


async def test_when_a_key_was_last_used_is_written_once_a_minute(
    access: Access, keys: Keys, clock: TestClock
) -> None:
    key, record = await keys.issue(OWNER, "ci", READ)
    began = clock.now()

    seen: list[datetime | None] = []
    for seconds in (0, 30, 29, 1):
        clock.advance(seconds)
        await access.verify(key)
        await access.close()
        seen.append((await keys.get(OWNER, record.id)).last_used_at)

    assert seen == [began, began, began, began + timedelta(minutes=1)]


async def test_no_request_fails_when_the_use_cannot_be_written(
    access: Access, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise StorageFull("the disk reserve is used up")

    key, record = await keys.issue(OWNER, "ci", READ)
    monkeypatch.setattr(key_rows, "note_used", full)

    await access.verify(key)
    await access.close()

    assert (await keys.get(OWNER, record.id)).last_used_at is None


@pytest.mark.parametrize("has_bus", [False, True])
async def test_a_revocation_elsewhere_is_heard_at_once_over_a_bus_and_within_five_seconds_without(
    core: Core, tmp_path: Path, redis_url: str, clock: TestClock, has_bus: bool
) -> None:
    buses = [Bus(RedisExchange(redis_url)) for _ in range(2)]
    here, elsewhere = (Access(core.db, core.clock, tmp_path / "pepper", bus) for bus in buses)
    await here.bootstrap(tmp_path / "admin.key")
    key, record = await Keys(here).issue(OWNER, "ci", READ)
    await here.verify(key)

    if has_bus:
        async with connected(*buses):
            heard: list[str] = []
            buses[0].hear("keys", heard.append)
            await Keys(elsewhere).revoke(OWNER, record.id)
            await until(lambda: bool(heard))
    else:
        await Keys(elsewhere).revoke(OWNER, record.id)
        clock.advance(CACHE_SECONDS)

    with pytest.raises(Unauthorized, match="revoked"):
        await here.verify(key)
    await here.close()


async def test_a_scope_that_only_a_newer_version_knows_opens_nothing(
    core: Core, access: Access, keys: Keys
) -> None:
    key, record = await keys.issue(OWNER, "ci", READ)
    async with core.db.write() as tx:
        await tx.connection.exec_driver_sql(
            f"UPDATE api_keys SET scopes = '[\"tasks:read\", \"tasks:dream\"]' WHERE id = '{record.id}'"  # noqa: S608 - an id of this test
        )

    assert (await access.verify(key)).scopes == READ


async def test_nothing_of_a_key_but_its_hash_is_stored_by_a_rotation(core: Core, keys: Keys) -> None:
    _, record = await keys.issue(OWNER, "ci", READ)

    key, _, _ = await keys.rotate(OWNER, record.id)

    stored = rows(core, "SELECT * FROM api_keys")
    assert not [cell for row in stored for cell in row if isinstance(cell, str) and key[17:49] in cell]
