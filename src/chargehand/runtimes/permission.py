"""Whether a call may run: what the policy says of it, and the wait for a person where it must be asked.

Rule: what was decided is in the journal, so a replay under another policy takes the same way; and what is run is what
was approved, compared by its hash.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from chargehand.domain.agent import AgentDefinition
from chargehand.domain.agent_rules import rule_refusal
from chargehand.domain.approval import Approval, ApprovalStatus, call_hash
from chargehand.domain.history import Step, StepKind, StepStatus
from chargehand.domain.policy import (
    DELEGATION,
    WRITERS,
    Action,
    Call,
    Policy,
    PolicyRule,
    Verdict,
    canonical_tool,
    judge,
    needs_parsing,
    rules_for,
    strictest,
)
from chargehand.domain.policy_patterns import Command
from chargehand.domain.task import Reason
from chargehand.domain.values import JsonObject, canonical
from chargehand.errors import JournalMismatch
from chargehand.runtimes.base import Hands, Suspension
from chargehand.tools.base import Risk, Tool
from chargehand.tools.shell_commands import CommandLine, take_apart

APPROVAL_SUFFIX = ".approval"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What came of asking: the arguments to run with, or why nothing is run; `note` is for the agent."""

    arguments: JsonObject
    refusal: str | None = None
    code: str = "policy_denied"
    note: str = ""


async def permission(hands: Hands, path: str, tool: str, arguments: JsonObject) -> Permission:
    """Whether a call may run. Suspension(APPROVAL) while a person is waited for."""
    step = hands.steps.recorded.get(path + APPROVAL_SUFFIX)
    if step is not None:
        return await _asked(hands, path, tool, arguments, Verdict())
    begun = hands.steps.recorded.get(path)
    if begun is not None and begun.status is not StepStatus.RUNNING:
        return Permission(arguments=arguments)
    verdict = verdict_on(hands, tool, arguments)
    if verdict.action is Action.DENY:
        return _denied(tool, arguments, verdict.why)
    if verdict.action is Action.ASK and begun is None:
        return await _asked(hands, path, tool, arguments, verdict)
    return Permission(arguments=arguments)


class Standing(Protocol):
    """By what a call is judged; an attempt's hands have it."""

    @property
    def definition(self) -> AgentDefinition: ...
    @property
    def above(self) -> Sequence[AgentDefinition]: ...
    @property
    def policy(self) -> Policy: ...
    @property
    def catalogue(self) -> Mapping[str, Tool]: ...


def edit_refusal(hands: Standing, tool: str, arguments: JsonObject) -> str | None:
    """Why a call is denied with the arguments that a person has put in; whether to ask is settled by then."""
    definition = hands.definition
    called = "Delegate" if canonical_tool(tool) == DELEGATION else tool
    refusal = rule_refusal(called, arguments, definition.tool_rules, definition.denied_rules)
    if refusal is not None:
        return refusal
    verdict = verdict_on(hands, tool, arguments)
    return f"{tool} was not run: {verdict.why}." if verdict.action is Action.DENY else None


def verdict_on(hands: Standing, tool: str, arguments: JsonObject) -> Verdict:
    """The strictest answer of the operator's policy, the definition's and its permission mode.

    A task that was handed down is judged as each agent above it would be, besides.
    """
    definition, name = hands.definition, canonical_tool(tool)
    mode = definition.wishes.permission_mode
    lineage = (definition, *hands.above)
    sources = [rules for one in lineage for rules in rules_for(hands.policy, one.block.policy, one.id)]
    denials = [_denials(one) for one in lineage]
    if not any(sources) and not any(denials) and mode != "plan":
        return Verdict()
    known = hands.catalogue.get(tool)
    # What the runtime itself offers (delegation, a question to a person) touches nothing by itself.
    risk = known.risk if known else Risk.READ
    call = Call(tool=name, arguments=arguments, risk=risk, agent_id=definition.id)
    refusal = _refused_above(hands, tool, arguments)
    if refusal is not None:
        return Verdict(action=Action.DENY, why=refusal)
    if name != "Bash" or not (_looks_inside(sources) or any(denials)):
        return judge(sources, call, mode)
    command = arguments.get("command")
    line = take_apart(command) if isinstance(command, str) else CommandLine()
    # A line without a command (`X=1`) is none that a pattern names, and still one of Bash.
    commands = line.commands or [Command(words=("",))]
    call = replace(call, commands=commands)
    # Of what a definition says it may not call, only what can be told counts; a policy is there to ask.
    plain = [one for one in (judge(denials, call),) if one.action is Action.DENY]
    if not _looks_inside(sources):
        return strictest([judge(sources, call, mode), *plain])
    written = [_on_written(sources, call, path) for path in line.written]
    return strictest([judge(sources, call, mode), *plain, *written])


def _denials(definition: AgentDefinition) -> list[PolicyRule]:
    """The commands that a definition may not run, as rules; they find `env rm` where a pattern alone would not."""
    by = f"the definition of {definition.id}"
    return [
        PolicyRule(action=Action.DENY, tool="Bash", pattern=rule.pattern, by=by)
        for rule in definition.denied_rules
        if rule.tool == "Bash"
    ]


