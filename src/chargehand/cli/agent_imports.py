"""The work of `chargehand agents lint` and `import`: many files, each told on its own, none that stops the rest."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from chargehand.cli.agent_delegates import suggested_delegates, with_delegates
from chargehand.cli.agent_files import (
    AgentFile,
    files_of,
    id_of,
    is_passed_over,
    is_single,
    mark_of,
    name_of,
    read,
    source_of,
)
from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.lines import one_line
from chargehand.cli.output import write, write_json
from chargehand.client import AsyncClient
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.agent_conventions import delegates_suggested, deliverables_suggested
from chargehand.domain.agent_rights import tools_told
from chargehand.domain.agent_tools import Offer
from chargehand.errors import Finding, InvalidInput

PROGRESS_EVERY = 50
MAX_LISTED = 20
PASSED_OVER = "passed_over"
"""The result of a file that is no definition, such as a README beside some."""
_SAID = {
    "mcp_tools": "tools of MCP servers, there where those are configured and approved",
    "delegates": "may hand work to",
    "delegates_suggested": "suggestion: the text says that it delegates to",
    "deliverables_suggested": "suggestion: the text says that it delivers",
}


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one file."""

    file: str
    result: str = "refused"
    agent_id: str = ""
    tools: str = ""
    """What a person is told that the agent may use."""
    findings: list[Finding] = field(default_factory=list[Finding])
    suggestions: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def as_data(self) -> dict[str, object]:
        findings = [
            {"where": one.where, "line": one.line, "message": one.message, "hint": one.hint}
            for one in self.findings
        ]
        data: dict[str, object] = {"file": self.file, "result": self.result, "findings": findings}
        return data | ({"agent": self.agent_id} if self.agent_id else {}) | dict(self.suggestions)


@dataclass(slots=True)
class _Candidate:
    """A file that can be registered."""

    outcome: Outcome
    definition: AgentDefinition
    text: str

    @property
    def agent_id(self) -> str:
        return self.outcome.agent_id


async def lint(paths: Sequence[str], *, as_json: bool) -> ExitCode:
    """Read files and tell what there is to tell; nothing is registered."""
    outcomes: list[Outcome] = []
    offer = _offer_here()
    for path in paths:
        for file in files_of(path):
            outcome, definition, _ = _examined(file, offer, is_for_service=False)
            if definition is not None:
                outcome.result, outcome.agent_id = "read", definition.id
                outcome.suggestions.update(_suggestions(definition))
            elif not is_single(path) and is_passed_over(file):
                outcome.result = PASSED_OVER
            outcomes.append(outcome)
    refused = sum(one.result == "refused" for one in outcomes)
    passed_over = sum(one.result == PASSED_OVER for one in outcomes)
    if as_json:
        files = [one.as_data() for one in outcomes]
        write_json({"files": files, "refused": refused, "passed_over": passed_over})
    else:
        for one in outcomes:
            _write(one)
        told = sum(one.result == "read" and bool(one.findings) for one in outcomes)
        write(f"{len(outcomes)} files: {refused} refused, {told} with findings{_besides(passed_over)}")
    return ExitCode.INVALID if refused else ExitCode.OK


async def import_agents(
    path: str, server: str | None, *, source: str | None, delegates: bool, dry_run: bool, as_json: bool
) -> ExitCode:
    """Register every definition at a path; the files that are refused are told at the end.

    `delegates`: each may hand work to those whom its text names in such a list, as far as they are known.
    """
    outcomes: list[Outcome] = []
    if dry_run:
        await _import_all(path, source, None, outcomes, delegates=delegates)
    else:
        async with connect(server) as connection:
            await _import_all(path, source, connection.client, outcomes, delegates=delegates)
    counts = {
        name: sum(one.result == name for one in outcomes)
        for name in ("imported", "unchanged", "refused", PASSED_OVER)
    }
    registered = [one for one in outcomes if one.result in ("imported", "unchanged")]
    counts["repaired"] = sum(bool(one.findings) for one in registered)
    if as_json:
        write_json({"dry_run": dry_run, **counts, "files": [one.as_data() for one in outcomes]})
    else:
        for one in outcomes:
            if one.result in ("refused", PASSED_OVER) or "delegates" in one.suggestions:
                _write(one)
        would = "would be " if dry_run else ""
        _write_made([one for one in outcomes if one.result == "imported"], would)
        write(
            f"{counts['imported']} {would}imported, {counts['unchanged']} unchanged, {counts['repaired']} of them"
            f" with findings (see `agents lint`), {counts['refused']} refused{_besides(counts[PASSED_OVER])}"
        )
    return ExitCode.INVALID if counts["refused"] else ExitCode.OK


async def _import_all(
    path: str, source: str | None, client: AsyncClient | None, outcomes: list[Outcome], *, delegates: bool
) -> None:
    """Without a client, only what would be done is noted."""
    candidates = _named(path, source, outcomes, is_for_service=client is not None)
    if delegates:
        registered = [one.id for one in await client.agents()] if client else []
        told = suggested_delegates([(one.agent_id, one.definition) for one in candidates], registered)
        for one in candidates:
            _let_delegate(one, told.get(one.agent_id, []))
    for number, one in enumerate(candidates, 1):
        _tell_progress(number)
        await _register(one, client)


