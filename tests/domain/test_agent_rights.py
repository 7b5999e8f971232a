"""A definition that had to be repaired, or has a slip in a key, never gets more tools in silence."""

import pytest

from chargehand.domain.agent import TOOL_NAMES, AgentDefinition, parse_definition
from chargehand.errors import InvalidDefinition


def definition(front: str) -> str:
    return f"---\nname: a\n{front}\n---\nBody.\n"


def told(agent: AgentDefinition, where: str) -> str:
    return "\n".join(str(one) for one in agent.findings if one.where == where)


@pytest.mark.parametrize(
    ("front", "tools"),
    [
        ("description: d: x\n tools: Read", ("Read",)),
        ("description: d: x\n\ttools: Read", ("Read",)),
        ("description: d: x\n   tools: [Read, Grep]\nmodel: opus", ("Read", "Grep")),
        ("description: d: x\n tools:\n   - Read\n   - Grep", ("Read", "Grep")),
        ("description: d: x\n tools:\n- Read", ("Read",)),
        ("description: d: x\ntool: Read", ("Read",)),
        ("description: d: x\nTools : Read", ("Read",)),
        ("description: d: x\n\"tools\": Read, Bash", ("Read", "Bash")),
        ("description: d: x\nallowed_tools:\n  - Grep", ("Grep",)),
        ("description: d: x\n        tools: Read", ("Read",)),
        ("description: >\n  d: x\n tools: Read", ("Read",)),
        ("description: d: x\n  tools: Bash\ntools: Read", ("Read",)),
        ("description: d: x\ntools: Read\n  tools: Bash", ("Read",)),
    ],
)  # fmt: skip
def test_tools_that_a_repair_would_swallow_are_taken(front: str, tools: tuple[str, ...]) -> None:
    assert parse_definition(definition(front)).tools == tools


def test_tools_that_a_repair_would_swallow_are_denied() -> None:
    agent = parse_definition(definition("description: d: x\ntools: Read, Bash\n disallowed-tools: Bash"))

    assert agent.tools == ("Read",)
    assert "taken from a line like it" in told(agent, "disallowedTools")


def test_a_slip_before_another_key_does_not_hide_it_but_what_a_block_holds_stays_in_it() -> None:
    slipped = parse_definition(definition("description: d: x\n tools: Read\n model: opus"))
    nested = parse_definition(definition("description: d: x\nmetadata:\n  model: opus\ntools: Read"))

    assert (slipped.description, slipped.tools, slipped.wishes.model) == ("d: x", ("Read",), "opus")
    assert nested.wishes.model is None


def test_lines_that_say_different_things_are_refused_and_give_nothing_once_registered() -> None:
    text = definition("description: d: x\ntool: Read\ntool: Bash")

    with pytest.raises(InvalidDefinition, match="lines 4, 5 say different things") as caught:
        parse_definition(text)
    assert caught.value.findings[0].line == 4
    assert parse_definition(text, is_registered=True).tools == ()


def test_a_swallowed_line_of_unknown_tools_is_refused() -> None:
    with pytest.raises(InvalidDefinition, match="there is no tool 'of many kinds'"):
        parse_definition(definition("description: d: x\n tool: of many kinds"))


def test_a_repaired_definition_without_tools_is_told_that_it_gets_all() -> None:
    agent = parse_definition(definition("description: d: x"))

    assert agent.tools == TOOL_NAMES
    assert "was not found: it gets all tools" in told(agent, "tools")


@pytest.mark.parametrize("key", ["tool", "Tools", "tols", "TOOLS", "allowed_tools"])
def test_a_key_that_is_nearly_tools_is_told(key: str) -> None:
    agent = parse_definition(definition(f"description: d\n{key}: Read"))

    assert agent.tools == TOOL_NAMES
    assert "there is no `tools`: it gets all tools" in told(agent, key)
    assert [one.line for one in agent.findings] == [4]


def test_a_key_that_is_nearly_disallowed_tools_and_empty_tools_are_told() -> None:
    agent = parse_definition(definition("description: d\ntools:\ndisallowed_tools: Bash"))

    assert "is empty: it gets all tools" in told(agent, "tools")
    assert "denies nothing" in told(agent, "disallowed_tools")


@pytest.mark.parametrize("front", ["tools: Read\ntool: Bash", "skills: x", "tools: []", "toolkit: big"])
def test_what_is_in_order_or_far_from_it_is_not_told(front: str) -> None:
    agent = parse_definition(definition(f"description: d\n{front}"))

    assert not any("gets all" in one.message for one in agent.findings)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("Raed", r"\(did you mean Read\?\)"),
        ("webfetsh", r"\(did you mean WebFetch\?\)"),
        ("AskUserQuestions", r"\(did you mean AskUserQuestion\?\)"),
        ("docker", r"\(one of: Read, .*TodoWrite, Agent, AskUserQuestion, Skill, WebFetch\)"),
    ],
)
def test_a_tool_that_nobody_knows_is_told_with_what_may_be_meant(written: str, hint: str) -> None:
    with pytest.raises(InvalidDefinition, match=hint):
        parse_definition(definition(f"description: d\ntools: {written}"))
