"""An agent's definition: a Markdown file with front matter, as an object, and back to its version.

The fields `name`, `description`, `tools` and the body are those of Claude Code sub-agents; a `chargehand:`
block says what that format does not know. Rule: a version is named by the hash of the file's text, so equal
text is the same version and an edit never changes a running task.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from chargehand.domain.agent_block import Block, read_block
from chargehand.domain.agent_formats import Format, format_of, looks_like_toml, mapped, read_toml, stem_of
from chargehand.domain.agent_repair import repair_characters, scan_front_matter
from chargehand.domain.agent_rights import note_near_misses, take_swallowed
from chargehand.domain.agent_tools import (
    NOTHING_MORE,
    TOOL_NAMES,
    Offer,
    ToolRule,
    read_denied,
    read_tools,
    with_skills,
)
from chargehand.domain.agent_wishes import Wishes, read_wishes
from chargehand.domain.front_matter import Fields, line_of, load_front_matter, refuse
from chargehand.domain.values import bytes_hash, plain_text
from chargehand.errors import Finding, InvalidDefinition

__all__ = ["TOOL_NAMES", "AgentDefinition", "RuntimeKind", "is_other_text", "parse_definition", "slug_of"]

MAX_DEFINITION_BYTES = 256 * 1024
_LEAD = re.compile(r"(?>\s+|<!--.*?-->)*+(?:(?P<fence>`{3,})?\w*[ \t]*\n)?(?=---[ \t]*\n)", re.DOTALL)
"""Blank lines, comments, and a code fence or a stray word before the front matter."""
AGENT_ID = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")


class RuntimeKind(StrEnum):
    """How an attempt is carried out."""

    MODEL = "model"
    PLAYBOOK = "playbook"
    FUNCTION = "function"
    COMMAND = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDefinition:
    """What an agent is. `tools` is in the file's order; empty means none (absent in the file: all).

    `findings` is what was repaired, guessed or left out on reading. `extra` is all that the file says besides, as it
    says it, and so also what `wishes` is read from.
    """

    id: str
    name: str
    description: str
    tools: tuple[str, ...]
    body: str
    block: Block
    version: str
    source: str
    extra: Mapping[str, object] = field(default_factory=dict[str, object])
    format: Format = Format.CLAUDE
    wishes: Wishes = field(default_factory=Wishes)
    tool_rules: tuple[ToolRule, ...] = ()
    """Patterns that narrow a tool of `tools`, kept so that they can be enforced."""
    denied_rules: tuple[ToolRule, ...] = ()
    """Patterns of `disallowedTools`; a tool that it names without one is not in `tools`."""
    mcp_tools: tuple[str, ...] = ()
    denied_mcp: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def runtime(self) -> RuntimeKind:
        """A definition without a `chargehand:` block is carried out by a model."""
        return RuntimeKind(self.block.runtime)


def parse_definition(
    text: str,
    *,
    agent_id: str | None = None,
    origin: str = "definition",
    path: str | None = None,
    offer: Offer = NOTHING_MORE,
    is_registered: bool = False,
) -> AgentDefinition:
    """Read a definition file. All that is wrong is told at once, with lines, as InvalidDefinition.

    `agent_id` overrides the slug that is otherwise made from `name`; `origin` is what messages call the file. A
    file without a name gets the one that `path`, or else `agent_id`, has. `offer`: what the service has beside the
    tools that are always there; with `is_registered` a text is read even when all that it lists is gone.
    """
    if len(text.encode("utf-8", "replace")) > MAX_DEFINITION_BYTES:
        raise InvalidDefinition(
            f"{origin} is larger than {MAX_DEFINITION_BYTES // 1024} KiB; shorten its body"
        )
    source = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if plain_text(source) != source:
        raise InvalidDefinition(
            f"{origin} holds NUL or a lone surrogate, which is no text; repair its encoding"
        )
    findings: list[Finding] = []
    refused: list[Finding] = []
    missed = findings if is_registered else refused
    written, body = _read(repair_characters(source.replace("\r", "\n"), findings), origin, findings, missed)
    fields = mapped(written)
    name = _name(fields, path, agent_id, findings, refused)
    description = _description(fields, body, findings)
    note_near_misses(written.values, fields.values.get("tools"), findings)
    listed = read_tools(fields.values.get("tools"), findings, missed, offer)
    denied = read_denied(fields.values.get("disallowedTools"), findings, offer)
    block = read_block(fields.values.get("chargehand"), refused)
    wishes = read_wishes(fields.values, findings)
    listed = with_skills(listed, wishes.skills, findings, offer)
    slug = agent_id or _slug(name, path)
    if name and not AGENT_ID.fullmatch(slug):
        refused.append(
            Finding(where="name", message=f"{slug!r} cannot be an agent id", hint="use a-z, 0-9, . _ -")
        )
    if not body.strip():
        refused.append(
            Finding(where="body", message="is empty", hint="write the system prompt below the ---")
        )
    if refused:
        refused = _with_lines(refused, fields)
        first = refused[0]
        raise InvalidDefinition(f"{origin} cannot be registered: {first}", findings=refused)
    known = {"name", "description", "tools", "chargehand"}
    return AgentDefinition(
        id=slug,
        name=name,
        description=description,
        tools=tuple(tool for tool in listed.tools if tool not in denied.tools),
        body=body.strip() + "\n",
        block=block,
        version=bytes_hash(source.encode("utf-8", "surrogatepass")),
        source=source,
        extra={key: value for key, value in written.values.items() if key not in known},
        format=format_of(path, written.values),
        wishes=wishes,
        tool_rules=listed.rules,
        denied_rules=denied.rules,
        mcp_tools=tuple(tool for tool in listed.mcp if tool not in denied.mcp),
        denied_mcp=denied.mcp,
        findings=tuple(_with_lines(findings, fields)),
    )


def is_other_text(text: str) -> bool:
    """Whether a text has no front matter at all, as a README has none: it is no definition, broken or not."""
    source = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return not (looks_like_toml(source) or _LEAD.match(source) or source.lstrip().startswith("---"))


def slug_of(name: str) -> str:
    """An agent id made from a name: lower case, other characters to single hyphens."""
    return re.sub(r"[^a-z0-9._]+", "-", name.strip().lower()).strip("-._")


def _slug(name: str, path: str | None) -> str:
    """A name without a letter that an id may hold leaves the file's name."""
    return slug_of(name) or (slug_of(stem_of(path)) if path else "")


