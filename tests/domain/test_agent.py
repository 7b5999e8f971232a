"""Definitions: what a file says, and every way in which it can be wrong, told with its line."""

from pathlib import Path

import pytest

from chargehand.domain.agent import MAX_DEFINITION_BYTES, TOOL_NAMES, RuntimeKind, parse_definition, slug_of
from chargehand.domain.budget import Budget
from chargehand.domain.deliverable import Check, Promise
from chargehand.errors import InvalidDefinition

PLAIN = """---
name: Code Reviewer
description: Reviews code.
tools: Read, Grep, Task
model: sonnet
---
You review code.
"""

FULL = """---
name: builder
description: Builds.
tools: [Read, Write]
chargehand:
  runtime: playbook
  playbook: build
  delegates: [tester]
  deliverables:
    - name: report
      path: out/report.json
      description: What was found.
      checks:
        - json: true
        - name: tests pass
          run: pytest -q
          timeout_seconds: 30
        - contains: done
  repair_rounds: 2
  attempts: 3
  retry_seconds: 0.5
  timeout_seconds: 60
  budget: {steps: 10, children: 2, depth: 1, wall_seconds: 90}
---
You build.
"""


def with_block(*lines: str) -> str:
    block = "".join(f"  {line}\n" for line in lines)
    return f"---\nname: a\ndescription: d\ntools: Read\nchargehand:\n{block}---\nbody\n"


def test_a_claude_code_definition_is_an_agent_run_by_a_model() -> None:
    agent = parse_definition(PLAIN)

    assert (agent.id, agent.name, agent.description) == ("code-reviewer", "Code Reviewer", "Reviews code.")
    assert agent.tools == ("Read", "Grep", "Delegate")
    assert agent.runtime is RuntimeKind.MODEL
    assert agent.extra == {"model": "sonnet"}
    assert agent.body == "You review code.\n"


def test_the_block_says_what_the_format_does_not_know() -> None:
    block = parse_definition(FULL).block

    assert (block.runtime, block.entry, block.delegates) == ("playbook", "build", ("tester",))
    assert (block.repair_rounds, block.attempts, block.retry_seconds, block.timeout_seconds) == (
        2,
        3,
        0.5,
        60.0,
    )
    assert block.budget == Budget(steps=10, children=2, depth=1, wall_seconds=90.0)
    assert block.deliverables == (
        Promise(
            name="report",
            path="out/report.json",
            description="What was found.",
            checks=(
                Check(name="is JSON", json=True),
                Check(name="tests pass", run="pytest -q", timeout_seconds=30.0),
                Check(name="done", contains="done"),
            ),
        ),
    )


def test_equal_text_is_the_same_version_and_an_edit_is_another() -> None:
    assert parse_definition(PLAIN).version == parse_definition(PLAIN).version
    assert parse_definition(PLAIN).version != parse_definition(PLAIN + "More.\n").version


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    assert parse_definition("\ufeff" + PLAIN.replace("\n", "\r\n")).version == parse_definition(PLAIN).version


@pytest.mark.parametrize("tools", ["tools: '*'\n", ""])
def test_without_a_list_an_agent_has_all_tools(tools: str) -> None:
    agent = parse_definition(f"---\nname: a\ndescription: d\n{tools}---\nbody\n")

    assert agent.tools == TOOL_NAMES


