"""Budgets in money, tokens and tool calls: reserved before a model is asked, settled after, over a whole tree.

The models are the scripted server with known usage; what was reserved at any moment is written down by triggers
inside the database, so that no moment is missed.
"""

import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chargehand.app.core import Core
from chargehand.domain.history import EventKind
from chargehand.domain.money import NANOS_PER_USD
from chargehand.domain.task import Status, Task, TaskOrder
from chargehand.domain.usage import UsageBy, UsageFilter
from chargehand.errors import IdempotencyMismatch, InvalidInput
from tests import given
from tests.databases import copy_rows, execute
from tests.given import ME
from tests.invariants import violations
from tests.runtimes.test_model import DEFINITION, a_modelled_core

PRICES = {"claude-test": {"input_usd_per_million": 10, "output_usd_per_million": "50.00"}}
"""The longest answer costs 0.41 USD: two children at once leave no room for a third on a budget of 1.00."""
LEAD = """---
name: lead
description: Leads.
tools: Task
chargehand:
  delegates: [writer]
  budget: {usd: 1.00}
---
You lead.
"""
READ = {"name": "Glob", "arguments": {"pattern": "*"}}


def five_children(*, child_input: int = 1_000, child_output: int) -> list[dict[str, Any]]:
    orders = [
        {"name": "Agent", "arguments": {"prompt": f"Part {n}.", "subagent_type": "writer"}} for n in range(5)
    ]
    child = {
        "text": "My part is done.",
        "delay_seconds": 0.2,
        "usage": {"input": child_input, "output": child_output},
    }
    return [
        {
            "match": {"system_contains": "You lead"},
            "turns": [
                {"calls": orders, "usage": {"input": 900, "output": 300}},
                {"text": "All done.", "usage": {"input": 1500, "output": 20}},
            ],
        },
        {"match": {"system_contains": "You write"}, "turns": [child]},
    ]


MOMENTS = "CREATE TABLE moments (pool BIGINT, ledger BIGINT)"
NOTE = """
    INSERT INTO moments SELECT NEW.usd_nanos_spent, sum(
        CASE status WHEN 'reserved' THEN reserved_usd_nanos ELSE usd_nanos END
    ) FROM task_charges WHERE root_id = NEW.id;
"""
WATCHED = {
    "sqlite": [
        f"CREATE TRIGGER pool_moved AFTER UPDATE OF usd_nanos_spent ON agent_tasks WHEN NEW.parent_id IS NULL"
        f" BEGIN {NOTE} END"
    ],
    "postgresql": [
        f"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {NOTE} RETURN NEW; END $$",
        "CREATE TRIGGER pool_moved AFTER UPDATE OF usd_nanos_spent ON agent_tasks FOR EACH ROW"
        " WHEN (NEW.parent_id IS NULL) EXECUTE FUNCTION note()",
    ],
    "mysql": [
        "CREATE TRIGGER pool_moved AFTER UPDATE ON agent_tasks FOR EACH ROW"
        f" IF NEW.parent_id IS NULL AND NEW.usd_nanos_spent <> OLD.usd_nanos_spent THEN {NOTE} END IF"
    ],
}
UNWATCHED = {
    "postgresql": ["DROP FUNCTION IF EXISTS note CASCADE"],
    "mysql": ["DROP TRIGGER IF EXISTS pool_moved"],
}


Moments = list[tuple[int, int]]


@contextmanager
def every_moment(core: Core) -> Generator[Callable[[], Moments]]:
    """Have the database note each state of the pool and of the ledger, whoever changes them."""
    url = core.settings.database_url
    if url is None:
        with closing(sqlite3.connect(core.settings.database_path)) as connection:
            connection.executescript(";".join([MOMENTS, *WATCHED["sqlite"]]))
        yield lambda: given.rows(core, "SELECT pool, ledger FROM moments")
        return
    kind = urlsplit(url).scheme
    execute(url, MOMENTS, *WATCHED[kind])
    try:
        yield lambda: _moments_on(url)
    finally:
        execute(url, *UNWATCHED[kind], "DROP TABLE moments")


