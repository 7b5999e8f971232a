"""Policies: how they are read, what is refused, and which rule wins."""

import pytest

from chargehand.domain.agent import parse_definition
from chargehand.domain.policy import Action, Call, Policy, PolicyRule, judge, rules_for
from chargehand.domain.policy_file import read_policy
from chargehand.domain.values import JsonObject
from chargehand.errors import InvalidDefinition, InvalidInput
from tests.given import a_definition


def action(policy: str, tool: str, arguments: JsonObject | None = None, *, risk: str = "write") -> Action:
    call = Call(tool=tool, arguments=arguments or {}, risk=risk, agent_id="writer")
    return judge(rules_for(Policy(rules=read_policy(policy, origin="test")), (), "writer"), call).action


@pytest.mark.parametrize(
    ("rule", "tool", "arguments", "fits"),
    [
        ("Write", "Write", {}, True),
        ("Write", "Edit", {}, False),
        ("*", "Anything", {}, True),
        ("Write(deploy/**)", "Write", {"file_path": "deploy/a/b"}, True),
        ("Write(deploy/**)", "Write", {"file_path": "./x/../deploy//a"}, True),
        ("Write(deploy/**)", "Write", {"file_path": "DEPLOY/a"}, True),
        ("Write(deploy/**)", "Edit", {"file_path": "deploy/a"}, True),
        ("Write(deploy/**)", "Write", {"file_path": "src/deploy.py"}, False),
        ("Write(deploy/**)", "Write", {"file_path": "/workspace/deploy/a"}, True),
        ("Write(deploy/**)", "Write", {"file_path": "../deploy/a"}, True),
        ("Write(deploy/**)", "Write", {}, True),
        ("Read(.env)", "Read", {"file_path": "a/.env"}, True),
        ("Read(**/*.pem)", "Read", {"file_path": "key.pem"}, True),
        ("WebFetch", "WebFetch", {"url": "https://a.example"}, True),
        ("WebFetch(domain:a.example)", "WebFetch", {"url": "https://A.example:8443/x"}, True),
        ("WebFetch(domain:a.example)", "WebFetch", {"url": "https://b.example/a.example"}, False),
        ("WebFetch(domain:*.example)", "WebFetch", {"url": "https://b.example/"}, True),
        ("WebFetch(domain:a.example)", "WebFetch", {"url": "https://a.example./"}, True),
        ("WebFetch(https://a.example/*)", "WebFetch", {"url": "HTTPS://A.example/x"}, True),
        ("mcp__git__*", "mcp__git__push", {}, True),
        ("mcp__git", "mcp__git__push", {}, True),
        ("mcp__git__do.push", "mcp__git__do_push", {}, True),
        ("mcp__git", "mcp__github__push", {}, False),
        ("mcp__git__push", "mcp__git__push", {}, True),
        ("Task(helper)", "Agent", {"subagent_type": "helper"}, True),
        ("Agent(helper)", "Agent", {"subagent_type": "other"}, False),
        ("Agent", "Agent", {"subagent_type": "other"}, True),
    ],
)
def test_a_rule_speaks_of_the_calls_that_it_names(
    rule: str, tool: str, arguments: JsonObject, fits: bool
) -> None:
    found = action(f"- {{tool: '{rule}', action: deny}}", tool, arguments)

    assert found is (Action.DENY if fits else Action.ALLOW)


def test_the_strictest_wins_and_a_rule_by_tool_goes_before_one_by_risk() -> None:
    assert action("- {tool: Write, action: allow}\n- {tool: Write, action: ask}", "Write") is Action.ASK
    assert action("- {tool: Write, action: ask}\n- {tool: Write, action: deny}", "Write") is Action.DENY
    by_risk = "- {risk: network, action: ask}\n- {tool: WebFetch, action: allow}"
    assert action(by_risk, "WebFetch", risk="network") is Action.ALLOW
    assert action(by_risk, "mcp__a__b", risk="network") is Action.ASK
    assert (
        action("- {risk: network, action: deny}\n- {tool: A, action: allow}", "A", risk="network")
        is Action.DENY
    )
    assert action("- {tool: Write, action: deny, agent: other}", "Write") is Action.ALLOW


def test_of_two_sources_neither_loosens_the_other() -> None:
    ask, allow = (PolicyRule(action=one, tool="Write") for one in (Action.ASK, Action.ALLOW))
    call = Call(tool="Write", arguments={}, risk="write", agent_id="writer")

    assert judge([[ask], [allow]], call).action is Action.ASK
    assert judge([[allow], [ask]], call).action is Action.ASK


def test_silence_approves_only_when_every_rule_that_asks_says_so() -> None:
    rules = [PolicyRule(action=Action.ASK, tool="Write", default=one) for one in ("approve", "deny", None)]
    call = Call(tool="Write", arguments={}, risk="write", agent_id="writer")

    assert judge([rules[:1]], call).default == "approve"
    assert judge([rules[:1], rules[1:2]], call).default == "deny"
    assert judge([rules[:1], rules[2:]], call).default is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tool: Bash", "is not a list of rules"),
        ("- Bash", r"policy\[0\]: is not a block"),
        (
            "- {tool: Bash, acton: deny, action: deny}",
            r"policy\[0\].acton: is not a known key \(did you mean 'action'",
        ),
        ("- {tool: Bash, action: forbid}", r"action: cannot be 'forbid' \(one of: allow, ask, deny\)"),
        ("- {tool: Bash}", "action: is missing"),
        ("- {action: deny}", "says either `tool` or `risk`"),
        ("- {tool: Bash, risk: execute, action: deny}", "says either `tool` or `risk`"),
        ("- {risk: danger, action: deny}", "cannot be 'danger'"),
        ("- {tool: Bsah, action: deny}", "there is no tool 'Bsah' .did you mean 'Bash'"),
        ("- {tool: 'Bash(rm', action: deny}", "names no tool"),
        ("- {tool: 'B*', action: deny}", "only mcp__server__. takes a star"),
        ("- {tool: Bash, action: deny, default: deny}", "belongs to a rule whose action is ask"),
        ("- {tool: Bash, action: ask, default: maybe}", "cannot be 'maybe'"),
        ("- {tool: Bash, action: ask, reason: [1]}", "is not a text"),
        ("- {tool: [", "no YAML in line"),
    ],
)
def test_a_policy_that_cannot_be_read_is_refused_with_its_place(text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        read_policy(text, origin="policy.yaml")


def test_an_empty_policy_is_one() -> None:
    assert read_policy("", origin="x") == read_policy("[]", origin="x") == ()


def test_a_definitions_policy_is_read_and_refused_with_its_line() -> None:
    rules = [{"tool": "Bash(git push:*)", "action": "ask", "reason": "it is public"}]
    block = parse_definition(a_definition("writer", policy=rules)).block
    assert str(block.policy[0]) == "its definition: ask Bash(git push:*) (it is public)"

    with pytest.raises(InvalidDefinition, match="agent: is not a known key"):
        parse_definition(a_definition("writer", policy=[{**rules[0], "agent": "other"}]))


def test_each_fault_of_a_policy_has_its_line_and_a_key_that_stands_twice_is_one() -> None:
    text = "- tool: Read\n  action: perhaps\n\n- tool: Bash\n  action: deny\n  action: allow\n"

    with pytest.raises(InvalidInput) as refused:
        read_policy(text, origin="policy.yaml")

    assert {(one.line, one.where) for one in refused.value.findings} == {
        (2, "policy[0].action"),
        (6, "policy[1].action"),
    }
    assert "stands twice in one rule" in str(refused.value.findings)
