"""Tenants: made with the agents that ship, suspended and resumed; and what waits meanwhile."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from chargehand.app.core import Core
from chargehand.domain.access import DEFAULT_TENANT, LOCAL_OPERATOR, Principal, Scope
from chargehand.domain.schedule import ScheduleOrder
from chargehand.domain.task import TaskOrder
from chargehand.errors import Conflict, Forbidden, InvalidInput, TenantNotFound, TenantSuspended
from chargehand.service.access import CACHE_SECONDS, Access
from chargehand.service.keys import Keys
from chargehand.service.tenants import Tenants
from chargehand.store import audit
from tests import given
from tests.given import TestClock

OPERATOR = LOCAL_OPERATOR
ADMIN = Principal(id="admin", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.ADMIN}))
SHOP = Principal(id="them", tenant="shop", scopes=frozenset({Scope.ADMIN}))
CREW = {"worker.md": given.a_definition("worker", function="work")}
HOUR = 3_600


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def core(tmp_path: Path, clock: TestClock) -> AsyncGenerator[Core, None]:
    opened = given.a_core(tmp_path, functions={"work": dict}, clock=clock, with_engine=False)
    async with opened as core:
        yield core


@pytest.fixture
async def access(core: Core, tmp_path: Path) -> AsyncGenerator[Access, None]:
    found = Access(core.db, core.clock, tmp_path / "pepper")
    await found.bootstrap(tmp_path / "admin.key")
    yield found
    await found.close()


@pytest.fixture
def tenants(core: Core, access: Access) -> Tenants:
    return Tenants(access, core.hints, equip=lambda _: core.agents.publish_everywhere("ships", CREW))


async def test_a_new_tenant_has_the_agents_that_ship_and_a_key_for_itself_alone(
    core: Core, access: Access, tenants: Tenants
) -> None:
    made = await tenants.create(OPERATOR, "shop", "The web shop")

    who = await access.verify(made.key or "")
    assert (who.tenant, who.scopes) == ("shop", {Scope.ADMIN})
    assert [one.id for one in await core.agents.all(who)] == ["worker"]
    assert (made.tenant.display_name, made.tenant.created_by) == ("The web shop", "local")
    with pytest.raises(Forbidden, match="admin:service"):
        await tenants.page(who)


async def test_a_tenants_first_key_is_in_its_own_audit_and_named_in_the_operators(
    core: Core, tenants: Tenants
) -> None:
    made = await tenants.create(OPERATOR, "shop")
    await tenants.create(OPERATOR, "bare", with_key=False)

    assert made.record is not None
    async with core.db.read() as tx:
        own, *_ = await audit.behind(tx, "shop", 0, limit=9)
        entries = await audit.behind(tx, DEFAULT_TENANT, 0, limit=9)
        [equipped] = await audit.behind(tx, "bare", 0, limit=9)
    assert (own.action, own.object_id, own.actor_id) == ("key.issued", made.record.id, "local")
    assert equipped.action == "agent.published"
    told = [one.details for one in entries if one.action == "tenant.created"]
    assert told == [{"with_key": True, "key": made.record.id}, {"with_key": False}]


async def test_a_start_gives_the_agents_to_tenants_that_lack_them_and_leaves_what_was_put_in_their_place(
    core: Core, access: Access, tenants: Tenants
) -> None:
    await tenants.create(OPERATOR, "shop")
    own = given.a_definition("worker", function="work", timeout_seconds=7)
    await core.agents.publish(SHOP, own)
    await Tenants(access, core.hints).create(OPERATOR, "bare")

    await core.agents.publish_everywhere("ships", CREW)

    bare = Principal(id="b", tenant="bare", scopes=frozenset({Scope.ADMIN}))
    assert [one.id for one in await core.agents.all(bare)] == ["worker"]
    assert (await core.agents.current(SHOP, "worker")).block.timeout_seconds == 7


async def test_tenants_are_listed_by_id_page_by_page(tenants: Tenants) -> None:
    for name in ("shop", "lab"):
        await tenants.create(OPERATOR, name, with_key=False)

    first = await tenants.page(OPERATOR, limit=2)
    second = await tenants.page(OPERATOR, limit=2, after=first.next_cursor)

    assert [one.id for one in first.items + second.items] == ["default", "lab", "shop"]
    assert second.next_cursor is None


async def test_an_id_or_a_name_that_is_none_is_refused(tenants: Tenants) -> None:
    for tenant_id in ("", "Shop", "a_b", "-a", "a-", "a" * 64, "a/b", "ä"):
        with pytest.raises(InvalidInput, match="1 to 63"):
            await tenants.create(OPERATOR, tenant_id)
    for name in ("", "  ", "a\nb", "a" * 129):
        with pytest.raises(InvalidInput, match="1 to 128"):
            await tenants.create(OPERATOR, "shop", name)


async def test_an_id_is_given_once(tenants: Tenants) -> None:
    await tenants.create(OPERATOR, "shop")

    with pytest.raises(Conflict, match="'shop' already"):
        await tenants.create(OPERATOR, "shop")


async def test_only_the_services_operator_sees_to_tenants(tenants: Tenants) -> None:
    await tenants.create(OPERATOR, "shop")

    with pytest.raises(Forbidden):
        await tenants.create(ADMIN, "lab")
    with pytest.raises(Forbidden):
        await tenants.get(ADMIN, "default")
    with pytest.raises(Forbidden):
        await tenants.change(ADMIN, "shop", is_suspended=True)
    with pytest.raises(TenantNotFound):
        await tenants.change(OPERATOR, "lab", is_suspended=True)


async def test_the_operators_own_tenant_is_not_suspended(tenants: Tenants) -> None:
    with pytest.raises(Conflict, match="operator's own"):
        await tenants.change(OPERATOR, "default", is_suspended=True)


async def test_a_suspended_tenants_keys_are_refused_here_at_once_and_elsewhere_within_five_seconds(
    core: Core, tmp_path: Path, access: Access, tenants: Tenants, clock: TestClock
) -> None:
    key = (await tenants.create(OPERATOR, "shop")).key or ""
    elsewhere = Access(core.db, core.clock, tmp_path / "pepper")
    for one in (access, elsewhere):
        await one.verify(key)

    await tenants.change(OPERATOR, "shop", is_suspended=True)

    with pytest.raises(TenantSuspended, match="'shop' is suspended since 2026-07-01"):
        await access.verify(key)
    clock.advance(CACHE_SECONDS)
    with pytest.raises(TenantSuspended):
        await elsewhere.verify(key)
    await tenants.change(OPERATOR, "shop", is_suspended=False)
    assert (await access.verify(key)).tenant == "shop"
    await elsewhere.close()


async def test_a_suspended_tenants_key_that_was_revoked_is_no_key(access: Access, tenants: Tenants) -> None:
    made = await tenants.create(OPERATOR, "shop")
    assert made.record is not None
    await Keys(access).revoke(SHOP, made.record.id)
    await tenants.change(OPERATOR, "shop", is_suspended=True)

    with pytest.raises(Exception, match="revoked"):
        await access.verify(made.key or "")


async def test_a_suspended_tenants_tasks_are_not_begun_until_it_is_resumed(
    core: Core, tenants: Tenants
) -> None:
    await tenants.create(OPERATOR, "shop")
    theirs = (await core.tasks.submit(SHOP, TaskOrder(agent_id="worker", task_data={}))).task
    ours = await given.a_task(core, "work")

    await tenants.change(OPERATOR, "shop", is_suspended=True)
    meanwhile = await given.claimed(core)
    await tenants.change(OPERATOR, "shop", is_suspended=False)
    afterwards = await given.claimed(core)

    assert set(meanwhile) == {ours.id}
    assert set(afterwards) == {theirs.id}


async def test_due_times_of_a_suspended_tenant_are_missed(
    core: Core, tenants: Tenants, clock: TestClock
) -> None:
    await tenants.create(OPERATOR, "shop")
    order = ScheduleOrder(name="hourly", cron="0 * * * *", agent_id="worker", task_data={}, missed="once")
    await core.schedules.create(SHOP, order)
    await tenants.change(OPERATOR, "shop", is_suspended=True)

    clock.advance(3 * HOUR)
    meanwhile = await core.schedule_runs.run_due()
    held_back = (await core.watch.page(SHOP)).items
    await tenants.change(OPERATOR, "shop", is_suspended=False)
    await core.schedule_runs.run_due()
    afterwards = (await core.watch.page(SHOP)).items

    assert (meanwhile, held_back) == (None, [])
    assert len(afterwards) == 1
