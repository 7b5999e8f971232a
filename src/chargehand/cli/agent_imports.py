"""The work of `chargehand agents lint` and `import`: many files, each told on its own, none that stops the rest."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from chargehand.cli.agent_files import (
    AgentFile,
    files_of,
    id_of,
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
from chargehand.domain.agent_tools import Offer
from chargehand.errors import Finding, InvalidInput

PROGRESS_EVERY = 50


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one file."""

    file: str
    result: str = "refused"
    agent_id: str = ""
    findings: list[Finding] = field(default_factory=list[Finding])
    suggestions: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def as_data(self) -> dict[str, object]:
        findings = [
            {"where": one.where, "line": one.line, "message": one.message, "hint": one.hint}
            for one in self.findings
        ]
        data: dict[str, object] = {"file": self.file, "result": self.result, "findings": findings}
        return data | ({"agent": self.agent_id} if self.agent_id else {}) | dict(self.suggestions)


async def lint(paths: Sequence[str], *, as_json: bool) -> ExitCode:
    """Read files and tell what there is to tell; nothing is registered."""
    outcomes: list[Outcome] = []
    offer = _offer_here()
    for path in paths:
        for file in files_of(path):
            outcome, definition, _ = _examined(file, offer, is_for_service=False)
            if definition is not None:
                outcome.result, outcome.agent_id = "read", definition.id
                outcome.suggestions = _suggestions(definition)
            outcomes.append(outcome)
    refused = sum(one.result == "refused" for one in outcomes)
    if as_json:
        write_json({"files": [one.as_data() for one in outcomes], "refused": refused})
    else:
        for one in outcomes:
            _write(one)
        told = sum(one.result != "refused" and bool(one.findings) for one in outcomes)
        write(f"{len(outcomes)} files: {refused} refused, {told} with findings")
    return ExitCode.INVALID if refused else ExitCode.OK


async def import_agents(
    path: str, server: str | None, *, source: str | None, dry_run: bool, as_json: bool
) -> ExitCode:
    """Register every definition at a path; the files that are refused are told at the end."""
    outcomes: list[Outcome] = []
    if dry_run:
        await _import_all(path, source, None, outcomes)
    else:
        async with connect(server) as connection:
            await _import_all(path, source, connection.client, outcomes)
    counts = {
        name: sum(one.result == name for one in outcomes) for name in ("imported", "unchanged", "refused")
    }
    counts["repaired"] = sum(one.result != "refused" and bool(one.findings) for one in outcomes)
    if as_json:
        write_json({"dry_run": dry_run, **counts, "files": [one.as_data() for one in outcomes]})
    else:
        for one in outcomes:
            if one.result == "refused":
                _write(one)
        would = "would be " if dry_run else ""
        write(
            f"{counts['imported']} {would}imported, {counts['unchanged']} unchanged, {counts['repaired']} of them"
            f" with findings (see `agents lint`), {counts['refused']} refused"
        )
    return ExitCode.INVALID if counts["refused"] else ExitCode.OK


async def _import_all(
    path: str, source: str | None, client: AsyncClient | None, outcomes: list[Outcome]
) -> None:
    """Without a client, only what would be done is noted."""
    single = is_single(path)
    name = source or source_of(path)
    offer = _offer_here()
    taken: set[str] = set()
    for file in files_of(path):
        outcome, definition, text = _examined(file, offer, is_for_service=client is not None)
        outcomes.append(outcome)
        _tell_progress(len(outcomes))
        if definition is None:
            continue
        below = name_of(file.path) if single else file.path
        agent_id = definition.id if single and source is None else id_of(name, below)
        if agent_id in taken:
            agent_id = f"{agent_id[:107]}-{mark_of(below)}"
        taken.add(agent_id)
        outcome.agent_id = agent_id
        if client is None:
            outcome.result = "imported"
            continue
        try:
            published = await client.put_agent(agent_id, text)
        except InvalidInput as error:
            outcome.findings = list(error.findings) or [Finding(where="file", message=error.message)]
            continue
        outcome.result = "imported" if published.changed else "unchanged"


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
    return outcome, definition, text


def _suggestions(definition: AgentDefinition) -> dict[str, list[str]]:
    """Only what the definition does not settle itself."""
    suggested: dict[str, list[str]] = {}
    if not definition.block.delegates and (delegates := delegates_suggested(definition.body)):
        suggested["delegates_suggested"] = list(delegates)
    if not definition.block.deliverables and (promised := deliverables_suggested(definition.body)):
        suggested["deliverables_suggested"] = list(promised)
    return suggested


def _write(outcome: Outcome) -> None:
    for one in outcome.findings:
        hint = f" ({one.hint})" if one.hint else ""
        kind = "refused" if outcome.result == "refused" else "note"
        write(one_line(f"{outcome.file}:{one.line or 1}: {kind}: {one.where}: {one.message}{hint}"))
    for name, listed in outcome.suggestions.items():
        what = "delegates to" if name == "delegates_suggested" else "delivers"
        write(one_line(f"{outcome.file}:1: suggestion: the text says that it {what}: {', '.join(listed)}"))


def _tell_progress(done: int) -> None:
    if done % PROGRESS_EVERY == 0 and sys.stderr.isatty():
        say(f"{done} files")