def _moments_on(url: str) -> Moments:
    with closing(sqlite3.connect(":memory:")) as copy:
        copy_rows(url, copy, ["moments"])
        return copy.execute("SELECT pool, ledger FROM moments").fetchall()


def ledger(core: Core, root: Task) -> int:
    statement = "SELECT sum(usd_nanos) FROM task_charges WHERE root_id = ? AND status <> 'reserved'"
    return given.rows(core, statement, root.id)[0][0]


def pool(core: Core, root: Task) -> int:
    return given.rows(core, "SELECT usd_nanos_spent FROM agent_tasks WHERE id = ?", root.id)[0][0]


async def test_five_children_at_once_never_reserve_more_than_their_budget(tmp_path: Path) -> None:
    script = five_children(child_output=100)
    async with a_modelled_core(tmp_path, script, slots=8, model_prices=PRICES) as (core, models):
        await core.agents.publish(ME, LEAD)
        with every_moment(core) as moments_of:
            ended = await given.ended(core, await given.a_task(core, "lead", {"prompt": "Lead."}))
            moments = moments_of()

        assert ended.status is Status.COMPLETED
        assert len(models.log) == 7
        assert all(pool == ledger for pool, ledger in moments), "a pool is not what its ledger says"
        assert 0.8 * NANOS_PER_USD < max(pool for pool, _ in moments) <= NANOS_PER_USD
        spent = (900 + 5 * 1000 + 1500) * 10_000 + (300 + 5 * 100 + 20) * 50_000
        assert (pool(core, ended), ledger(core, ended)) == (spent, spent)
        statement = "SELECT usd_nanos, tokens FROM tenant_days"
        assert given.rows(core, statement) == [(spent, 900 + 5 * 1000 + 1500 + 300 + 5 * 100 + 20)]
        assert violations(core.settings.database_path) == []


async def test_who_finds_the_budget_reserved_is_woken_by_the_call_that_ends(tmp_path: Path) -> None:
    script = five_children(child_output=10)
    script[0]["turns"][0]["calls"] = script[0]["turns"][0]["calls"][:2]
    script[1]["turns"][0]["delay_seconds"] = 1.0
    poor = LEAD.replace("1.00", "0.60")
    async with a_modelled_core(tmp_path, script, model_prices=PRICES) as (core, _):
        await core.agents.publish(ME, poor)

        ended = await given.ended(core, await given.a_task(core, "lead", {"prompt": "Lead."}))

        assert ended.status is Status.COMPLETED
        statement = "SELECT attempt, finished_at FROM agent_tasks WHERE parent_id = ? ORDER BY finished_at"
        (first, sooner), (second, later) = given.rows(core, statement, ended.id)
        assert (first, second) == (1, 2), "it looked again once, not again and again"
        assert later - sooner < 2_000_000, "it did not wait for its timer"


async def test_an_answer_dearer_than_what_was_reserved_is_the_last(tmp_path: Path) -> None:
    turns = [{"calls": [READ], "usage": {"input": 1_000_000, "output": 10}}, {"text": "Done."}]
    async with a_modelled_core(tmp_path, turns, model_prices=PRICES) as (core, models):
        ended = await given.ended(
            core, await given.a_task(core, "writer", {"prompt": "Go."}, budget={"usd": 2})
        )

        assert (ended.status, ended.reason) == (Status.FAILED, "budget_exhausted")
        assert pool(core, ended) == ledger(core, ended) > 10 * NANOS_PER_USD
        with pytest.raises(
            InvalidInput, match=r"budget\.usd .* 10\.\d+ are spent already; 1\.00 leaves nothing: write"
        ):
            await core.tasks.retry(ME, ended.id, {"usd": 1})
        assert (await core.watch.get(ME, ended.id)).status is Status.FAILED
        await core.tasks.retry(ME, ended.id)
        again = await given.ended(core, ended)
        assert (again.status, again.reason) == (Status.FAILED, "budget_exhausted")
        assert len(models.log) == 1


