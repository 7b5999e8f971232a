"""Limits of single tenants hold at once in the process that was told, and within seconds in the others."""

from pathlib import Path

import pytest

from chargehand.domain.access import LOCAL_OPERATOR, Principal, Scope
from chargehand.domain.tenant_limits import TenantLimits
from chargehand.errors import Forbidden, TenantNotFound, TooManyRequests, Unavailable
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.tenant_limits import FRESH_SECONDS, LimitsOfTenants
from chargehand.store.bus import Bus
from chargehand.store.database import Database
from tests import given
from tests.given import TestClock

OPERATOR = Principal(id="operator", tenant="operators", scopes=frozenset({Scope.ADMIN_SERVICE}))
MINE = LOCAL_OPERATOR.tenant
SOME = TenantLimits(requests_per_second=12.5, concurrency=3, storage_bytes=2**45)


async def one(ctx: PlaybookContext) -> str:
    return ctx.task.agent_id


async def test_a_change_in_another_process_is_seen_within_seconds_without_any_signal(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, with_engine=False, clock=clock) as core:
        elsewhere = LimitsOfTenants(core.db, clock)
        before = await elsewhere.of(MINE)
        await core.quotas.limits.replace(OPERATOR, MINE, SOME)
        meanwhile = await elsewhere.of(MINE)
        clock.advance(FRESH_SECONDS)
        after = await elsewhere.of(MINE)

    assert (before, meanwhile, after) == (TenantLimits(), TenantLimits(), SOME)


async def test_with_a_signal_it_is_seen_at_once(tmp_path: Path) -> None:
    bus = Bus()
    async with given.a_core(tmp_path, with_engine=False, clock=TestClock()) as core:
        here, there = (LimitsOfTenants(core.db, core.clock, bus=bus) for _ in range(2))
        before = await there.of(MINE)
        await here.replace(OPERATOR, MINE, SOME)

        assert (before, await there.of(MINE)) == (TenantLimits(), SOME)


async def test_while_the_rows_cannot_be_read_what_was_known_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, with_engine=False, clock=clock) as core:
        await core.quotas.limits.replace(OPERATOR, MINE, SOME)
        await core.quotas.limits.of(MINE)

        def away(self: Database) -> None:
            raise Unavailable("the database is away")

        with monkeypatch.context() as broken:
            broken.setattr(type(core.db), "read", away)
            clock.advance(FRESH_SECONDS)
            found = await core.quotas.limits.of(MINE)

    assert (found.concurrency, found.storage_bytes) == (SOME.concurrency, SOME.storage_bytes)


async def test_only_who_operates_the_service_may_see_and_change_them(tmp_path: Path) -> None:
    own_admin = Principal(id="a", tenant=MINE, scopes=frozenset({Scope.ADMIN}))
    async with given.a_core(tmp_path, with_engine=False) as core:
        with pytest.raises(Forbidden, match="admin:service"):
            await core.quotas.limits.replace(own_admin, MINE, SOME)
        with pytest.raises(Forbidden, match="admin:service"):
            await core.quotas.limits.read(own_admin, MINE)


@pytest.mark.parametrize("name", ["nobody", "", "UPPER", "a" * 65, "a/b", "-a", "a\n", "\u00e9"])
async def test_what_is_no_tenant_is_not_found(tmp_path: Path, name: str) -> None:
    async with given.a_core(tmp_path, with_engine=False) as core:
        with pytest.raises(TenantNotFound):
            await core.quotas.limits.replace(OPERATOR, name, SOME)
        with pytest.raises(TenantNotFound):
            await core.quotas.limits.read(OPERATOR, name)


async def test_a_tenant_may_have_as_many_tasks_wait_as_its_own_limit_says(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"one": one}, with_engine=False, clock=clock) as core:
        await core.quotas.limits.replace(OPERATOR, MINE, TenantLimits(backlog=2))
        for _ in range(2):
            await given.a_task(core, "one")
        with pytest.raises(TooManyRequests, match="2 tasks of this tenant"):
            await given.a_task(core, "one")
        await core.quotas.limits.replace(OPERATOR, MINE, TenantLimits(backlog=3))
        await given.a_task(core, "one")
        with pytest.raises(TooManyRequests, match="3 tasks of this tenant"):
            await given.a_task(core, "one")


async def test_a_tenant_may_submit_as_fast_as_its_own_limit_says(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"one": one}, with_engine=False) as core:
        await core.quotas.limits.replace(OPERATOR, MINE, TenantLimits(submits_per_second=0.01))
        await given.a_task(core, "one")

        with pytest.raises(TooManyRequests, match=r"0\.01 tasks a second"):
            await given.a_task(core, "one")


async def test_a_tenants_models_may_use_in_a_day_what_its_own_limit_says(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, with_engine=False, tenant_tokens_per_day=10) as core:
        await core.quotas.limits.replace(OPERATOR, MINE, TenantLimits(tokens_per_day=77, usd_nanos_per_day=5))

        day = await core.quotas.day(MINE)

    assert (day.tokens, day.usd_nanos) == (77, 5)