def _with_lines(findings: list[Finding], fields: Fields) -> list[Finding]:
    return [replace(one, line=one.line or line_of(one.where, fields.lines)) for one in findings]


def _read(text: str, origin: str, findings: list[Finding], missed: list[Finding]) -> tuple[Fields, str]:
    """The fields as the file has them, and the body."""
    if looks_like_toml(text):
        found = read_toml(text)
        if isinstance(found, Finding):
            refuse(found, origin)
        return found
    front, body, first_line = _split(text, origin, findings)
    fields = load_front_matter(front, origin, first_line)
    if not isinstance(fields, Finding):
        return fields, body
    scanned = scan_front_matter(front, first_line)
    # The block is strict: what it promises is not guessed from lines.
    if scanned is None or isinstance(scanned.values.get("chargehand"), str):
        refuse(fields, origin)
    findings.append(replace(fields, message=f"{fields.message}; read line by line"))
    return take_swallowed(scanned, front, first_line, findings, missed), body


def _split(source: str, origin: str, findings: list[Finding]) -> tuple[str, str, int]:
    """Front matter, body and the line on which the front matter starts."""
    lead = _LEAD.match(source)
    skipped = lead.end() if lead else 0
    match = re.match(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)(.*)\Z", source[skipped:], re.DOTALL | re.MULTILINE)
    if match is None:
        missing = (
            "its closing ---"
            if source.lstrip().startswith("---")
            else "front matter between two lines of ---"
        )
        finding = Finding(
            where="front matter", message=f"lacks {missing}", line=1, hint="start the file with ---"
        )
        raise InvalidDefinition(f"{origin} lacks {missing}", findings=[finding])
    body = match.group(2)
    if lead and skipped:
        findings.append(
            Finding(where="file", message="does not start with ---; what stands before is skipped", line=1)
        )
        if lead["fence"]:
            body = body.rstrip().removesuffix(lead["fence"])
    return match.group(1), body, source[:skipped].count("\n") + 2


def _scalar(fields: Fields, key: str, findings: list[Finding]) -> str:
    """A value as text; a number or a date as it is written."""
    value = fields.values.get(key)
    if isinstance(value, str):
        return value.strip()
    if value is None or isinstance(value, dict | list):
        return ""
    findings.append(Finding(where=key, message="is not text; read as it is written", hint=f'{key}: "…"'))
    return fields.written.get(key, str(value)).strip()


def _name(
    fields: Fields, path: str | None, agent_id: str | None, findings: list[Finding], refused: list[Finding]
) -> str:
    name = " ".join(_scalar(fields, "name", findings).split())
    if name:
        return name
    what = "is missing" if fields.values.get("name") is None else "is not text"
    name = (stem_of(path) if path else "") or agent_id or ""
    hint = "add `name: …` to the front matter"
    if name:
        findings.append(Finding(where="name", message=f"{what}; it is called {name!r}", hint=hint))
    else:
        refused.append(Finding(where="name", message=what, hint=hint))
    return name


def _description(fields: Fields, body: str, findings: list[Finding]) -> str:
    description = _scalar(fields, "description", findings)
    if not description and body.strip():
        line = next(line for line in body.split("\n") if line.strip())
        description = line.strip().lstrip("#").strip()[:200] or "…"
        hint = "add `description: …` to the front matter"
        findings.append(
            Finding(where="description", message="is missing; the body's first line stands for it", hint=hint)
        )
    return description
