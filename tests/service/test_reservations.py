"""What a model call is allowed and takes out of its pools, to the token and the nano-dollar.

One nano-dollar is one token here: the longest answer to the estimate below costs 1,100 of both.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from chargehand.app.core import Core
from chargehand.domain.charge import DayLimits, Estimate, Grant, Settlement, UnknownPrice
from chargehand.domain.history import Step, StepKind, StepStatus
from chargehand.domain.task import Task
from chargehand.errors import BudgetExhausted, BudgetReserved, PriceUnknown
from chargehand.service import spending
from chargehand.service.journal import Delegation
from chargehand.store import charges, tasks
from tests import given

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

ESTIMATE = Estimate(
    model="m",
    input_tokens=100,
    max_output_tokens=1_000,
    input_usd_nanos=100,
    output_nanos_per_million=1_000_000,
    unknown_price=UnknownPrice.AUTO,
)
UNPRICED = replace(ESTIMATE, input_usd_nanos=None, output_nanos_per_million=0)
FREE = replace(ESTIMATE, input_usd_nanos=0, output_nanos_per_million=0)
USED = Settlement(
    model="m-2", usd_nanos=300, input_tokens=90, output_tokens=200, cache_read_tokens=7, cache_write_tokens=8
)
NO_LIMITS = DayLimits()


def usd(nanos: int) -> str:
    return f"0.{nanos:09d}"


@dataclass(frozen=True, slots=True)
class Calls:
    """Model calls of tasks that run in a core, made by hand."""

    core: Core

    async def task(self, **budget: Any) -> Task:
        return await given.a_running_task(self.core, "one", budget=budget)

    async def child(self, parent: Task) -> Task:
        step = self.core.journal.new_step(parent, "0/9", StepKind.DELEGATION, "delegate", {}, StepStatus.OPEN)
        await self.core.journal.delegate(
            parent, step, [Delegation(agent_id="thrifty", task_data={}, labels={})]
        )
        [child] = (await given.claimed(self.core)).values()
        return child

    async def reserve(
        self, task: Task, estimate: Estimate = ESTIMATE, limits: DayLimits = NO_LIMITS, *, path: str = "0/0"
    ) -> Grant:
        async with self.core.db.write() as tx:
            held = await tasks.hold(tx, {task.id, task.root_id})
            grant = await spending.reserve(tx, held, task, self.step(task, path), estimate, limits)
            assert held == await tasks.get(tx, held)
        return grant

    async def settle(self, task: Task, used: Settlement, *, path: str = "0/0") -> Settlement | None:
        async with self.core.db.write() as tx:
            held = await tasks.hold(tx, {task.id, task.root_id})
            found = await spending.settle(tx, held, task, path, used)
            assert held == await tasks.get(tx, held)
        return found

    async def give_back(self, task: Task, *, may_be_paid: bool, path: str = "0/0") -> None:
        async with self.core.db.write() as tx:
            await spending.give_back(tx, task, path, may_be_paid=may_be_paid)

    def step(self, task: Task, path: str) -> Step:
        return self.core.journal.new_step(task, path, StepKind.MODEL, "m", {}, StepStatus.RUNNING)

    def spent(self, task: Task) -> tuple[int, int]:
        """Nano-dollars and tokens that a task's own row says are spent."""
        [found] = given.rows(
            self.core, "SELECT usd_nanos_spent, tokens_spent FROM agent_tasks WHERE id = ?", task.id
        )
        return found[0], found[1]

    def day(self) -> tuple[int, int]:
        """As `spent`, by the tenant in the day."""
        [found] = given.rows(self.core, "SELECT usd_nanos, tokens FROM tenant_days WHERE tenant = 'default'")
        return found[0], found[1]

    def charges(self) -> list[tuple[Any, ...]]:
        return given.rows(
            self.core,
            "SELECT path, number, status, model, usd_nanos, input_tokens, output_tokens, is_priced"
            " FROM task_charges ORDER BY created_at, task_id, path, number",
        )


