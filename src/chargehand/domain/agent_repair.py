"""Repairs of definitions from the wild: bytes to text, broken characters, front matter that is no YAML.

Rule: each repair is told as a finding with its line; text that is not broken is never touched.
"""

import re
from collections.abc import Mapping
from typing import cast

import yaml

from chargehand.domain.front_matter import Fields
from chargehand.errors import Finding, InvalidDefinition

KNOWN_KEYS = frozenset([
    "name", "description", "tools", "model", "color", "disallowedTools", "allowedTools",
    "allowed-tools", "permissionMode", "maxTurns", "skills", "mcpServers", "mcp-servers", "hooks",
    "memory", "background", "effort", "isolation", "initialPrompt", "chargehand", "capabilities",
    "emoji", "vibe", "activation_triggers", "category", "difficulty", "estimated_time", "type",
    "author", "version", "tags", "priority", "mode", "temperature", "top_p", "permission", "steps",
    "maxSteps", "hidden", "readonly", "is_background", "kind", "max_turns", "timeout_mins",
    "agents", "handoffs", "target", "argument-hint", "metadata", "license", "proactive", "triggers",
])  # fmt: skip
"""Where a line may start a new field when YAML gives up; any other `word: text` may be prose."""

_KEY = re.compile(r"(?P<indent>[ \t]{0,3})(?P<key>[A-Za-z][\w-]*):(?=\s|$)(?P<value>.*)", re.DOTALL)


def decode(content: bytes, origin: str) -> tuple[str, list[Finding]]:
    """A file's text: UTF-8, UTF-16 with a mark, else Windows-1252, which is told."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding, told = "utf-16", "UTF-16"
    else:
        try:
            return content.decode("utf-8-sig"), []
        except UnicodeDecodeError:
            encoding, told = "cp1252", "Windows-1252"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        finding = Finding(where="encoding", message="is neither UTF-8, UTF-16 nor Windows-1252", line=1)
        raise InvalidDefinition(f"{origin} is no text", findings=[finding]) from None
    return text, [Finding(where="encoding", message=f"is not UTF-8; read as {told}", line=1)]


def repair_characters(text: str, findings: list[Finding]) -> str:
    """Undo text that was decoded wrongly once (`itâ€™s`), in the lines that are bad and in no others."""
    if text.isascii():
        return text
    # Loaded here because it costs some ten milliseconds, which a file of plain ASCII need not pay.
    import ftfy  # noqa: PLC0415 - see above
    from ftfy.badness import is_bad  # noqa: PLC0415 - see above

    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if line.isascii() or not is_bad(line):
            continue
        repaired = ftfy.fix_encoding(line)
        if repaired != line and "\n" not in repaired:
            lines[number - 1] = repaired
            findings.append(
                Finding(
                    where="text", message="characters that were decoded wrongly are repaired", line=number
                )
            )
    return "\n".join(lines)


def scan_front_matter(front: str, first_line: int) -> Fields | None:
    """The fields of a front matter that is no YAML, line by line; None when no known key starts a line.

    A field starts only at a known key at the start of a line that was not there before; every other line belongs
    to the field above, so that `user: …` in the examples of a description stays in the description. A little white
    space before a key is a slip, unless the line above opened a block or the key stands elsewhere without it.
    """
    blocks: list[tuple[str, int, list[str]]] = []
    rows = front.split("\n")
    flush = {match["key"] for row in rows if (match := _KEY.match(row)) and not match["indent"]}
    seen: set[str] = set()
    for number, line in enumerate(rows, start=first_line):
        match = _KEY.match(line)
        key = match["key"] if match else ""
        slipped = match is not None and bool(match["indent"])
        if slipped and (key in flush or not blocks or _opens_block(blocks[-1][2][0])):
            key = ""
        if key in KNOWN_KEYS and key not in seen:
            seen.add(key)
            blocks.append((key, number, [line.lstrip() if slipped else line]))
        elif blocks:
            blocks[-1][2].append(line)
    if not blocks:
        return None
    values: dict[str, object] = {}
    lines: dict[str, int] = {}
    for key, number, block in blocks:
        for found, value in _block_values(key, block).items():
            if values.setdefault(found, value) is value:
                lines.setdefault(found, number)
    return Fields(values=values, lines=lines)


def _opens_block(line: str) -> bool:
    """Whether what is indented below a line is its value: `chargehand:`, `description: |`."""
    value = line.partition(":")[2].strip()
    return not value or value[0] in "|>[{"


def _block_values(key: str, block: list[str]) -> Mapping[str, object]:
    """A block as YAML when it is that alone, else as text. A description may look like more fields: it is text."""
    text = "\n".join(block).replace("\t", "  ")
    try:
        loaded: object = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        loaded = None
    if isinstance(loaded, dict) and key in loaded:
        fields = cast("dict[object, object]", loaded)
        if len(fields) == 1 or key not in ("name", "description"):
            return {str(name): value for name, value in fields.items()}
    first = block[0].partition(":")[2]
    return {key: _unquoted("\n".join([first, *block[1:]]).strip())}


def _unquoted(text: str) -> str:
    text = re.sub(r"\A[|>][+-]?[ \t]*\n", "", text).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text
