"""A delegation is held against the rights of whoever submitted the tree: their agents, and one step from these."""

from collections.abc import AsyncGenerator
from importlib import resources
from pathlib import Path

import pytest

from chargehand.app.core import Core
from chargehand.domain.access import DEFAULT_TENANT, OF_AGENTS, Principal, Scope
from chargehand.domain.agent import parse_definition
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.rights import delegation_refusal, rights_of
from chargehand.domain.task import Task, TaskOrder
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import Forbidden
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from tests import given
from tests.given import ME
from tests.runtimes.test_model import a_modelled_core


def key(*agents: str, scopes: frozenset[Scope] = OF_AGENTS) -> Principal:
    """A key's holder; narrowed, when agents are named."""
    return Principal(
        id="k", tenant=DEFAULT_TENANT, scopes=scopes, agents=frozenset(agents) if agents else None
    )


READER = key(scopes=frozenset({Scope.TASKS_READ}))


@pytest.mark.parametrize(
    ("who", "by", "to", "said"),
    [
        (ME, "lead", "help", None),
        (key(), "lead", "help", None),
        (key("lead"), "lead", "help", None),
        (key("lead"), "help", "lead", None),
        (
            key("lead"),
            "help",
            "lead2",
            "takes tasks:write for 'lead2' or for 'help', .* has it for lead only",
        ),
        (key("lead", "a"), "help", "deep", "has it for a, lead only"),
        (READER, "lead", "help", "handing work to 'help' takes tasks:write"),
    ],
)
def test_rights_reach_their_agents_and_one_step_further(
    who: Principal, by: str, to: str, said: str | None
) -> None:
    refusal = delegation_refusal(rights_of(who), by=by, to=to)

    if said is None:
        assert refusal is None
    else:
        with pytest.raises(Forbidden, match=said):
            raise Forbidden(refusal or "")


def test_a_key_for_the_backend_developer_has_its_whole_crew_at_work() -> None:
    shipped = resources.files("chargehand.crew") / "definitions"
    texts = [one.read_text("utf-8") for one in shipped.iterdir() if one.name.endswith(".md")]
    crew = {one.id: one for one in map(parse_definition, texts)}
    rights = rights_of(key("backend-developer"))
    reached = ["backend-developer"]
    for by in reached:
        fresh = [one for one in crew[by].block.delegates if one not in reached]
        assert [delegation_refusal(rights, by=by, to=one) for one in fresh] == [None] * len(fresh)
        reached += fresh

    assert set(reached) == set(crew)


@pytest.fixture
async def core(tmp_path: Path) -> AsyncGenerator[Core, None]:
    functions = {"lead": dict, "help": dict, "deep": dict}
    async with given.a_core(tmp_path, functions=functions, with_engine=False) as core:
        await given.an_agent(core, "lead", function="lead", delegates=["help"])
        await given.an_agent(core, "help", function="help", delegates=["deep", "lead"])
        yield core


async def hand_out(core: Core, task: Task, *agents: str) -> list[Task]:
    """The children, as a worker claims them."""
    step = core.journal.new_step(task, "0/0", StepKind.DELEGATION, "d", {}, StepStatus.OPEN)
    orders = [Delegation(agent_id=agent_id, task_data={}, labels={}) for agent_id in agents]
    await core.journal.delegate(task, step, orders)
    found = await given.claimed(core)
    return sorted(found.values(), key=lambda one: one.id)


async def a_task_of(core: Core, who: Principal, agent_id: str) -> Task:
    submitted = (await core.tasks.submit(who, TaskOrder(agent_id=agent_id, task_data={}))).task
    return (await given.claimed(core))[submitted.id]


async def test_a_delegation_beyond_the_submitters_reach_is_refused_and_leaves_nothing(core: Core) -> None:
    [child] = await hand_out(core, await a_task_of(core, key("lead"), "lead"), "help")

    with pytest.raises(Forbidden, match=r"'deep' takes tasks:write .* has it for lead only"):
        await hand_out(core, child, "lead", "deep")

    assert await core.watch.children(ME, child.id) == []
    assert await core.watch.steps(ME, child.id) == []
    assert given.rows(core, "SELECT steps_spent FROM agent_tasks WHERE id = ?", child.id) == [(0,)]


@pytest.mark.parametrize("who", [ME, key(), key("lead", "help"), key("lead", "deep")])
async def test_who_reaches_an_agent_has_it_worked_for_at_any_depth(core: Core, who: Principal) -> None:
    [child] = await hand_out(core, await a_task_of(core, who, "lead"), "help")

    [deep] = await hand_out(core, child, "deep")

    assert (deep.agent_id, deep.rights) == ("deep", rights_of(who))


async def test_a_model_is_told_which_right_is_missing(tmp_path: Path) -> None:
    script = [
        {
            "match": {"system_contains": "You are help"},
            "turns": [{"calls": [order("deep")]}, {"text": "Alone."}],
        },
        {
            "match": {"system_contains": "You are lead"},
            "turns": [{"calls": [order("help")]}, {"text": "Led."}],
        },
    ]
    async with a_modelled_core(tmp_path, script) as (core, _):
        for name, delegates in (("lead", ["help"]), ("help", ["deep"]), ("deep", ["deep"])):
            await core.agents.publish(ME, given.a_definition(name, tools="Agent", delegates=delegates))
        accepted = await core.tasks.submit(
            key("lead"), TaskOrder(agent_id="lead", task_data={"prompt": "Go."})
        )
        ended = await given.ended(core, accepted.task)

        assert ended.result == {"text": "Led.", "model": "anthropic:claude-test"}
        assert given.rows(core, "SELECT COUNT(*) FROM agent_tasks WHERE agent_id = 'deep'") == [(0,)]
        [[told]] = given.rows(core, "SELECT result FROM task_steps WHERE kind = 'tool'")
        assert "takes tasks:write for 'deep' or for 'help'" in str(told)
        assert "delegation_refused" in str(told)


def order(agent_id: str) -> JsonObject:
    """What a model says to hand work out."""
    return {"name": "Agent", "arguments": {"prompt": "Go on.", "subagent_type": agent_id}}


async def test_a_playbook_that_reaches_too_far_fails_and_says_why(tmp_path: Path) -> None:
    async def lead(ctx: PlaybookContext) -> JsonValue:
        return [
            one["error"] for one in await ctx.delegate(Delegation(agent_id="help", task_data={}, labels={}))
        ]

    async def help_(ctx: PlaybookContext) -> JsonValue:
        return [
            one["status"] for one in await ctx.delegate(Delegation(agent_id="deep", task_data={}, labels={}))
        ]

    async def deep(ctx: PlaybookContext) -> JsonValue:
        return "reached"

    async with given.a_core(tmp_path, playbooks={"lead": lead, "help": help_, "deep": deep}) as core:
        order = TaskOrder(agent_id="lead", task_data={})
        narrowed, ordinary = [(await core.tasks.submit(who, order)).task for who in (key("lead"), key())]

        assert "takes tasks:write for 'deep'" in str((await given.ended(core, narrowed)).result)
        assert (await given.ended(core, ordinary)).result == [None]