@pytest.fixture
async def calls(tmp_path: Path) -> AsyncGenerator[Calls]:
    functions = {"one": asyncio.sleep, "thrifty": asyncio.sleep}
    async with given.a_core(tmp_path, functions=functions, with_engine=False) as core:
        await given.an_agent(core, "one", function="one", delegates=["thrifty"])
        await given.an_agent(core, "thrifty", function="thrifty", budget={"tokens": 700, "usd": usd(700)})
        yield Calls(core)


LEFT = ((1_101, 1_000), (1_100, 1_000), (1_099, 999), (357, 257), (356, 256), (355, None), (1, None))
"""What is left of a budget, and how long an answer is allowed."""


@pytest.mark.parametrize("limited", ["usd", "tokens"])
async def test_a_call_is_allowed_what_is_left_of_the_tree_down_to_a_short_answer(
    calls: Calls, limited: str
) -> None:
    for left, allowed in LEFT:
        task = await calls.task(**{limited: usd(left) if limited == "usd" else left})

        await allowed_or_refused(calls, task, limited, allowed, NO_LIMITS)

        spent = 100 + allowed if allowed else 0
        assert calls.spent(task) == (spent, spent)


@pytest.mark.parametrize("limited", ["usd", "tokens"])
async def test_a_call_is_allowed_what_is_left_of_the_day_down_to_a_short_answer(
    calls: Calls, limited: str
) -> None:
    for left, allowed in LEFT:
        task = await calls.task()
        limits = DayLimits(usd_nanos=left) if limited == "usd" else DayLimits(tokens=left)

        await allowed_or_refused(calls, task, limited, allowed, limits)

        if allowed:
            assert calls.day() == (100 + allowed, 100 + allowed)
            await calls.give_back(task, may_be_paid=False)


async def allowed_or_refused(
    calls: Calls, task: Task, limited: str, allowed: int | None, limits: DayLimits
) -> None:
    if allowed is not None:
        granted = Grant(max_output_tokens=allowed, is_cut=allowed < 1_000)
        assert await calls.reserve(task, limits=limits) == granted
        return
    with pytest.raises(BudgetExhausted) as told:
        await calls.reserve(task, limits=limits)
    assert told.value.details["limit"] == limited
    assert told.value.details["used"] == ("0.00" if limited == "usd" else "0")
    assert told.value.details["needed"] == (usd(356) if limited == "usd" else "356")


async def test_an_answer_that_is_short_anyway_needs_no_more_than_that(calls: Calls) -> None:
    short = replace(ESTIMATE, max_output_tokens=10)

    assert await calls.reserve(await calls.task(tokens=110), short) == Grant(
        max_output_tokens=10, is_cut=False
    )
    with pytest.raises(BudgetExhausted):
        await calls.reserve(await calls.task(tokens=109), short)


async def test_a_model_that_costs_nothing_is_limited_by_no_money_but_by_debts(calls: Calls) -> None:
    task = await calls.task(usd=usd(500))

    assert await calls.reserve(task, FREE) == Grant(max_output_tokens=1_000, is_cut=False)
    await calls.settle(task, replace(USED, usd_nanos=500))
    assert await calls.reserve(task, FREE, path="0/1") == Grant(max_output_tokens=1_000, is_cut=False)
    await calls.settle(task, replace(USED, usd_nanos=1), path="0/1")
    with pytest.raises(BudgetExhausted):
        await calls.reserve(task, FREE, path="0/2")


async def test_of_several_limits_the_tightest_is_told(calls: Calls) -> None:
    task = await calls.task(tokens=2_000, usd=usd(900))

    assert (await calls.reserve(task, limits=DayLimits(tokens=1_000))).max_output_tokens == 800
    other = await calls.task(tokens=600, usd=usd(900))
    assert (await calls.reserve(other)).max_output_tokens == 500


