"""Whom a model may name when it hands work out: ids, short names, names in the file; what it is told of them."""

from pathlib import Path
from typing import Any

import pytest

from chargehand.domain.agent import AgentDefinition, parse_definition
from chargehand.domain.agent_names import id_called, ids_called, rules_by_id
from chargehand.domain.agent_tools import ToolRule
from chargehand.domain.values import JsonObject
from chargehand.errors import InvalidInput
from chargehand.runtimes.model_delegation import MAX_DESCRIPTION, delegation_tool
from tests import given
from tests.given import ME
from tests.runtimes.test_approvals import YES, asked, asking
from tests.runtimes.test_model import a_modelled_core

IDS = ["wild.one.code-reviewer", "wild.one.tester", "wild.two.tester"]


def leader(tools: str = "Agent", delegates: str = ", ".join(IDS), more: str = "") -> str:
    block = f"chargehand:\n  delegates: [{delegates}]\n"
    return f"---\nname: lead\ndescription: Leads.\ntools: {tools}\n{more}{block}---\nYou lead.\n"


def worker(name: str, description: str = "Does a part.") -> str:
    return f"---\nname: {name}\ndescription: {description}\ntools: Read\n---\nYou work.\n"


def registered(**workers: str) -> dict[str, AgentDefinition]:
    return {
        agent_id: parse_definition(worker(name), agent_id=agent_id)
        for agent_id, name in zip(IDS, workers.values(), strict=False)
    }


def order(agent: str) -> JsonObject:
    return {"name": "Agent", "arguments": {"prompt": "Part.", "subagent_type": agent}}


async def run(tmp_path: Path, lead: str, *called: str) -> tuple[list[Any], list[str]]:
    """The children's agents, and what the model was told of the calls that were refused."""
    script: list[dict[str, Any]] = [
        {
            "match": {"system_contains": "You lead"},
            "turns": [{"calls": [order(one) for one in called]}, {"text": "Done."}],
        },
        {"match": {"system_contains": "You work"}, "turns": [{"text": "My part."}]},
    ]
    async with a_modelled_core(tmp_path, script) as (core, _):
        await core.agents.publish(ME, lead)
        await core.agents.publish(ME, worker("Code Reviewer"), agent_id=IDS[0])
        for agent_id in IDS[1:]:
            await core.agents.publish(ME, worker("tester"), agent_id=agent_id)
        ended = await given.ended(core, await given.a_task(core, "lead", {"prompt": "Lead."}))
        assert ended.status == "completed", ended.error
        children = given.rows(
            core, "SELECT agent_id FROM agent_tasks WHERE parent_id = ? ORDER BY id", ended.id
        )
        told = given.rows(
            core, "SELECT result FROM task_steps WHERE kind = 'tool' AND task_id = ? ORDER BY path", ended.id
        )
    return [one[0] for one in children], [str(one[0]) for one in told]


async def test_a_short_name_and_the_name_in_the_file_mean_the_delegate(tmp_path: Path) -> None:
    children, refused = await run(tmp_path, leader(), IDS[0], "code-reviewer", "Code Reviewer")

    assert (children, refused) == ([IDS[0]] * 3, [])


async def test_a_short_name_of_two_is_refused_with_their_ids(tmp_path: Path) -> None:
    children, refused = await run(tmp_path, leader(), "tester", IDS[2])

    assert children == [IDS[2]]
    assert len(refused) == 1
    assert "'tester' may be wild.one.tester, wild.two.tester: say which, by its id" in refused[0]


async def test_a_denial_by_short_name_or_by_id_holds_for_every_name(tmp_path: Path) -> None:
    for denied in ("code-reviewer", IDS[0]):
        lead = leader(more=f"disallowedTools: Agent({denied})\n")
        children, refused = await run(tmp_path / denied, lead, IDS[0], "code-reviewer", "code reviewer")

        assert children == []
        assert ["the definition denies" in one for one in refused] == [True] * 3


async def test_a_list_of_short_names_in_tools_allows_those_and_no_others(tmp_path: Path) -> None:
    children, refused = await run(tmp_path, leader("Agent(code-reviewer)"), "code-reviewer", IDS[1])

    assert children == [IDS[0]]
    assert ["the definition allows only" in one for one in refused] == [True]


def test_the_tool_lists_each_delegate_with_its_description() -> None:
    known = registered(reviewer="Code Reviewer", tester="tester")
    long = parse_definition(worker("tester", "Tests. " * 100), agent_id=IDS[1])
    tool = delegation_tool(parse_definition(leader()), {**known, IDS[1]: long})

    assert tool is not None
    lines = (tool.description or "").split("\n")
    assert f"- {IDS[0]} (or code-reviewer): Does a part." in lines
    assert f"- {IDS[2]}: (is not registered)" in lines
    assert next(one for one in lines if one.startswith(f"- {IDS[1]}")).endswith("…")
    assert all(len(one) < MAX_DESCRIPTION + 100 for one in lines[1:])
    assert tool.parameters_json_schema["properties"]["subagent_type"]["enum"] == [*IDS, "code-reviewer"]


def test_many_delegates_are_told_up_to_a_number() -> None:
    many = ", ".join(f"a{number}" for number in range(130))
    tool = delegation_tool(parse_definition(leader(delegates=many)), {})

    assert tool is not None
    assert (tool.description or "").endswith("- and 30 more")


def test_an_id_means_that_agent_whatever_others_are_called() -> None:
    assert ids_called("b", ["a.b", "b"], {"a.b": "b"}) == ["b"]
    assert id_called("nobody", ["a.b"], {}) == "nobody"
    with pytest.raises(InvalidInput, match=r"'b' may be a\.b, c\.b"):
        id_called("b", ["a.b", "c.b"], {})


def test_only_rules_about_delegation_are_widened_to_ids() -> None:
    rules = [ToolRule(tool="Delegate", pattern="b"), ToolRule(tool="Bash", pattern="b")]

    assert [one.pattern for one in rules_by_id(rules, ["a.b"], {})] == ["b, a.b", "b"]


async def test_what_a_name_meant_before_a_wait_it_means_afterwards(tmp_path: Path) -> None:
    turns = [{"calls": [order("helper")]}, {"text": "Done."}]
    definition = leader(delegates=f"{IDS[0]}, {IDS[1]}").replace("name: lead", "name: writer")
    policy = f"- tool: Agent({IDS[0]})\n  action: ask\n"
    async with asking(tmp_path, turns=turns, policy=policy, definition=definition) as core:
        await core.agents.publish(ME, worker("helper"), agent_id=IDS[0])
        await core.agents.publish(ME, worker("tester"), agent_id=IDS[1])
        _, approval = await asked(core)
        await core.agents.publish(ME, worker("renamed"), agent_id=IDS[0])
        await core.agents.publish(ME, worker("helper"), agent_id=IDS[1])

        await core.approvals.decide(ME, approval.id, YES)

        task = await given.ended(core, (await core.watch.get(ME, approval.task_id)))
        assert task.status == "completed", task.error
        children = given.rows(core, "SELECT agent_id FROM agent_tasks WHERE parent_id = ?", task.id)
        assert children == [(IDS[0],)]