def test_an_id_can_be_given_apart_from_the_name() -> None:
    assert parse_definition(PLAIN, agent_id="other").id == "other"


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Code Reviewer", "code-reviewer"), ("  A  B ", "a-b"), ("x/../y", "x-..-y"), ("v1.2_b", "v1.2_b")],
)
def test_names_become_ids(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks front matter between two lines of ---"),
        ("no front matter", "lacks front matter"),
        ("---\nname: a\n", "lacks its closing ---"),
        ("---\nname: [\n---\nbody\n", "line 2: name: '' cannot be an agent id"),
        ("---\nnom: a: b\n---\nbody\n", r"line 2: front matter: .* \(quote a value"),
        ("\n\n---\nname: a\nchargehand: what: ever\n---\nbody\n", "line 5: front matter"),
        ("---\n- a\n- b\n---\nbody\n", "line 2: front matter: is not a list of `key: value` lines"),
        ("---\ndescription: d\n---\nbody\n", "name: is missing"),
        ("---\nname: [7]\ndescription: d\n---\nbody\n", "name: is not text"),
        ("---\nname: '!!!'\ndescription: d\n---\nbody\n", "'' cannot be an agent id"),
        ("---\nname: a\ndescription: d\n---\n \n", "body: is empty"),
        ("---\nname: a\ndescription: d\ntools: 7\n---\nbody\n", "tools: is neither text nor a list"),
        ("---\nname: a\ndescription: d\ntools: Raed\n---\nbody\n", "there is no tool 'Raed'"),
        ("---\nname: a\ndescription: d\nchargehand: yes\n---\nbody\n", "chargehand: is not a block"),
        (
            with_block("delivrables: []"),
            r"chargehand.delivrables: is not a known key \(did you mean 'deliverables'",
        ),
        (with_block("runtime: magic"), "chargehand.runtime: cannot be 'magic'"),
        (with_block("runtime: playbook"), "chargehand.playbook: is missing"),
        (with_block("runtime: function"), "chargehand.function: is missing"),
        (with_block("runtime: command"), "chargehand.command: is missing"),
        (with_block("runtime: command", "command: [1]"), "chargehand.command: is not a list of texts"),
        (with_block("delegates: {a: b}"), "chargehand.delegates: is not a list of texts"),
        (with_block("attempts: 0"), "chargehand.attempts: is not a number from 1 to 20"),
        (with_block("attempts: true"), "chargehand.attempts: is not a number"),
        (with_block("timeout_seconds: .nan"), "chargehand.timeout_seconds: is not a number"),
        (with_block("repair_rounds: 6"), "chargehand.repair_rounds: is not a number from 0 to 5"),
        (with_block("repair_rounds: 1.5"), "chargehand.repair_rounds: is not a whole number"),
        (with_block("budget: 7"), "chargehand.budget: is not a block"),
        (with_block("budget: {steps: -1}"), "chargehand.budget: budget.steps is greater than zero"),
        (with_block("deliverables: {}"), "chargehand.deliverables: is not a list"),
        (with_block("deliverables: [7]"), r"deliverables\[0\]: is not a block"),
        (with_block("deliverables: [{path: a}]"), r"deliverables\[0\].name: is missing"),
        (with_block("deliverables: [{name: a}]"), r"deliverables\[0\].path: is missing"),
        (
            with_block("deliverables: [{name: a, path: ../b}]"),
            r"deliverables\[0\].path: .*leaves the workspace",
        ),
        (with_block("deliverables: [{name: a, path: /b}]"), r"deliverables\[0\].path"),
        (
            with_block("deliverables: [{name: a, path: b}, {name: a, path: c}]"),
            "two deliverables are named 'a'",
        ),
        (
            with_block("deliverables: [{name: a, path: b, checks: [{}]}]"),
            r"checks\[0\].run: exactly one of run, json, contains",
        ),
        (
            with_block("deliverables: [{name: a, path: b, checks: [{run: x, json: true}]}]"),
            "exactly one of run, json, contains",
        ),
        (with_block("deliverables: [{name: a, path: b, checks: [{runs: x}]}]"), "did you mean 'run'"),
        (
            with_block("deliverables: [{name: a, path: b, checks: 7}]"),
            r"deliverables\[0\].checks: is not a list",
        ),
    ],
)
def test_what_is_wrong_with_a_definition_is_named(text: str, said: str) -> None:
    with pytest.raises(InvalidDefinition, match=said):
        parse_definition(text)


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = "---\nname: [7]\ntools: Raed, Wirte\n---\n\n"

    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(text, origin="agents/bad.md")

    assert "agents/bad.md cannot be registered" in str(caught.value)
    assert [finding.where for finding in caught.value.findings] == [
        "name",
        "tools",
        "tools",
        "body",
    ]


def test_a_definition_has_an_upper_size() -> None:
    with pytest.raises(InvalidDefinition, match="larger than 256 KiB"):
        parse_definition(PLAIN + "x" * MAX_DEFINITION_BYTES)


def test_keys_of_other_products_are_kept_and_not_judged(tmp_path: Path) -> None:
    del tmp_path
    agent = parse_definition("---\nname: a\ndescription: d\ncolor: blue\nhooks: {x: [1]}\n---\nbody\n")

    assert agent.extra == {"color": "blue", "hooks": {"x": [1]}}
