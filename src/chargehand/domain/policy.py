"""Which calls run, which a person is asked about, which never run: rules, and the strictest answer to a call.

Rule: a denial by anyone holds; else a rule that asks by tool, then one that allows by tool, then one by risk. What a
definition says can make the operator's answer stricter and never milder.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from chargehand.domain.policy_patterns import Command, Fit, command_fit, path_fit, text_fit
from chargehand.domain.values import JsonObject

RISKS = ("read", "write", "execute", "network")
DELEGATION = "Agent"
_DELEGATION_NAMES = frozenset({"Agent", "Task", "Delegate"})
WRITERS = frozenset({"Write", "Edit", "MultiEdit", "NotebookEdit"})
"""Tools that change a file: a rule that keeps one of them from a path keeps the others from it too."""

WEEK_SECONDS = 7 * 86_400.0


class Action(StrEnum):
    """What becomes of a call."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """One line of a policy. Exactly one of `tool` (with its pattern, or none) and `risk` is set."""

    action: Action
    tool: str | None = None
    pattern: str | None = None
    risk: str | None = None
    agent: str | None = None
    """Only calls of this agent."""
    reason: str = ""
    default: str | None = None
    """What is done when nobody decides in time; None: what the setting says."""
    by: str = "the operator's policy"

    def __str__(self) -> str:
        tool = f"{self.tool}({self.pattern})" if self.pattern else self.tool
        what = f"risk {self.risk}" if self.risk else tool
        return f"{self.by}: {self.action} {what}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The operator's rules, and how long a person has."""

    rules: tuple[PolicyRule, ...] = ()
    approval_seconds: float = WEEK_SECONDS
    default: str = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that is judged. `commands` is a command line taken apart; None for every other tool."""

    tool: str
    arguments: JsonObject
    risk: str
    agent_id: str
    commands: Sequence[Command] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a call, which rule says so, and (of one that is asked) what silence means."""

    action: Action = Action.ALLOW
    why: str = ""
    default: str | None = None


_ALLOWED = Verdict()


def canonical_tool(name: str) -> str:
    """The name that rules use: delegation has several."""
    return DELEGATION if name in _DELEGATION_NAMES else name


def rules_for(policy: Policy, own: Sequence[PolicyRule], agent_id: str) -> tuple[list[PolicyRule], ...]:
    """The operator's rules that speak of an agent, and its own."""
    theirs = [rule for rule in policy.rules if rule.agent in (None, agent_id)]
    return theirs, list(own)


def judge(sources: Sequence[Sequence[PolicyRule]], call: Call, mode: str | None = None) -> Verdict:
    """The strictest of what each source of rules says, and of what the permission mode denies."""
    if mode == "plan" and (call.risk in ("write", "execute") or call.tool == DELEGATION):
        return Verdict(
            action=Action.DENY, why="the definition's permissionMode is plan: nothing is changed or run"
        )
    return strictest([_of_source(rules, call) for rules in sources if rules])


def strictest(verdicts: Sequence[Verdict]) -> Verdict:
    """Deny before ask before allow. Of several that ask, all must agree to approve by default."""
    denied = next((one for one in verdicts if one.action is Action.DENY), None)
    if denied is not None:
        return denied
    asked = [one for one in verdicts if one.action is Action.ASK]
    if not asked:
        return _ALLOWED
    defaults = {one.default for one in asked}
    default = "deny" if "deny" in defaults else (None if None in defaults else "approve")
    return Verdict(action=Action.ASK, why=asked[0].why, default=default)


