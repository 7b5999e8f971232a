"""The formats of agent files that several products have, told apart and mapped to the fields of one.

Rule: what a file means follows from its text alone, because a service sees no path; the path only helps to name
the format. A field that has no meaning here is kept under its own name.
"""

import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import cast

from chargehand.domain.front_matter import Fields
from chargehand.errors import Finding


class Format(StrEnum):
    """Whose format a definition is in."""

    CLAUDE = "claude"
    COPILOT = "copilot"
    OPENCODE = "opencode"
    GEMINI = "gemini"
    CODEX = "codex"
    CURSOR = "cursor"


_SAME = {
    "allowedTools": "tools",
    "allowed-tools": "tools",
    "is_background": "background",
    "max_turns": "maxTurns",
    "maxSteps": "maxTurns",
    "steps": "maxTurns",
    "mcp-servers": "mcpServers",
    "mcp_servers": "mcpServers",
    "model_reasoning_effort": "effort",
}
"""What other products call a field that is known here."""

_KEYS = (
    (
        Format.CODEX,
        {"developer_instructions", "sandbox_mode", "model_reasoning_effort", "nickname_candidates"},
    ),
    (Format.CURSOR, {"readonly", "is_background"}),
    (Format.GEMINI, {"max_turns", "timeout_mins", "agent_card_url"}),
    (
        Format.COPILOT,
        {"user-invocable", "disable-model-invocation", "handoffs", "argument-hint", "mcp-servers"},
    ),
    (Format.OPENCODE, {"permission", "maxSteps", "top_p"}),
)

_FOLDERS = {
    ".opencode": Format.OPENCODE,
    ".gemini": Format.GEMINI,
    ".codex": Format.CODEX,
    ".cursor": Format.CURSOR,
    ".claude": Format.CLAUDE,
}

_CHANGING = ("Write", "Edit", "MultiEdit", "Bash")
"""What an agent that may only read does not get: a command may write, too."""


def format_of(path: str | None, values: Mapping[str, object]) -> Format:
    """By the path where it says so, else by keys that one product alone has."""
    parts = PurePosixPath((path or "").replace("\\", "/")).parts
    if parts and parts[-1].lower().endswith((".agent.md", ".chatmode.md")):
        return Format.COPILOT
    for part in reversed(parts[:-1]):
        if part in _FOLDERS:
            return _FOLDERS[part]
    for one, keys in _KEYS:
        if not keys.isdisjoint(values):
            return one
    if values.get("mode") in ("primary", "subagent", "all") or isinstance(values.get("tools"), dict):
        return Format.OPENCODE
    return Format.CLAUDE


def stem_of(path: str) -> str:
    """The name that a file's name is for an agent without one: `reviewer` of `reviewer.agent.md`."""
    name = PurePosixPath(path.replace("\\", "/")).name
    return re.sub(r"(?:\.agent|\.chatmode)?\.(?:md|markdown|mdc|toml)\Z", "", name, flags=re.IGNORECASE)


def looks_like_toml(text: str) -> bool:
    """A Codex agent: no front matter, but its instructions under a key."""
    return not text.lstrip().startswith("---") and bool(
        re.search(r"^developer_instructions\s*=", text, re.MULTILINE)
    )


def read_toml(text: str) -> tuple[Fields, str] | Finding:
    """A Codex agent's fields and its instructions."""
    try:
        values: dict[str, object] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        line = re.search(r"line (\d+)", str(error))
        return Finding(where="file", message=f"is not TOML: {error}", line=int(line[1]) if line else 1)
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        match = re.match(r"([\w-]+)\s*=|\[+([\w-]+)", line)
        if match:
            lines.setdefault(match[1] or match[2], number)
    body = values.pop("developer_instructions", "")
    lines["body"] = lines.pop("developer_instructions", 1)
    return Fields(values=values, lines=lines), body if isinstance(body, str) else ""


def mapped(fields: Fields) -> Fields:
    """The fields under the names that are known here; a name that the file uses itself wins."""
    values, lines = dict(fields.values), dict(fields.lines)
    for theirs, ours in _SAME.items():
        if theirs in values and ours not in values:
            values[ours] = values[theirs]
            lines[ours] = lines.get(theirs, 1)
    denied = [*_off(values), *_forbidden(values)]
    if denied:
        given = values.get("disallowedTools")
        listed = cast("list[object]", given) if isinstance(given, list) else [given] if given else []
        values["disallowedTools"] = [*(str(one) for one in listed), *denied]
    return Fields(values=values, lines=lines, written=fields.written)


def _off(values: dict[str, object]) -> list[str]:
    """The tools that a mapping `name: false` turns off. Where it turns off some, all others stay."""
    tools = values.get("tools")
    if not isinstance(tools, dict):
        return []
    mapping = {str(name): on for name, on in cast("dict[object, object]", tools).items()}
    off = [name for name, on in mapping.items() if on is False and name != "*"]
    if off and mapping.get("*") is not False:
        values["tools"] = None
        return off
    return []


def _forbidden(values: Mapping[str, object]) -> list[str]:
    """What `readonly`, a sandbox that only reads, and `permission: {edit: deny}` take away."""
    if values.get("readonly") is True or values.get("sandbox_mode") == "read-only":
        return list(_CHANGING)
    permission = values.get("permission")
    if not isinstance(permission, dict):
        return []
    denied: list[str] = []
    for name, answer in cast("dict[object, object]", permission).items():
        if answer == "deny":
            denied.extend(("Write", "Edit", "MultiEdit") if name == "edit" else (str(name),))
    return denied