def _refused_above(hands: Standing, tool: str, arguments: JsonObject) -> str | None:
    called = "Delegate" if canonical_tool(tool) == DELEGATION else tool
    for one in hands.above:
        refusal = rule_refusal(called, arguments, (), one.denied_rules)
        if refusal is not None:
            return f"{one.id} handed this work down, and may not do it itself: {refusal.rstrip('.')}"
    return None


def _looks_inside(sources: Sequence[Sequence[PolicyRule]]) -> bool:
    return needs_parsing(sources) or any(
        rule.tool in WRITERS and rule.pattern is not None for rules in sources for rule in rules
    )


def _keeps_files(rule: PolicyRule) -> bool:
    return rule.tool == "Write" or (rule.tool in WRITERS and rule.pattern is not None)


def _on_written(sources: Sequence[Sequence[PolicyRule]], call: Call, path: str | None) -> Verdict:
    """A command writes a file: what keeps Write from a path keeps the shell from it."""
    restricting = [
        [rule for rule in rules if _keeps_files(rule) and rule.action is not Action.ALLOW]
        for rules in sources
    ]
    if path is not None and not path.startswith("/"):
        written = replace(call, tool="Write", arguments={"file_path": path}, commands=None)
        return judge(restricting, written)
    rule = next((rule for rules in restricting for rule in rules), None)
    if rule is None:
        return Verdict()
    why = f"it cannot be told whether the command writes there: {rule}"
    return Verdict(action=Action.ASK, why=why, default="deny")


def _denied(tool: str, arguments: JsonObject, why: str) -> Permission:
    return Permission(arguments=arguments, refusal=f"{tool} was not run: {why}.")


async def _asked(hands: Hands, path: str, tool: str, arguments: JsonObject, verdict: Verdict) -> Permission:
    """Open the approval, or take what was decided."""
    place = path + APPROVAL_SUFFIX
    digest = call_hash(tool, arguments)
    asked: JsonObject = {"tool": tool, "arguments": arguments, "arguments_hash": digest}

    async def open_step(step: Step) -> Step:
        return await hands.steps.journal.ask_approval(
            hands.task, step, _approval(hands, step, tool, arguments, verdict)
        )

    step = await hands.steps.open_or_result(place, StepKind.APPROVAL, tool, asked, open_step)
    if step.status is not StepStatus.DONE:
        until = _expiry(step)
        if hands.clock.now() < until:
            raise Suspension(Reason.APPROVAL, until)
        step = await hands.steps.take_default(step)
    return _decided(hands, tool, arguments, step)


def _approval(hands: Hands, step: Step, tool: str, arguments: JsonObject, verdict: Verdict) -> Approval:
    now = hands.clock.now()
    return Approval(
        id=hands.clock.new_id(),
        tenant=hands.task.tenant,
        task_id=hands.task.id,
        root_id=hands.task.root_id,
        path=step.path,
        agent_id=hands.task.agent_id,
        tool=tool,
        arguments=arguments,
        arguments_hash=call_hash(tool, arguments),
        why=verdict.why,
        status=ApprovalStatus.OPEN,
        default_action=verdict.default or hands.policy.default,
        edited_arguments=None,
        comment=None,
        created_at=now,
        expires_at=now + timedelta(seconds=hands.policy.approval_seconds),
        decided_at=None,
        decided_by=None,
    )


def _expiry(step: Step) -> datetime:
    held = step.result if isinstance(step.result, dict) else {}
    return datetime.fromisoformat(str(held.get("expires_at")))


def _decided(hands: Hands, tool: str, arguments: JsonObject, step: Step) -> Permission:
    result = step.result if isinstance(step.result, dict) else {}
    comment, status = result.get("comment"), result.get("status")
    if result.get("may_run") is not True:
        return Permission(
            arguments=arguments, refusal=_refusal(tool, status, comment), code="approval_denied"
        )
    edited = result.get("arguments")
    run = edited if isinstance(edited, dict) else arguments
    if call_hash(tool, run) != result.get("arguments_hash"):
        raise JournalMismatch(
            f"step {step.path} of task {hands.task.id}: what would be run is not what was approved"
        )
    if run is arguments:
        return Permission(arguments=arguments)
    # They were held against what denies when they were put in; the policy may be another by now.
    refusal = edit_refusal(hands, tool, run)
    note = "A person changed the arguments before this was run"
    said = f" ({comment})" if comment else ""
    return Permission(
        arguments=run, refusal=refusal, note=f"{note}{said}. What was run: {canonical(run)[:2000]}\n\n"
    )


def _refusal(tool: str, status: object, comment: object) -> str:
    if status == ApprovalStatus.EXPIRED:
        return f"{tool} was not run: it needs a person's approval, and nobody decided in time."
    why = f": {comment}" if comment else "."
    return f"{tool} was not run: a person denied it{why}"