def _named(
    path: str, source: str | None, outcomes: list[Outcome], *, is_for_service: bool
) -> list[_Candidate]:
    """Every file that can be read, with the id that it gets; equal names live side by side."""
    candidates: list[_Candidate] = []
    single = is_single(path)
    name = source or source_of(path)
    offer = _offer_here()
    taken: set[str] = set()
    for file in files_of(path):
        outcome, definition, text = _examined(file, offer, is_for_service=is_for_service)
        outcomes.append(outcome)
        if definition is None:
            if not single and is_passed_over(file):
                outcome.result = PASSED_OVER
            continue
        below = name_of(file.path) if single else file.path
        agent_id = definition.id if single and source is None else id_of(name, below)
        if agent_id in taken:
            agent_id = f"{agent_id[:107]}-{mark_of(below)}"
        taken.add(agent_id)
        outcome.agent_id = agent_id
        candidates.append(_Candidate(outcome, definition, text))
    return candidates


def _let_delegate(one: _Candidate, delegates: list[str]) -> None:
    if not delegates:
        return
    changed = with_delegates(one.text, delegates)
    if changed is None:
        message = (
            f"the text names {', '.join(delegates)}, but its front matter cannot take a `chargehand:` block"
        )
        one.outcome.findings.append(Finding(where="chargehand", message=message, hint="write it by hand"))
    else:
        one.text = changed
        one.outcome.suggestions["delegates"] = delegates


async def _register(one: _Candidate, client: AsyncClient | None) -> None:
    if client is None:
        one.outcome.result = "imported"
        return
    try:
        published = await client.put_agent(one.agent_id, one.text)
    except InvalidInput as error:
        one.outcome.findings = list(error.findings) or [Finding(where="file", message=error.message)]
    else:
        one.outcome.result = "imported" if published.changed else "unchanged"
        one.outcome.tools = tools_told(published.agent.tools, published.agent.mcp_tools)


def _offer_here() -> Offer:
    """What a service with this environment would offer: hosts to fetch from, skills, tools of the operator's."""
    from chargehand.app.toolbox import open_toolbox  # noqa: PLC0415 - other commands do not pay for the tools
    from chargehand.settings import Settings  # noqa: PLC0415 - as above

    return open_toolbox(Settings()).offer


def _examined(
    file: AgentFile, offer: Offer, *, is_for_service: bool
) -> tuple[Outcome, AgentDefinition | None, str]:
    """What a file says; a refused one has no definition and its reasons as findings."""
    outcome = Outcome(file=file.shown)
    try:
        definition, text, outcome.findings = read(file, offer, is_for_service=is_for_service)
    except InvalidInput as error:
        outcome.findings = list(error.findings) or [Finding(where="file", message=error.message)]
        return outcome, None, ""
    if definition.mcp_tools:
        outcome.suggestions["mcp_tools"] = list(definition.mcp_tools)
    outcome.tools = tools_told(definition.tools, definition.mcp_tools)
    return outcome, definition, text


def _suggestions(definition: AgentDefinition) -> dict[str, list[str]]:
    """Only what the definition does not settle itself."""
    suggested: dict[str, list[str]] = {}
    if not definition.block.delegates and (delegates := delegates_suggested(definition.body)):
        suggested["delegates_suggested"] = list(delegates)
    if not definition.block.deliverables and (promised := deliverables_suggested(definition.body)):
        suggested["deliverables_suggested"] = list(promised)
    return suggested


def _besides(passed_over: int) -> str:
    return f", {passed_over} passed over" if passed_over else ""


def _write_made(made: Sequence[Outcome], would: str) -> None:
    """The ids, which nobody can guess from the files' names alone, with what each may use."""
    for one in made[:MAX_LISTED]:
        write(one_line(f"{one.agent_id} {would}imported; tools: {one.tools}"))
    if len(made) > MAX_LISTED:
        write(f"… and {len(made) - MAX_LISTED} more (see `agents list`)")


def _write(outcome: Outcome) -> None:
    if outcome.result == PASSED_OVER:
        write(one_line(f"{outcome.file}:1: passed over: it has no front matter"))
        return
    for one in outcome.findings:
        hint = f" ({one.hint})" if one.hint else ""
        kind = "refused" if outcome.result == "refused" else "note"
        write(one_line(f"{outcome.file}:{one.line or 1}: {kind}: {one.where}: {one.message}{hint}"))
    for name, listed in outcome.suggestions.items():
        write(one_line(f"{outcome.file}:1: {_SAID[name]}: {', '.join(listed)}"))


def _tell_progress(done: int) -> None:
    if done % PROGRESS_EVERY == 0 and sys.stderr.isatty():
        say(f"{done} files")
