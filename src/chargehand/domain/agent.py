"""An agent's definition: a Markdown file with front matter, as an object, and back to its version.

The fields `name`, `description`, `tools` and the body are those of Claude Code sub-agents; a `chargehand:`
block says what that format does not know. Rule: a version is named by the hash of the file's text, so equal
text is the same version and an edit never changes a running task.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import cast

from chargehand.domain.agent_block import Block, read_block
from chargehand.domain.front_matter import line_of, read_front_matter
from chargehand.domain.values import bytes_hash, plain_text
from chargehand.errors import Finding, InvalidDefinition

MAX_DEFINITION_BYTES = 256 * 1024
AGENT_ID = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")

TOOL_NAMES = ("Read", "Write", "Edit", "MultiEdit", "Glob", "Grep", "Bash", "TodoWrite", "Delegate")
"""The tools that a definition may name; `Task` and `Agent` are what other products call `Delegate`."""

TOOL_ALIASES = {"Task": "Delegate", "Agent": "Delegate"}


class RuntimeKind(StrEnum):
    """How an attempt is carried out."""

    MODEL = "model"
    PLAYBOOK = "playbook"
    FUNCTION = "function"
    COMMAND = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDefinition:
    """What an agent is. `tools` is in the file's order; empty means none (absent in the file: all)."""

    id: str
    name: str
    description: str
    tools: tuple[str, ...]
    body: str
    block: Block
    version: str
    source: str
    extra: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def runtime(self) -> RuntimeKind:
        """A definition without a `chargehand:` block is carried out by a model."""
        return RuntimeKind(self.block.runtime)


def parse_definition(
    text: str, *, agent_id: str | None = None, origin: str = "definition"
) -> AgentDefinition:
    """Read a definition file. All that is wrong is told at once, with lines, as InvalidDefinition.

    `agent_id` overrides the slug that is otherwise made from `name`; `origin` is what messages call the file.
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
    front, body, first_line = _split(source, origin)
    fields, lines = read_front_matter(front, origin, first_line)
    findings: list[Finding] = []
    name = _text(fields, "name", findings)
    description = _text(fields, "description", findings)
    tools = _tools(fields.get("tools"), findings)
    block = read_block(fields.get("chargehand"), findings)
    slug = agent_id or slug_of(name)
    if name and not AGENT_ID.fullmatch(slug):
        findings.append(
            Finding(where="name", message=f"{slug!r} cannot be an agent id", hint="use a-z, 0-9, . _ -")
        )
    if not body.strip():
        findings.append(
            Finding(where="body", message="is empty", hint="write the system prompt below the ---")
        )
    if findings:
        findings = [replace(finding, line=line_of(finding.where, lines)) for finding in findings]
        first = findings[0]
        raise InvalidDefinition(f"{origin} cannot be registered: {first}", findings=findings)
    known = {"name", "description", "tools", "chargehand"}
    return AgentDefinition(
        id=slug,
        name=name,
        description=description,
        tools=tools,
        body=body.strip() + "\n",
        block=block,
        version=bytes_hash(source.encode("utf-8", "surrogatepass")),
        source=source,
        extra={key: value for key, value in fields.items() if key not in known},
    )


def slug_of(name: str) -> str:
    """An agent id made from a name: lower case, other characters to single hyphens."""
    return re.sub(r"[^a-z0-9._]+", "-", name.strip().lower()).strip("-._")


def _split(source: str, origin: str) -> tuple[str, str, int]:
    """Front matter, body and the line on which the front matter starts."""
    lead = len(source) - len(source.lstrip("\n \t"))
    match = re.match(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)(.*)\Z", source[lead:], re.DOTALL | re.MULTILINE)
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
    return match.group(1), match.group(2), source[:lead].count("\n") + 2


def _text(fields: Mapping[str, object], key: str, findings: list[Finding]) -> str:
    value = fields.get(key)
    if isinstance(value, str) and value.strip():
        return value.strip()
    what = "is missing" if value is None else "is not text"
    findings.append(Finding(where=key, message=what, hint=f"add `{key}: …` to the front matter"))
    return ""


def _tools(value: object, findings: list[Finding]) -> tuple[str, ...]:
    if value is None or value == "*":
        return TOOL_NAMES
    if isinstance(value, str):
        listed = [part.strip() for part in value.split(",") if part.strip()]
    elif isinstance(value, list):
        listed = [str(part).strip() for part in cast("list[object]", value)]
    else:
        findings.append(
            Finding(where="tools", message="is neither text nor a list", hint="tools: Read, Write")
        )
        return ()
    tools = tuple(dict.fromkeys(TOOL_ALIASES.get(tool, tool) for tool in listed))
    for tool in tools:
        if tool not in TOOL_NAMES:
            hint = "one of: " + ", ".join(TOOL_NAMES)
            findings.append(Finding(where="tools", message=f"there is no tool {tool!r}", hint=hint))
    return tools