async def test_who_finds_the_trees_budget_reserved_waits_and_who_finds_it_spent_does_not(
    calls: Calls,
) -> None:
    task = await calls.task(tokens=2_000)
    await calls.reserve(task)

    with pytest.raises(BudgetReserved):
        await calls.reserve(task, path="0/1")
    await calls.settle(task, USED)
    assert await calls.reserve(task, path="0/1") == Grant(max_output_tokens=1_000, is_cut=False)
    await calls.settle(task, replace(USED, output_tokens=1_500), path="0/1")
    with pytest.raises(BudgetExhausted):
        await calls.reserve(task, path="0/2")


async def test_a_call_that_fits_does_not_wait_for_others(calls: Calls) -> None:
    task = await calls.task(tokens=2_200)

    await calls.reserve(task)
    assert await calls.reserve(task, path="0/1") == Grant(max_output_tokens=1_000, is_cut=False)
    assert calls.spent(task) == (2_200, 2_200)


async def test_another_trees_calls_are_not_waited_for(calls: Calls) -> None:
    await calls.reserve(await calls.task())

    assert (await calls.reserve(await calls.task(tokens=500))).is_cut


async def test_where_the_day_is_short_nobody_waits(calls: Calls) -> None:
    task = await calls.task()
    await calls.reserve(task)

    assert (await calls.reserve(task, limits=DayLimits(tokens=2_000), path="0/1")).max_output_tokens == 800
    with pytest.raises(BudgetExhausted, match="tenant 'default'"):
        await calls.reserve(task, limits=DayLimits(tokens=2_000), path="0/2")


async def test_a_childs_call_is_taken_from_its_own_and_from_the_trees(calls: Calls) -> None:
    parent = await calls.task(tokens=5_000)
    await calls.reserve(parent)
    child = await calls.child(parent)

    assert await calls.reserve(child) == Grant(max_output_tokens=600, is_cut=True)
    assert calls.spent(child) == (700, 700)
    assert calls.spent(parent) == calls.day() == (1_800, 1_800)
    with pytest.raises(BudgetExhausted, match=f"delegated task {child.id}"):
        await calls.reserve(child, path="0/1")
    await calls.settle(child, USED)
    assert calls.spent(child) == (300, 290)
    assert calls.spent(parent) == calls.day() == (1_400, 1_390)


POLICIES = (
    (UnknownPrice.AUTO, True, True),
    (UnknownPrice.AUTO, False, False),
    (UnknownPrice.REFUSE, True, True),
    (UnknownPrice.REFUSE, False, True),
    (UnknownPrice.COUNT_TOKENS, True, False),
    (UnknownPrice.COUNT_TOKENS, False, False),
)


@pytest.mark.parametrize("where", ["tree", "day"])
async def test_a_model_of_unknown_price_is_refused_as_the_policy_says(calls: Calls, where: str) -> None:
    for policy, has_limit, refused in POLICIES:
        task = await calls.task(**({"usd": "1"} if has_limit and where == "tree" else {}))
        limits = DayLimits(usd_nanos=5) if has_limit and where == "day" else NO_LIMITS
        estimate = replace(UNPRICED, unknown_price=policy)

        if refused:
            with pytest.raises(PriceUnknown, match="m is unknown"):
                await calls.reserve(task, estimate, limits)
        else:
            assert (await calls.reserve(task, estimate, limits)).max_output_tokens == 1_000
            assert calls.spent(task) == (0, 1_100)


async def test_a_price_that_is_known_is_refused_by_no_policy(calls: Calls) -> None:
    strict = replace(ESTIMATE, unknown_price=UnknownPrice.REFUSE)

    assert not (await calls.reserve(await calls.task(usd="1"), strict)).is_cut


async def test_what_was_not_needed_is_given_back_and_what_was_overrun_is_taken(calls: Calls) -> None:
    task = await calls.task()
    await calls.reserve(task)
    await calls.reserve(task, path="0/1")

    assert await calls.settle(task, USED) == USED
    assert calls.spent(task) == calls.day() == (1_400, 1_390)
    dear = replace(USED, usd_nanos=5_000, output_tokens=3_000)
    assert await calls.settle(task, dear, path="0/1") == dear
    assert calls.spent(task) == calls.day() == (5_300, 3_380)
    assert calls.charges() == [
        ("0/0", 0, "settled", "m-2", 300, 90, 200, 1),
        ("0/1", 0, "settled", "m-2", 5_000, 90, 3_000, 1),
    ]


