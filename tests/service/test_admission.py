"""When the backlog is full, what is sent is refused; what has begun goes on."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.access import LOCAL_OPERATOR, Principal
from chargehand.domain.task import TaskOrder
from chargehand.domain.tenant import Tenant
from chargehand.domain.values import JsonValue
from chargehand.errors import ChargehandError, TooManyRequests, Unavailable
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.admission import Admission
from chargehand.service.journal import Delegation
from chargehand.store import backlog, tenants
from chargehand.store.standing import read_standing
from tests import given
from tests.given import ME, TestClock

OTHER = Principal(id="other", tenant="other", scopes=LOCAL_OPERATOR.scopes)


async def one(ctx: PlaybookContext) -> JsonValue:
    return ctx.task.agent_id


async def lead(ctx: PlaybookContext) -> JsonValue:
    found = await ctx.delegate(*[Delegation(agent_id="one", task_data={}, labels={})] * 3)
    return [child["status"] for child in found]


async def filled(core: Core, clock: TestClock, count: int) -> None:
    """A backlog of so many tasks, counted."""
    for _ in range(count):
        await given.a_task(core, "one")
    # The count that the first of them began, which the clock must not make a long one.
    await core.tasks.close()
    clock.advance(2)


async def told(core: Core, clock: TestClock) -> bool:
    """Whether it is known that the backlog is full."""
    clock.advance(2)
    try:
        await given.a_task(core, "one")
    except TooManyRequests:
        return True
    return False


@pytest.mark.parametrize(
    ("limit", "refusal"), [("tenant_backlog_limit", TooManyRequests), ("backlog_limit", Unavailable)]
)
async def test_a_full_backlog_refuses_until_tasks_have_begun(
    tmp_path: Path, limit: str, refusal: type[ChargehandError]
) -> None:
    clock = TestClock()
    options: dict[str, Any] = {limit: 3}
    async with given.a_core(
        tmp_path, playbooks={"one": one}, clock=clock, with_engine=False, **options
    ) as core:
        await filled(core, clock, 3)

        with pytest.raises(refusal, match=f"CHARGEHAND_{limit.upper()}") as refused:
            await given.a_task(core, "one")
        await core.attempts.claim("w", limit=2)
        clock.advance(2)
        await given.a_task(core, "one")
        await given.a_task(core, "one")

        assert 1 <= (refused.value.retry_after_seconds or 0) <= 60
        clock.advance(2)
        with pytest.raises(refusal):
            await given.a_task(core, "one")


async def test_what_a_count_saw_while_it_was_being_stored_is_not_counted_twice(tmp_path: Path) -> None:
    async with given.a_core(
        tmp_path, playbooks={"one": one}, clock=TestClock(), with_engine=False, backlog_limit=2
    ) as core:
        await given.a_task(core, "one")
        await core.tasks.close()
        fresh = Admission(core.db, TestClock(), most=2)
        await fresh.check(ME.tenant, None)
        await fresh.close()
        # The count has seen the task that is told of only now.
        fresh.accepted(ME.tenant, counts_before=0)
        await fresh.check(ME.tenant, None)


async def test_a_count_that_ends_while_a_task_is_being_stored_is_in_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with given.a_core(
        tmp_path, playbooks={"one": one}, clock=TestClock(), with_engine=False, backlog_limit=3
    ) as core:
        admission = core.quotas.admission
        await admission.check(ME.tenant, None)
        await admission.close()

        def ends(name: str) -> None:
            if name == "store.after_commit":
                admission.counts += 1

        with monkeypatch.context() as patched:
            for store in ("sqlite", "server"):
                patched.setattr(f"chargehand.store.{store}.fail_point", ends)
            await given.a_task(core, "one")
        admission.accepted(ME.tenant, counts_before=admission.counts)
        admission.accepted(ME.tenant, counts_before=admission.counts)

        # By what was told it would be full; a fresh count knows better.
        await given.a_task(core, "one")


async def test_a_tenant_whose_backlog_is_full_keeps_no_other_out(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(
        tmp_path, playbooks={"one": one}, clock=clock, with_engine=False, tenant_backlog_limit=2
    ) as core:
        await core.agents.publish(OTHER, given.a_definition("one", playbook="one"))
        await filled(core, clock, 2)

        with pytest.raises(TooManyRequests):
            await given.a_task(core, "one")
        taken = await core.tasks.submit(OTHER, TaskOrder(agent_id="one", task_data={}))

        assert taken.task.tenant == "other"


@pytest.mark.usefixtures("database")
async def test_what_a_suspended_tenant_has_left_keeps_nobody_out(tmp_path: Path) -> None:
    """None of it begins, so it would fill the backlog until the tenant is resumed."""
    clock = TestClock()
    async with given.a_core(
        tmp_path, playbooks={"one": one}, clock=clock, with_engine=False, backlog_limit=3
    ) as core:
        await core.agents.publish(OTHER, given.a_definition("one", playbook="one"))
        for _ in range(3):
            await core.tasks.submit(OTHER, TaskOrder(agent_id="one", task_data={}))
        async with core.db.write() as tx:
            known = Tenant(
                id="other", display_name="", created_by="t", created_at=tx.now, suspended_at=tx.now
            )
            await tenants.add(tx, known)
        await core.tasks.close()
        clock.advance(2)
        await filled(core, clock, 2)
        ours = await given.a_task(core, "one")
        clock.advance(10)
        async with core.db.read() as tx:
            counted = [await backlog.count(tx, most=most) for most in (1, 3, 10)]
            by_tenant = await backlog.count_by_tenant(tx)
            standing = await read_standing(tx)

        assert ours.tenant == ME.tenant
        assert (counted, by_tenant) == ([1, 3, 3], {ME.tenant: 3})
        assert (standing.due, standing.oldest_due_seconds) == (3, 12.0)
        clock.advance(2)
        with pytest.raises(Unavailable):
            await given.a_task(core, "one")


async def test_a_repeated_key_is_answered_though_the_backlog_is_full(tmp_path: Path) -> None:
    clock = TestClock()
    order = TaskOrder(agent_id="one", task_data={"n": 1}, idempotency_key="k")
    async with given.a_core(
        tmp_path, playbooks={"one": one}, clock=clock, with_engine=False, backlog_limit=1
    ) as core:
        first = await core.tasks.submit(ME, order)
        await core.tasks.close()
        clock.advance(2)

        again = await core.tasks.submit(ME, order)

        assert (again.task.id, again.replayed) == (first.task.id, True)


async def test_what_is_due_later_takes_no_room_now(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(
        tmp_path, playbooks={"one": one}, clock=clock, with_engine=False, backlog_limit=1
    ) as core:
        await given.a_task(core, "one", run_after=clock.now() + timedelta(hours=1))
        clock.advance(2)

        await given.a_task(core, "one")


async def test_children_of_running_tasks_are_taken_though_the_backlog_is_full(tmp_path: Path) -> None:
    async with given.a_core(
        tmp_path, playbooks={"lead": lead, "one": one}, slots=1, tenant_backlog_limit=1
    ) as core:
        task = await given.ended(core, await given.a_task(core, "lead"))

        assert task.result == ["completed"] * 3


async def test_the_pause_told_is_as_long_as_room_takes_to_come(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(
        tmp_path, playbooks={"one": one}, clock=clock, with_engine=False, tenant_backlog_limit=20
    ) as core:
        await filled(core, clock, 19)
        await given.a_task(core, "one")
        await given.eventually(lambda: told(core, clock))
        # Ten begin in two seconds, and as many and ten more come.
        await core.attempts.claim("w", limit=10)
        clock.advance(2)
        for _ in range(10):
            await given.a_task(core, "one")
        clock.advance(0.1)

        with pytest.raises(TooManyRequests) as refused:
            await given.a_task(core, "one")

        assert refused.value.retry_after_seconds == 1
