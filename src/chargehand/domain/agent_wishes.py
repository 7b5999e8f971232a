"""What a definition asks of the product that runs it: model, turns, permissions, skills, and the like.

Rule: these are wishes of a text from anywhere. A value that cannot be read is told and left out, never fatal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from chargehand.domain.agent_tools import split_names
from chargehand.errors import Finding

PERMISSION_MODES = ("default", "acceptEdits", "auto", "dontAsk", "bypassPermissions", "plan", "manual")
EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
ISOLATIONS = ("worktree",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """None or empty is not said by the file."""

    model: str | None = None
    max_turns: int | None = None
    permission_mode: str | None = None
    skills: tuple[str, ...] = ()
    mcp_servers: tuple[str, ...] = ()
    background: bool = False
    isolation: str | None = None
    effort: str | None = None


def read_wishes(fields: Mapping[str, object], findings: list[Finding]) -> Wishes:
    """The wishes among the fields of a front matter."""
    return Wishes(
        model=_first(fields, "model", findings),
        max_turns=_whole(fields, "maxTurns", findings),
        permission_mode=_choice(fields, "permissionMode", PERMISSION_MODES, findings),
        skills=_names(fields, "skills", findings),
        mcp_servers=_servers(fields, findings),
        background=_switch(fields, "background", findings),
        isolation=_choice(fields, "isolation", ISOLATIONS, findings),
        effort=_choice(fields, "effort", EFFORTS, findings),
    )


def _ignored(key: str, value: object, findings: list[Finding], hint: str = "") -> None:
    shown = repr(value)
    findings.append(Finding(where=key, message=f"{shown[:60]} is not understood and left out", hint=hint))


def _first(fields: Mapping[str, object], key: str, findings: list[Finding]) -> str | None:
    """Text, or the first of a list of fallbacks."""
    value = fields.get(key)
    listed = cast("list[object]", value) if isinstance(value, list) else [value]
    value = listed[0] if listed else None
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value.strip()
    _ignored(key, value, findings)
    return None


def _whole(fields: Mapping[str, object], key: str, findings: list[Finding]) -> int | None:
    value = fields.get(key)
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value.strip()[:9])
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    _ignored(key, value, findings, "a whole number greater than zero")
    return None


def _choice(
    fields: Mapping[str, object], key: str, choices: tuple[str, ...], findings: list[Finding]
) -> str | None:
    value = fields.get(key)
    if value is None or value in choices:
        return None if value is None else str(value)
    _ignored(key, value, findings, "one of: " + ", ".join(choices))
    return None


def _switch(fields: Mapping[str, object], key: str, findings: list[Finding]) -> bool:
    value = fields.get(key, False)
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "yes", "false", "no"):
        return str(value).lower() in ("true", "yes")
    _ignored(key, value, findings, "true or false")
    return False


def _servers(fields: Mapping[str, object], findings: list[Finding]) -> tuple[str, ...]:
    """Names of MCP servers. One that is described here is not connected to: a definition may come from anywhere."""
    value = fields.get("mcpServers")
    listed = cast("list[object]", value) if isinstance(value, list) else [value]
    described = [
        str(name) for one in listed if isinstance(one, dict) for name in cast("dict[object, object]", one)
    ]
    for name in described:
        findings.append(
            Finding(
                where="mcpServers",
                message=f"the server {name[:64]!r} is described here, which is not trusted",
                hint="the operator configures it under this name in CHARGEHAND_MCP_FILE",
            )
        )
    return _names(fields, "mcpServers", findings)


def _names(fields: Mapping[str, object], key: str, findings: list[Finding]) -> tuple[str, ...]:
    """Names as text or a list; of a mapping, or of mappings in a list, the keys."""
    value = fields.get(key)
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(split_names(value))
    if isinstance(value, dict):
        return tuple(str(name) for name in cast("dict[object, object]", value))
    if not isinstance(value, list):
        _ignored(key, value, findings, "a list of names")
        return ()
    names: list[str] = []
    for item in cast("list[object]", value):
        if isinstance(item, dict):
            names.extend(str(name) for name in cast("dict[object, object]", item))
        else:
            names.append(str(item))
    return tuple(names)
