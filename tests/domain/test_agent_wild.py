"""Definitions from the wild, one at a time: what is repaired, what is mapped, what is only suggested."""

import pytest

from chargehand.domain.agent import parse_definition
from chargehand.domain.agent_conventions import delegates_suggested, deliverables_suggested
from chargehand.domain.agent_formats import Format
from chargehand.domain.agent_repair import decode
from chargehand.domain.agent_tools import ToolRule
from chargehand.errors import InvalidDefinition

BODY = """You lead.

## When to delegate
- `code-reviewer`: for reviews
- **Test Writer** is no slug
- ask sql-tuner about slow queries

## Notes
- not-an-agent

Deliverables:
1. **Report**: what was found
2. A plan - in three steps
"""


def definition(*front: str, body: str = "body\n") -> str:
    return "---\nname: a\ndescription: d\n" + "".join(f"{line}\n" for line in front) + f"---\n{body}"


def test_patterns_are_kept_and_it_is_told_that_they_narrow_nothing_yet() -> None:
    agent = parse_definition(definition("tools: Bash(git:*), mcp__hub__find"))

    assert (agent.tools, agent.mcp_tools) == (("Bash",), ("mcp__hub__find",))
    assert agent.tool_rules == (ToolRule(tool="Bash", pattern="git:*"),)
    assert "narrows what a model may call" in agent.findings[0].message


def test_a_tool_that_is_disallowed_is_not_given_and_a_pattern_of_it_is_kept() -> None:
    agent = parse_definition(definition("tools: Read, Write, Bash", "disallowedTools: [Write, 'Bash(rm:*)']"))

    assert agent.tools == ("Read", "Bash")
    assert agent.denied_rules == (ToolRule(tool="Bash", pattern="rm:*"),)


def test_whoever_may_not_edit_may_not_make_several_edits_either() -> None:
    assert parse_definition(definition("tools: Read, MultiEdit", "disallowedTools: Edit")).tools == ("Read",)


def test_wishes_are_read_into_fields() -> None:
    wishes = parse_definition(
        definition(
            "model: [one, two]", "maxTurns: '7'", "skills: x, y", "mcpServers: [a, {b: {}}]", "isolation: worktree",
            "background: yes", "effort: low", "permissionMode: plan",
        )
    ).wishes  # fmt: skip

    assert (wishes.model, wishes.max_turns, wishes.skills) == ("one", 7, ("x", "y"))
    assert (wishes.mcp_servers, wishes.isolation, wishes.background) == (("a", "b"), "worktree", True)
    assert (wishes.effort, wishes.permission_mode) == ("low", "plan")


def test_wrongly_decoded_text_is_repaired_and_good_text_beside_it_is_not_touched() -> None:
    broken = "It\u2019s caf\u00e9".encode().decode("cp1252")
    good = "Gr\u00fc\u00dfe \u201cso\u201d \u2192 \u2705"
    agent = parse_definition(definition(body=f"{broken}\n{good}\n"))

    assert agent.body == f"It\u2019s caf\u00e9\n{good}\n"
    assert [finding.line for finding in agent.findings] == [5]
    assert broken in agent.source


def test_a_file_without_a_name_gets_that_of_the_file_or_of_the_id() -> None:
    text = "---\ndescription: d\n---\nbody\n"

    assert parse_definition(text, path="x/.github/agents/plan.agent.md").id == "plan"
    assert parse_definition(text, agent_id="given").name == "given"
    with pytest.raises(InvalidDefinition, match="name: is missing"):
        parse_definition(text)


@pytest.mark.parametrize(
    ("path", "front", "format_"),
    [
        ("a.agent.md", "color: red", Format.COPILOT),
        (".opencode/agent/a.md", "color: red", Format.OPENCODE),
        (None, "permission: {edit: deny}", Format.OPENCODE),
        (".gemini/agents/a.md", "kind: local", Format.GEMINI),
        (".cursor/agents/a.md", "color: red", Format.CURSOR),
        (None, "readonly: true", Format.CURSOR),
        (None, "color: red", Format.CLAUDE),
    ],
)
def test_formats_are_told_apart(path: str | None, front: str, format_: Format) -> None:
    assert parse_definition(definition(front), path=path).format is format_


def test_what_may_not_be_edited_is_not_given_the_tools_that_edit() -> None:
    agent = parse_definition(definition("permission: {edit: deny, bash: ask}"))

    kept = ("Read", "Glob", "Grep", "Bash", "BashOutput", "KillShell", "TodoWrite", "Delegate")
    assert agent.tools == kept


@pytest.mark.parametrize("text", ["developer_instructions = [", 'developer_instructions = ""\nname = "a"'])
def test_a_codex_file_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(text)

    assert caught.value.findings[0].line == 1


def test_many_comments_before_the_front_matter_cost_no_time() -> None:
    with pytest.raises(InvalidDefinition, match="lacks"):
        parse_definition("<!-- a --> " * 5000 + "text")


def test_bytes_are_text_in_one_of_three_encodings() -> None:
    assert decode("\ufeffä".encode("utf-16-le"), "it")[0] == "ä"
    with pytest.raises(InvalidDefinition, match="is no text"):
        decode(b"\x81\xff", "it")


def test_what_the_body_suggests_is_found_under_its_headings() -> None:
    assert delegates_suggested(BODY) == ("code-reviewer", "sql-tuner")
    assert deliverables_suggested(BODY) == ("Report", "A plan")