async def test_a_budget_exhausted_in_the_middle_of_a_tree_ends_it_and_the_ledger_adds_up(
    tmp_path: Path,
) -> None:
    script = five_children(child_input=4_700, child_output=5_300)  # 0.312 USD each: three fit
    async with a_modelled_core(tmp_path, script, slots=8, model_prices=PRICES) as (core, _):
        await core.agents.publish(ME, LEAD)
        with every_moment(core) as moments_of:
            ended = await given.ended(core, await given.a_task(core, "lead", {"prompt": "Lead."}))
            moments = moments_of()

        children = given.rows(core, "SELECT status, reason FROM agent_tasks WHERE parent_id = ?", ended.id)
        assert {("completed", None), ("failed", "budget_exhausted")} == set(children)
        assert len(children) == 5
        assert (ended.status, ended.reason) == (Status.FAILED, "budget_exhausted")
        assert ended.error is not None
        assert "budget of 1.00 USD" in str(ended.error["message"])
        assert f"chargehand tasks retry {ended.id} --budget usd=" in str(ended.error["message"])
        details = ended.error["details"]
        assert isinstance(details, dict)
        used = f"{pool(core, ended) / NANOS_PER_USD:.9f}".rstrip("0")
        assert (details["limit"], details["budget"], details["used"]) == ("usd", "1.00", used)
        assert all(pool == ledger <= NANOS_PER_USD for pool, ledger in moments)
        assert pool(core, ended) == ledger(core, ended)
        assert given.rows(core, "SELECT count(*) FROM task_charges WHERE status = 'reserved'") == [(0,)]


async def test_a_raised_budget_lets_a_retry_go_on_where_the_money_ran_out(tmp_path: Path) -> None:
    turns = [
        {"calls": [READ], "usage": {"input": 1_000, "output": 1_900}},
        {"text": "Done.", "usage": {"input": 3_000, "output": 10}},
    ]
    async with a_modelled_core(
        tmp_path, turns, definition=DEFINITION.replace("Read,", "Read, Glob,"), model_prices=PRICES
    ) as (core, models):
        task = await given.a_task(core, "writer", {"prompt": "Go."}, budget={"usd": "0.15"})
        ended = await given.ended(core, task)
        assert ended.reason == "budget_exhausted"

        await core.tasks.retry(ME, task.id)
        assert (await given.ended(core, task)).reason == "budget_exhausted"
        await core.tasks.retry(ME, task.id, {"usd": "0.60"})

        again = await given.ended(core, task)
        assert again.status is Status.COMPLETED
        assert [one.turn for one in models.log] == [0, 1]
        assert again.budget["usd"] == "0.60"
        assert again.usd_nanos_spent == ledger(core, task) == 4_000 * 10_000 + 1_910 * 50_000


async def test_tokens_and_tool_calls_are_limited_without_any_price(tmp_path: Path) -> None:
    turns = [{"calls": [READ, READ, READ]}, {"text": "Done."}]
    definition = DEFINITION.replace("Read,", "Read, Glob,")
    async with a_modelled_core(tmp_path, turns, definition=definition) as (core, models):
        few_calls = await given.a_task(core, "writer", {"prompt": "Go."}, budget={"tool_calls": 2})
        few_tokens = await given.a_task(core, "writer", {"prompt": "Go."}, budget={"tokens": 1_000})

        calls, tokens = await given.ended(core, few_calls), await given.ended(core, few_tokens)

        assert (calls.reason, tokens.reason) == ("budget_exhausted", "budget_exhausted")
        assert calls.error is not None
        assert tokens.error is not None
        assert "budget of 2 tool calls (2 used, 1 more needed)" in str(calls.error["message"])
        assert "budget of 1000 tokens" in str(tokens.error["message"])
        assert len(models.log) == 1, "the one with few tokens asked nothing"
        assert (calls.tool_calls_spent, calls.usd_nanos_spent) == (2, 0)


async def test_an_answer_is_kept_as_short_as_the_budget_asks(tmp_path: Path) -> None:
    async with a_modelled_core(tmp_path, [{"text": "Done."}], model_prices=PRICES) as (core, _):
        task = await given.a_task(core, "writer", {"prompt": "Go."}, budget={"usd": "0.20"})

        ended = await given.ended(core, task)

        assert ended.status is Status.COMPLETED
        [(reserved,)] = given.rows(core, "SELECT reserved_usd_nanos FROM task_charges")
        assert NANOS_PER_USD // 5 - 50_000 < reserved <= NANOS_PER_USD // 5


