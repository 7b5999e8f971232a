"""A policy as it is written, by the operator or in a definition: `{tool | risk, agent, action, reason, default}`.

Rule: whatever cannot be read is refused with its place. A rule that is misspelt would protect nothing in silence.
"""

import re
from dataclasses import replace
from difflib import get_close_matches
from typing import cast

import yaml

from chargehand.domain.agent_tools import TOOL_NAMES
from chargehand.domain.front_matter import line_of, note_lines
from chargehand.domain.policy import RISKS, Action, PolicyRule, canonical_tool
from chargehand.domain.values import JsonObject
from chargehand.errors import Finding, InvalidInput

MAX_RULES = 1_000
_KEYS = ("tool", "risk", "agent", "action", "reason", "default")
_KNOWN = (
    *(name for name in TOOL_NAMES if name != "Delegate"),
    "Agent",
    "Task",
    "AskUserQuestion",
    "WebFetch",
    "*",
)
_RULE = re.compile(r"(?P<tool>[A-Za-z_*][\w.:*-]{0,127})(?:\((?P<pattern>.*)\))?", re.DOTALL)


def read_policy(text: str, *, origin: str) -> tuple[PolicyRule, ...]:
    """The operator's rules out of a YAML text. InvalidInput tells every fault at once."""
    findings: list[Finding] = []
    lines: dict[str, int] = {}
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)  # pyright: ignore[reportUnknownMemberType] - no stub
        data: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        place = f" in line {mark.line + 1}" if mark else ""
        raise InvalidInput(f"the policy {origin} is no YAML{place}: write a list of rules") from None
    if tree is not None:
        note_lines(tree, "policy", 1, lines)
        _find_repeated(tree, findings)
    rules = read_rules(data, "policy", findings, by="the operator's policy", may_name_agent=True)
    if findings:
        placed = [replace(one, line=one.line or line_of(one.where, lines)) for one in findings]
        raise InvalidInput(f"the policy {origin} cannot be read: {placed[0]}", findings=placed)
    return rules


def _find_repeated(tree: yaml.Node, findings: list[Finding]) -> None:
    """A key that stands twice in one rule: YAML takes the last in silence, and the first would protect nothing."""
    rules = cast("list[yaml.Node]", tree.value) if isinstance(tree, yaml.SequenceNode) else []
    for index, rule in enumerate(rules):
        seen: set[str] = set()
        if not isinstance(rule, yaml.MappingNode):
            continue
        for key, _ in cast("list[tuple[yaml.Node, yaml.Node]]", rule.value):
            name = str(key.value)
            if name in seen:
                findings.append(
                    Finding(
                        where=f"policy[{index}].{name}",
                        message="stands twice in one rule",
                        hint="write two rules, or take one out",
                        line=key.start_mark.line + 1,
                    )
                )
            seen.add(name)


def read_rules(
    value: object, where: str, findings: list[Finding], *, by: str, may_name_agent: bool = False
) -> tuple[PolicyRule, ...]:
    """Rules out of a list; what is wrong with them goes to `findings`."""
    if value is None:
        return ()
    if not isinstance(value, list):
        hint = "- tool: Bash(git push:*)\n  action: ask"
        findings.append(Finding(where=where, message="is not a list of rules", hint=hint))
        return ()
    items = cast("list[object]", value)
    if len(items) > MAX_RULES:
        findings.append(Finding(where=where, message=f"has more than {MAX_RULES} rules"))
        return ()
    found = [
        _rule(item, f"{where}[{index}]", findings, by=by, may_name_agent=may_name_agent)
        for index, item in enumerate(items)
    ]
    return tuple(rule for rule in found if rule is not None)


def _rule(
    value: object, where: str, findings: list[Finding], *, by: str, may_name_agent: bool
) -> PolicyRule | None:
    if not isinstance(value, dict):
        findings.append(Finding(where=where, message="is not a block of `key: value` lines"))
        return None
    fields = cast("dict[object, object]", value)
    before = len(findings)
    known = _KEYS if may_name_agent else tuple(key for key in _KEYS if key != "agent")
    for key in fields:
        if key not in known:
            close = get_close_matches(str(key), known, 1)
            hint = f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)
            findings.append(Finding(where=f"{where}.{key}", message="is not a known key", hint=hint))
    tool, pattern = _tool(fields.get("tool"), where, findings)
    risk = _one_of(fields, "risk", RISKS, where, findings)
    action = _one_of(fields, "action", tuple(Action), where, findings)
    if action is None and "action" not in fields:
        hint = "one of: " + ", ".join(Action)
        findings.append(Finding(where=f"{where}.action", message="is missing", hint=hint))
    if ("tool" in fields) == ("risk" in fields):
        findings.append(Finding(where=where, message="says either `tool` or `risk`, and one of them"))
    default = _one_of(fields, "default", ("approve", "deny"), where, findings)
    if default is not None and action != Action.ASK:
        message = "belongs to a rule whose action is ask"
        findings.append(Finding(where=f"{where}.default", message=message))
    agent, reason = (_text(fields, key, where, findings) for key in ("agent", "reason"))
    if len(findings) > before or action is None:
        return None
    return PolicyRule(
        action=Action(action),
        tool=tool,
        pattern=pattern,
        risk=risk,
        agent=agent,
        reason=reason or "",
        default=default,
        by=by,
    )


def _tool(value: object, where: str, findings: list[Finding]) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    match = _RULE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        hint = "write it like Bash(git push:*), Write(deploy/**), WebFetch, mcp__server__*"
        findings.append(Finding(where=f"{where}.tool", message="names no tool", hint=hint))
        return None, None
    name, pattern = match["tool"], match["pattern"]
    by_folded_name = {known.casefold(): known for known in _KNOWN}
    close = get_close_matches(name.casefold(), by_folded_name, 1, cutoff=0.7)
    is_strange = name not in _KNOWN and not name.startswith("mcp__")
    if is_strange and (close or "*" in name):
        hint = f"did you mean {by_folded_name[close[0]]!r}?" if close else "only mcp__server__* takes a star"
        findings.append(Finding(where=f"{where}.tool", message=f"there is no tool {name!r}", hint=hint))
    if pattern is not None and name == "*":
        findings.append(Finding(where=f"{where}.tool", message="`*` takes no pattern"))
    stripped = (pattern or "").strip()
    return canonical_tool(name), None if stripped in ("", "*", "**") else stripped


def _one_of(
    fields: dict[object, object], key: str, choices: tuple[str, ...], where: str, findings: list[Finding]
) -> str | None:
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, str) and value in choices:
        return str(value)
    hint = "one of: " + ", ".join(choices)
    findings.append(Finding(where=f"{where}.{key}", message=f"cannot be {value!r}", hint=hint))
    return None


def _text(fields: dict[object, object], key: str, where: str, findings: list[Finding]) -> str | None:
    value = fields.get(key)
    if value is None or (isinstance(value, str) and len(value) <= 500):
        return value
    findings.append(Finding(where=f"{where}.{key}", message="is not a text of up to 500 characters"))
    return None


def rule_as_data(rule: PolicyRule) -> JsonObject:
    """What the API shows of a rule."""
    tool = f"{rule.tool}({rule.pattern})" if rule.pattern else rule.tool
    shown: JsonObject = {"tool": tool, "risk": rule.risk, "action": rule.action.value}
    return {**shown, "reason": rule.reason, "default": rule.default}