async def test_a_call_is_settled_once_and_one_that_was_not_made_never(calls: Calls) -> None:
    task, other = await calls.task(), await calls.task()
    await calls.reserve(task)

    assert await calls.settle(task, USED, path="0/7") is None
    assert await calls.settle(other, USED) is None
    assert await calls.settle(task, USED) == USED
    assert await calls.settle(task, USED) is None
    assert calls.spent(task) == (300, 290)
    assert calls.spent(other) == (0, 0)


async def test_a_provider_that_does_not_tell_is_paid_all_that_was_reserved(calls: Calls) -> None:
    task = await calls.task()
    silent = replace(USED, usd_nanos=None, input_tokens=0, output_tokens=0)
    await calls.reserve(task)
    await calls.settle(task, silent)
    await calls.reserve(task, path="0/1")
    await calls.settle(task, replace(USED, usd_nanos=None), path="0/1")
    await calls.reserve(task, UNPRICED, path="0/2")
    await calls.settle(task, silent, path="0/2")
    await calls.reserve(task, UNPRICED, path="0/3")
    await calls.settle(task, replace(USED, usd_nanos=None), path="0/3")

    assert [row[4:] for row in calls.charges()] == [
        (1_100, 1_100, 0, 1),
        (1_100, 90, 200, 1),
        (0, 1_100, 0, 0),
        (0, 90, 200, 0),
    ]
    assert calls.spent(task) == (2_200, 1_100 + 290 + 1_100 + 290)


async def test_a_call_without_an_answer_costs_nothing_or_all_if_it_may_be_paid(calls: Calls) -> None:
    task = await calls.task()
    await calls.reserve(task)
    await calls.reserve(task, path="0/1")

    await calls.give_back(task, may_be_paid=False)
    assert calls.spent(task) == calls.day() == (1_100, 1_100)
    await calls.give_back(task, may_be_paid=True, path="0/1")
    assert calls.spent(task) == calls.day() == (1_100, 1_100)
    assert [(row[2], row[4]) for row in calls.charges()] == [("released", 0), ("lost", 1_100)]


async def test_requests_at_one_place_are_numbered_and_only_the_open_one_is_closed(calls: Calls) -> None:
    task = await calls.task()
    for _ in range(3):
        await calls.reserve(task)
        await calls.give_back(task, may_be_paid=False)
    await calls.reserve(task)
    await calls.reserve(task, path="0/1")
    await calls.settle(task, USED)

    assert [(row[0], row[1], row[2]) for row in calls.charges()] == [
        *(("0/0", number, "released") for number in range(3)),
        ("0/0", 3, "settled"),
        ("0/1", 0, "reserved"),
    ]


async def test_a_request_of_no_task_takes_the_whole_of_what_it_may_cost_or_is_not_made(calls: Calls) -> None:
    async def taken(limits: DayLimits, estimate: Estimate = ESTIMATE) -> Any:
        async with calls.core.db.write() as tx:
            return await spending.reserve_of_day(tx, "default", estimate, limits)

    found = await taken(DayLimits(usd_nanos=2_200, tokens=2_200))
    assert (found.usd_nanos, found.tokens) == calls.day() == (1_100, 1_100)
    assert await taken(DayLimits(tokens=2_199)) is None
    assert await taken(DayLimits(usd_nanos=2_199)) is None
    assert await taken(DayLimits(usd_nanos=9_999), UNPRICED) is None
    assert await taken(DayLimits(usd_nanos=2_200, tokens=2_200)) is not None
    assert (await taken(NO_LIMITS, UNPRICED)).usd_nanos == 0
    assert calls.day() == (2_200, 3_300)