async def test_a_limit_in_money_refuses_a_model_of_unknown_price_and_says_what_to_set(tmp_path: Path) -> None:
    async with a_modelled_core(tmp_path, [{"text": "Done."}]) as (core, models):
        limited = await given.a_task(core, "writer", {"prompt": "Go."}, budget={"usd": 5})
        ended = await given.ended(core, limited)
        assert ended.error is not None
        for said in (
            "anthropic:claude-test",
            "CHARGEHAND_MODEL_PRICES",
            "CHARGEHAND_UNKNOWN_PRICE=count_tokens",
        ):
            assert said in str(ended.error["message"])
        assert not models.log

        unlimited = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))
        assert unlimited.status is Status.COMPLETED
        report = await core.usage.report(ME, UsageBy.TASK)
        assert report.total.unpriced_calls == report.total.calls == 1
        assert report.total.usd_nanos == 0
        assert report.total.input_tokens > 0


@pytest.mark.parametrize(
    ("policy", "status"), [("refuse", Status.FAILED), ("count_tokens", Status.COMPLETED)]
)
async def test_the_policy_for_unknown_prices_holds_with_and_without_a_limit(
    tmp_path: Path, policy: str, status: Status
) -> None:
    async with a_modelled_core(tmp_path, [{"text": "Done."}], unknown_price=policy) as (core, _):
        for budget in ({}, {"usd": "1.00"}):
            task = await given.a_task(core, "writer", {"prompt": "Go."}, budget=budget)
            assert (await given.ended(core, task)).status is status


async def test_a_tenants_day_is_limited_over_all_its_tasks_and_begins_anew(tmp_path: Path) -> None:
    clock = given.TestClock()
    told = {"text": "Done.", "usage": {"input": 1_000, "output": 100}}
    async with a_modelled_core(
        tmp_path, [told], clock=clock, model_prices=PRICES, tenant_usd_per_day="0.12"
    ) as (core, models):
        results = [
            await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."})) for _ in range(8)
        ]
        assert results[0].status is Status.COMPLETED
        last = results[-1]
        assert last.reason == "budget_exhausted"
        assert last.error is not None
        assert "tenant 'default' on 2026-07-01 (UTC)" in str(last.error["message"])
        assert "CHARGEHAND_TENANT_USD_PER_DAY" in str(last.error["message"])
        asked = len(models.log)

        clock.advance(86_400)
        await core.tasks.retry(ME, last.id)

        assert (await given.ended(core, last)).status is Status.COMPLETED
        assert len(models.log) == asked + 1
        days = await core.usage.report(ME, UsageBy.DAY)
        assert [(day, sums.calls) for day, sums in days.groups] == [("2026-07-02", 1), ("2026-07-01", asked)]


async def test_a_request_that_got_no_answer_costs_nothing_and_one_that_hung_may_have(tmp_path: Path) -> None:
    turns = [{"text": "There.", "fault": {"status": 429, "retry_after": 0, "times": 2}}]
    async with a_modelled_core(tmp_path, turns, model_prices=PRICES) as (core, _):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        rows = given.rows(core, "SELECT number, status, usd_nanos > 0 FROM task_charges ORDER BY number")
        assert rows == [(0, "released", 0), (1, "released", 0), (2, "settled", 1)]
        assert pool(core, ended) == ledger(core, ended)


async def test_a_call_that_timed_out_stays_paid(tmp_path: Path) -> None:
    turns = [{"text": "There.", "fault": {"hang_before": True, "times": 1}}]
    async with a_modelled_core(tmp_path, turns, model_prices=PRICES, model_timeout_seconds=0.3) as (core, _):
        ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        statement = "SELECT status, usd_nanos = reserved_usd_nanos FROM task_charges ORDER BY number"
        assert given.rows(core, statement) == [("lost", 1), ("settled", 0)]
        assert pool(core, ended) == ledger(core, ended)