@dataclass(slots=True)
class _Fitting:
    """The rules that speak of one part of a call."""

    deny: list[PolicyRule] = field(default_factory=list[PolicyRule])
    ask: list[PolicyRule] = field(default_factory=list[PolicyRule])
    allow: list[PolicyRule] = field(default_factory=list[PolicyRule])
    maybe: list[PolicyRule] = field(default_factory=list[PolicyRule])
    """They restrict, and it cannot be told whether they speak of this."""

    def verdict(self, by_risk: Sequence[PolicyRule]) -> Verdict:
        denials = [*self.deny, *(rule for rule in by_risk if rule.action is Action.DENY)]
        if denials:
            return Verdict(action=Action.DENY, why=str(denials[0]))
        if self.ask:
            return strictest([_asking(rule) for rule in self.ask])
        if self.maybe:
            why = f"it cannot be told whether this holds of it: {self.maybe[0]}"
            return Verdict(action=Action.ASK, why=why, default="deny")
        if self.allow:
            return _ALLOWED
        return strictest([_asking(rule) for rule in by_risk if rule.action is Action.ASK])


def _asking(rule: PolicyRule) -> Verdict:
    return Verdict(action=Action.ASK, why=str(rule), default=rule.default)


def _of_source(rules: Sequence[PolicyRule], call: Call) -> Verdict:
    by_risk = [rule for rule in rules if rule.risk == call.risk]
    if call.commands is None:
        return _fitting(rules, call, None).verdict(by_risk)
    return strictest([_of_command(rules, call, command, by_risk) for command in call.commands])


def _of_command(
    rules: Sequence[PolicyRule], call: Call, command: Command, by_risk: Sequence[PolicyRule]
) -> Verdict:
    fitting = _fitting(rules, call, command)
    if command.is_shell_around and not fitting.allow:
        # What it runs is judged beside it; the wrapper itself need not be allowed.
        by_risk = [rule for rule in by_risk if rule.action is Action.DENY]
    return fitting.verdict(by_risk)


def _fitting(rules: Sequence[PolicyRule], call: Call, command: Command | None) -> _Fitting:
    found = _Fitting()
    lists = {Action.DENY: found.deny, Action.ASK: found.ask, Action.ALLOW: found.allow}
    for rule in rules:
        fit = _fit(rule, call, command)
        if fit is Fit.YES:
            lists[rule.action].append(rule)
        elif fit is Fit.MAYBE and rule.action is not Action.ALLOW:
            found.maybe.append(rule)
    return found


def _fit(rule: PolicyRule, call: Call, command: Command | None) -> Fit:
    if rule.tool is None or not _names(rule, call.tool):
        return Fit.NO
    if rule.pattern is None:
        return Fit.YES
    restricts = rule.action is not Action.ALLOW
    if command is not None:
        return command_fit(rule.pattern, command, restricts=restricts)
    subject = _subject(call)
    if call.tool in ("Agent", "WebFetch"):
        return text_fit(rule.pattern, subject, restricts=restricts)
    return path_fit(rule.pattern, subject, restricts=restricts)


def _names(rule: PolicyRule, tool: str) -> bool:
    name = canonical_tool(rule.tool or "")
    if name == tool or name == "*":
        return True
    if name.startswith("mcp__"):
        # As agents call it: a server's `do.push` is shown as `do_push`.
        name = re.sub(r"[^A-Za-z0-9_*-]", "_", name)
        if name == tool:
            return True
        return tool.startswith(name[:-1]) if name.endswith("*") else tool.startswith(f"{name}__")
    is_kept_from_a_path = rule.action is not Action.ALLOW and rule.pattern is not None
    return is_kept_from_a_path and name in WRITERS and tool in WRITERS


def _subject(call: Call) -> str | None:
    keys = {"Agent": ("subagent_type",), "WebFetch": ("url",)}.get(
        call.tool, ("file_path", "path", "notebook_path")
    )
    found = next((call.arguments[key] for key in keys if key in call.arguments), None)
    return found if isinstance(found, str) else None


def needs_parsing(sources: Sequence[Sequence[PolicyRule]]) -> bool:
    """Whether any rule looks into a command line."""
    return any(rule.tool == "Bash" and rule.pattern is not None for rules in sources for rule in rules)
