"""Limits of single tenants as every database keeps them, and what they are held against."""

from dataclasses import asdict
from pathlib import Path

from chargehand.domain.access import LOCAL_OPERATOR, Principal, Scope
from chargehand.domain.deliverable import Deliverable
from chargehand.domain.tenant_limits import TenantLimits
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.store import audit
from tests import given

OPERATOR = Principal(id="operator", tenant="operators", scopes=frozenset({Scope.ADMIN_SERVICE}))
OTHER = Principal(id="other", tenant="other", scopes=frozenset({Scope.ADMIN}))
MINE = LOCAL_OPERATOR.tenant
SOME = TenantLimits(
    requests_per_second=12.5,
    submits_per_second=0.1,
    concurrency=3,
    backlog=5_000_000_000,
    streams=7,
    usd_nanos_per_day=1_500_000_000,
    tokens_per_day=2**40,
    storage_bytes=2**45,
)


async def one(ctx: PlaybookContext) -> str:
    return ctx.task.agent_id


async def test_limits_are_kept_replaced_and_taken_back(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, with_engine=False, tenant_concurrency=9) as core:
        limits = core.quotas.limits

        await limits.replace(OPERATOR, MINE, SOME)
        kept = await limits.read(OPERATOR, MINE)
        await limits.replace(OPERATOR, MINE, TenantLimits(backlog=4))
        replaced = await limits.of(MINE)
        await limits.replace(OPERATOR, MINE, TenantLimits())
        gone = await limits.read(OPERATOR, MINE)
        async with core.db.read() as tx:
            entries = await audit.behind(tx, OPERATOR.tenant, 0, limit=9)

    assert kept.own == kept.effective == SOME
    assert (replaced.backlog, replaced.concurrency, replaced.storage_bytes) == (4, 9, None)
    assert (gone.own, gone.effective.concurrency) == (TenantLimits(), 9)
    assert [one.object_id for one in entries] == [MINE] * 3
    assert [one.details for one in entries] == [asdict(SOME), {"backlog": 4}, {}]


async def test_a_tenant_may_run_as_many_tasks_as_its_own_limit_says(tmp_path: Path) -> None:
    async with given.a_core(
        tmp_path, playbooks={"one": one}, with_engine=False, tenant_concurrency=2
    ) as core:
        await core.quotas.limits.replace(OPERATOR, MINE, TenantLimits(concurrency=1))
        for _ in range(3):
            await given.a_task(core, "one")
        claimed = [len(await given.claimed(core)) for _ in range(2)]
        await core.quotas.limits.replace(OPERATOR, MINE, TenantLimits())
        more = len(await given.claimed(core))

    assert (claimed, more) == ([1, 0], 1)


async def test_deliverables_are_counted_for_each_tenant(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"one": one}, with_engine=False) as core:
        await given.a_task(core, "one")
        await core.agents.publish(OTHER, given.a_definition("one", playbook="one"))
        await core.tasks.submit(OTHER, given.TaskOrder(agent_id="one", task_data={}))
        tasks = {task.tenant: task for task in (await given.claimed(core)).values()}
        for tenant, name, size_bytes in ((MINE, "a", 40), (MINE, "b", 2**40), ("other", "c", 5)):
            delivered = Deliverable(
                task_id=tasks[tenant].id,
                name=name,
                path=name,
                is_folder=False,
                sha256="0" * 64,
                size_bytes=size_bytes,
                files=(),
                evidence=(),
                stored_at=core.clock.now(),
            )
            await core.deliveries.store(tasks[tenant], [delivered])

        used = [await core.quotas.storage.used_bytes(tenant) for tenant in (MINE, "other", "nobody")]

    assert used == [2**40 + 40, 5, 0]