async def test_a_call_under_way_when_its_task_is_canceled_stays_paid(tmp_path: Path) -> None:
    turns = [{"text": "There.", "fault": {"hang_before": True}}]
    async with a_modelled_core(tmp_path, turns, model_prices=PRICES) as (core, _):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        await given.event(core, task, EventKind.STEP_STARTED)
        await core.tasks.cancel(ME, task.id)
        ended = await given.ended(core, task)

        assert ended.status is Status.CANCELED
        [(status, usd)] = given.rows(core, "SELECT status, usd_nanos FROM task_charges")
        assert (status, usd) == ("lost", pool(core, ended))
        report = await core.usage.report(ME, UsageBy.TREE, UsageFilter(root_id=task.id))
        assert (report.total.lost_calls, report.total.lost_usd_nanos, report.total.calls) == (1, usd, 0)


async def test_a_childs_own_budget_holds_for_its_own_calls(tmp_path: Path) -> None:
    poor = DEFINITION.replace("---\nYou write", "chargehand:\n  budget: {usd: 0.0001}\n---\nYou write")
    script = five_children(child_output=10)
    async with a_modelled_core(tmp_path, script, definition=poor, model_prices=PRICES) as (core, _):
        await core.agents.publish(ME, LEAD)

        ended = await given.ended(core, await given.a_task(core, "lead", {"prompt": "Lead."}))

        assert ended.status is Status.COMPLETED, "the lead was told and went on"
        errors = given.rows(core, "SELECT reason, error FROM agent_tasks WHERE parent_id = ?", ended.id)
        assert {reason for reason, _ in errors} == {"budget_exhausted"}
        assert all("definition of 'writer'" in error for _, error in errors)


async def test_an_order_can_only_lower_limits_or_add_them(tmp_path: Path) -> None:
    async with a_modelled_core(tmp_path, [{"text": "Done."}], with_engine=False) as (core, _):
        await core.agents.publish(ME, LEAD)

        task = await given.a_task(
            core, "lead", {"prompt": "x"}, budget={"usd": "3.00", "tokens": 5, "steps": 7}
        )

        assert (task.budget["usd"], task.budget["tokens"], task.budget["steps"]) == ("1.00", 5, 7)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"usdd": 1}, "did you mean 'usd'"),
        ({"usd": "much"}, "budget.usd is an amount in USD"),
        ({"usd": "-1"}, "budget.usd is from 0"),
        ({"usd": "0.0000000001"}, "nine digits"),
        ({"usd": True}, "budget.usd is an amount"),
        ({"tokens": 1.5}, "budget.tokens is a whole number"),
        ({"tool_calls": 0}, "budget.tool_calls is greater than zero"),
    ],
)
async def test_a_budget_that_is_none_is_refused_by_name(tmp_path: Path, budget: Any, said: str) -> None:
    async with a_modelled_core(tmp_path, [{"text": "Done."}], with_engine=False) as (core, _):
        with pytest.raises(InvalidInput, match=said):
            await given.a_task(core, "writer", {"prompt": "x"}, budget=budget)


async def test_another_budget_under_the_same_key_is_another_payload(tmp_path: Path) -> None:
    async with a_modelled_core(tmp_path, [{"text": "Done."}], with_engine=False) as (core, _):
        order = partial(TaskOrder, agent_id="writer", task_data={"prompt": "x"}, idempotency_key="k")
        first = await core.tasks.submit(ME, order(budget={"usd": "1.00"}))

        again = await core.tasks.submit(ME, order(budget={"usd": "1.00"}))
        with pytest.raises(IdempotencyMismatch):
            await core.tasks.submit(ME, order(budget={"usd": "2.00"}))

        assert again.replayed
        assert again.task.id == first.task.id


async def test_an_event_of_an_answer_tells_what_it_cost(tmp_path: Path) -> None:
    told = {"text": "Done.", "usage": {"input": 1_000, "output": 100}}
    async with a_modelled_core(tmp_path, [told], model_prices=PRICES) as (core, _):
        task = await given.a_task(core, "writer", {"prompt": "Go."})

        event = await given.event(core, task, EventKind.STEP_FINISHED)

        assert event.data["model"] == "anthropic:claude-test"
        assert (event.data["usd"], event.data["tokens"]) == ("0.015", 1_100)
