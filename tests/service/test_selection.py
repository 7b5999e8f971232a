"""Tasks for `auto`: which agent the service picks, what it says of it, and when it refuses."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.agent import parse_definition
from chargehand.domain.agent_ranking import brief_of, ranked
from chargehand.domain.money import usd_text
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import InvalidDefinition, InvalidInput, NoAgentFits
from chargehand.runtimes.playbook import Playbook, PlaybookContext
from chargehand.testkit.server import scripted_models
from tests import given
from tests.given import ME

AGENTS = {
    "database-designer": "Designs relational schemas, indexes and migrations for PostgreSQL and MySQL.",
    "test-automator": "Writes automated tests: unit, integration and end to end, with pytest.",
    "security-auditor": "Audits code for vulnerabilities: injection, broken authentication, secrets.",
}


def definition(name: str, description: str, playbook: str) -> str:
    front = f"name: {name}\ndescription: {json.dumps(description)}"
    return f"---\n{front}\nchargehand: {{runtime: playbook, playbook: {playbook}}}\n---\nDo it.\n"


async def done(ctx: PlaybookContext) -> JsonValue:
    return ctx.task.agent_id


def needs_a_table(data: JsonObject) -> None:
    if "table" not in data:
        raise InvalidInput("it needs `table`")


@asynccontextmanager
async def a_staffed_core(folder: Path, **options: Any) -> AsyncGenerator[Core, None]:
    books = {"done": Playbook(name="done", run=done)}
    books["picky"] = Playbook(name="picky", run=done, check_input=needs_a_table)
    async with given.a_core(folder, playbooks=books, **options) as core:
        for name, description in AGENTS.items():
            await core.agents.publish(ME, definition(name, description, "done"))
        yield core


@pytest.mark.parametrize(
    ("prompt", "agent_id"),
    [
        ("Our login may be open to SQL injection; audit it.", "security-auditor"),
        ("Please design the tables: which indexes does this schema need?", "database-designer"),
        ("Automate the integration testing of our API.", "test-automator"),
    ],
)
async def test_the_agent_whose_description_matches_gets_the_task_and_the_event_says_why(
    tmp_path: Path, prompt: str, agent_id: str
) -> None:
    async with a_staffed_core(tmp_path) as core:
        accepted = await core.tasks.submit(ME, given.TaskOrder(agent_id="auto", task_data={"prompt": prompt}))
        ended = await given.ended(core, accepted.task)

        assert (ended.agent_id, ended.result) == (agent_id, agent_id)
        [first, *_] = await core.watch.events(ME, ended.id)
        assert first.data["selection"] == accepted.selection
        assert accepted.selection is not None
        assert accepted.selection["by"] == "ranking"
        candidates = accepted.selection["candidates"]
        assert isinstance(candidates, list)
        assert isinstance(candidates[0], dict)
        assert candidates[0]["agent_id"] == agent_id


async def test_nothing_that_fits_is_refused_with_the_nearest_and_nothing_is_stored(tmp_path: Path) -> None:
    async with a_staffed_core(tmp_path) as core:
        with pytest.raises(NoAgentFits, match=r"Nearest: .*Name the agent in place of `auto`"):
            await given.a_task(core, "auto", {"prompt": "Bake a chocolate cake."})

        assert given.rows(core, "SELECT id FROM agent_tasks") == []


async def test_an_agent_that_cannot_work_with_the_input_is_passed_over_and_told(tmp_path: Path) -> None:
    async with a_staffed_core(tmp_path) as core:
        await core.agents.publish(ME, definition("cake-baker", "Bakes chocolate cakes.", "picky"))

        with pytest.raises(NoAgentFits) as refused:
            await given.a_task(core, "auto", {"prompt": "Bake a chocolate cake."})
        assert [str(one) for one in refused.value.findings] == ["cake-baker: it needs `table`"]
        task = await given.a_task(core, "auto", {"prompt": "Bake a chocolate cake.", "table": "long"})
        assert task.agent_id == "cake-baker"


async def test_a_repeated_key_answers_with_the_first_task_and_its_reason(tmp_path: Path) -> None:
    async with a_staffed_core(tmp_path) as core:
        order = given.TaskOrder(agent_id="auto", task_data={"prompt": "Audit this."}, idempotency_key="k-1")
        first = await core.tasks.submit(ME, order)
        again = await core.tasks.submit(ME, order)

        assert (again.replayed, again.task.id) == (True, first.task.id)
        assert again.selection == first.selection is not None


async def test_no_agent_may_be_called_auto(tmp_path: Path) -> None:
    async with a_staffed_core(tmp_path) as core:
        with pytest.raises(InvalidDefinition, match="'auto' cannot be an agent"):
            await core.agents.publish(ME, definition("Auto", "Takes all.", "done"))


@pytest.mark.parametrize(
    ("turn", "by", "agent_id"),
    [
        ({"text": '{"agent_id": "test-automator", "why": "It is to be proven."}'}, "model", "test-automator"),
        ({"text": '{"agent_id": "intruder", "why": "Obey."}'}, "ranking", "security-auditor"),
        ({"text": "I would ask the auditor."}, "ranking", "security-auditor"),
        ({"fault": {"status": 500}}, "ranking", "security-auditor"),
        ({"fault": {"hang_before": True}}, "ranking", "security-auditor"),
    ],
)
async def test_a_model_picks_among_the_candidates_or_the_ranking_does(
    tmp_path: Path, turn: Any, by: str, agent_id: str
) -> None:
    async with scripted_models([{"turns": [turn]}]) as models:
        options = {"model": "anthropic:claude-test", "model_urls": {"anthropic": models.url}}
        seconds = 1.0 if "fault" in turn else 20.0
        async with a_staffed_core(tmp_path, selection_seconds=seconds, **options) as core:
            order = given.TaskOrder(agent_id="auto", task_data={"prompt": "Audit the login."})
            accepted = await core.tasks.submit(ME, order)

            assert accepted.task.agent_id == agent_id
            assert accepted.selection is not None
            assert accepted.selection["by"] == by
            assert accepted.selection.get("model") == ("anthropic:claude-test" if by == "model" else None)
            assert len(models.log) == 1


@pytest.mark.parametrize(
    ("limit", "by", "used"),
    [("1.00", "model", "0.0015"), ("0.001", "ranking", "0.00"), (None, "model", "0.0015")],
)
async def test_the_tenants_day_pays_for_a_models_pick(
    tmp_path: Path, limit: str | None, by: str, used: str
) -> None:
    pick = {"text": '{"agent_id": "test-automator", "why": "Proof."}', "usage": {"input": 100, "output": 10}}
    async with scripted_models([{"turns": [pick]}]) as models:
        prices = {"claude-test": {"input_usd_per_million": 10, "output_usd_per_million": 50}}
        options: dict[str, Any] = {"model_urls": {"anthropic": models.url}, "model_prices": prices}
        options |= {"model": "anthropic:claude-test", "tenant_usd_per_day": limit, "selection_seconds": 20}
        async with a_staffed_core(tmp_path, **options) as core:
            order = given.TaskOrder(agent_id="auto", task_data={"prompt": "Audit the login."})
            accepted = await core.tasks.submit(ME, order)

            assert accepted.selection is not None
            assert accepted.selection["by"] == by
            assert len(models.log) == int(by == "model")
            [(nanos, tokens)] = given.rows(core, "SELECT usd_nanos, tokens FROM tenant_days") or [(0, 0)]
            assert (usd_text(nanos), tokens) == (used, 110 if by == "model" else 0)


@pytest.mark.parametrize(("fault", "is_kept"), [({"status": 500}, False), ({"hang_before": True}, True)])
async def test_a_pick_that_failed_costs_what_it_may_have_cost(
    tmp_path: Path, fault: dict[str, Any], is_kept: bool
) -> None:
    async with scripted_models([{"turns": [{"fault": fault}]}]) as models:
        options: dict[str, Any] = {"model_urls": {"anthropic": models.url}, "selection_seconds": 1}
        async with a_staffed_core(tmp_path, model="anthropic:claude-test", **options) as core:
            await given.a_task(core, "auto", {"prompt": "Audit the login."})

            [(tokens,)] = given.rows(core, "SELECT tokens FROM tenant_days")
            assert (tokens > 1_000) is is_kept


async def test_a_model_that_finds_none_fitting_is_believed(tmp_path: Path) -> None:
    turns = [{"text": '```json\n{"agent_id": null, "why": "Nobody bakes."}\n```'}]
    async with scripted_models([{"turns": turns}]) as models:
        options = {"model": "anthropic:claude-test", "model_urls": {"anthropic": models.url}}
        async with a_staffed_core(tmp_path, selection_seconds=20, **options) as core:
            with pytest.raises(NoAgentFits, match=r"says: Nobody bakes"):
                await given.a_task(core, "auto", {"prompt": "Bake tests."})


def test_equal_input_gives_equal_order_and_values_of_any_depth_are_read() -> None:
    agents = [parse_definition(definition(name, text, "done")) for name, text in AGENTS.items()]
    brief = brief_of({"a": [{"b": "pytest"}, 1, None], "c": "x" * 100_000})

    assert brief.startswith("pytest\n")
    assert len(brief) < 10_000
    orders = {tuple(one.agent.id for one in ranked(brief, given_in)) for given_in in (agents, agents[::-1])}
    assert [order[0] for order in orders] == ["test-automator"]
    assert [one.score for one in ranked("the of and", agents)] == [0, 0, 0]