@pytest.mark.parametrize("name", ["steps", "children", "tool_calls"])
async def test_a_count_is_taken_up_to_its_limit_and_not_beyond(calls: Calls, name: str) -> None:
    task, other = await calls.task(**{name: 3}), await calls.task()

    async def spend(count: int) -> int:
        async with calls.core.db.write() as tx:
            return await spending.spend(tx, task, **cast("Any", {name: count}))

    assert await spend(2) == task.limits.depth
    with pytest.raises(BudgetExhausted) as told:
        await spend(2)
    await spend(1)
    with pytest.raises(BudgetExhausted):
        await spend(1)
    await spend(0)

    assert told.value.details == {"limit": name, "budget": "3", "used": "2"}
    counted = f"SELECT {name}_spent FROM agent_tasks WHERE id = ?"  # noqa: S608 - a column that the test names
    assert given.rows(calls.core, counted, task.id) == [(3,)]
    assert given.rows(calls.core, counted, other.id) == [(0,)]


async def test_a_call_is_taken_from_its_own_tenants_very_day(calls: Calls) -> None:
    async with calls.core.db.write() as tx:
        today = tx.now.date().isoformat()
        others = [("default", "2020-01-01"), ("other", today)]
        for tenant, day in others:
            assert await charges.day(tx, tenant, day) == (0, 0)
    await calls.reserve(await calls.task())

    async with calls.core.db.write() as tx:
        for look in (charges.seen_day, charges.day):
            found = [
                await look(tx, tenant, day) for tenant, day in (("default", today), *others, ("none", today))
            ]
            assert found == [(1_100, 1_100), (0, 0), (0, 0), (0, 0)]


async def test_an_answer_as_long_as_was_thought_and_cheaper_gives_money_back(calls: Calls) -> None:
    task = await calls.task()
    await calls.reserve(task)

    await calls.settle(task, replace(USED, input_tokens=100, output_tokens=1_000))

    assert calls.spent(task) == calls.day() == (300, 1_100)


async def test_the_calls_under_way_are_those_of_the_tasks_that_are_named(calls: Calls) -> None:
    task, other = await calls.task(), await calls.task()
    for one, path in ((task, "0/0"), (task, "0/1"), (other, "0/0")):
        await calls.reserve(one, path=path)
    await calls.give_back(task, may_be_paid=False, path="0/1")

    async with calls.core.db.read() as tx:
        found = await charges.reserved(tx, [task.id])

    assert [(one.task_id, one.path) for one in found] == [(task.id, "0/0")]
    assert {row[1] for row in calls.charges()} == {0}
    await calls.settle(task, USED)
    assert [row[2] for row in calls.charges()].count("reserved") == 1


async def test_only_the_very_call_is_closed_and_only_once(calls: Calls) -> None:
    task = await calls.task()
    await calls.reserve(task)
    async with calls.core.db.write() as tx:
        [first] = await charges.reserved(tx, [task.id])
        await charges.reserve(tx, replace(first, number=1))
        await charges.lose(tx, [first])
        await charges.release(tx, [first])

    assert [(row[1], row[2]) for row in calls.charges()] == [(0, "lost"), (1, "reserved")]


async def test_the_limit_that_is_told_is_the_one_that_is_too_small(calls: Calls) -> None:
    task = await calls.task(steps=2, children=1)

    async with calls.core.db.write() as tx:
        await spending.spend(tx, task, steps=1, children=1)
        with pytest.raises(BudgetExhausted) as told:
            await spending.spend(tx, task, steps=1, children=1)

    assert told.value.details["limit"] == "children"


async def test_all_counts_are_taken_together_or_none(calls: Calls) -> None:
    task = await calls.task(steps=5, children=1)

    async with calls.core.db.write() as tx:
        await spending.spend(tx, task, steps=1, children=1, tool_calls=4, root=task)
        with pytest.raises(BudgetExhausted, match="1 children"):
            await spending.spend(tx, task, steps=1, children=1, tool_calls=1)

    spent = "SELECT steps_spent, children_spent, tool_calls_spent FROM agent_tasks WHERE id = ?"
    assert given.rows(calls.core, spent, task.id) == [(1, 1, 4)]
