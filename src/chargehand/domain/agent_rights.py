"""What is easily missed of `tools`: a line that a repair would swallow, a key that is nearly right, no value.

Rule: an agent without `tools` may use all of them, so whatever looks like the field is never passed over in silence.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from chargehand.domain.agent_tools import SHOWN_NAMES, TOOL_NAMES
from chargehand.domain.front_matter import Fields
from chargehand.errors import Finding

ALL_TOOLS = "it gets all tools (Read, Write, Bash, …)"

_GIVING = ("tools", "allowedTools", "allowed-tools")
_DENYING = "disallowedTools"
_LINE = re.compile(
    r"[^\S\n]*[\"'`]?(?P<denied>dis)?(?:tools?|allowed[-_ ]?tools?)[\"'`]?[^\S\n]*:(?P<value>.*)",
    re.IGNORECASE,
)
_ITEM = re.compile(r"\s*-\s*(\S.*)")
_KEYS: Mapping[str, str] = {"tools": "tools", "allowedtools": "tools", "disallowedtools": _DENYING}
_CLOSE = 0.8


def take_swallowed(
    fields: Fields, front: str, first_line: int, findings: list[Finding], refused: list[Finding]
) -> Fields:
    """The fields of a repaired front matter, with the lists of tools that were read as text of another field.

    Lines that say different things are not chosen from: they are refused, or nothing is given.
    """
    values, lines = dict(fields.values), dict(fields.lines)
    for key, is_denial in (("tools", False), (_DENYING, True)):
        names = (_DENYING,) if is_denial else _GIVING
        if any(values.get(name) is not None for name in names):
            continue
        found = [one for one in _lists(front, first_line) if one[2] is is_denial]
        if not found:
            if not is_denial and key not in values:
                findings.append(
                    Finding(where="tools", message=f"was not found: {ALL_TOOLS}", line=first_line)
                )
            continue
        line, listed, _ = found[0]
        if any(one[1] != listed for one in found):
            told = ", ".join(str(one[0]) for one in found)
            refused.append(
                Finding(
                    where=key,
                    message=f"cannot be told from the text around it: lines {told} say different things",
                    line=line,
                    hint=f"write `{key}: …` at the start of a line and quote the description",
                )
            )
            listed = "*" if is_denial else ""
        else:
            findings.append(Finding(where=key, message="is taken from a line like it", line=line))
        values[key], lines[key] = listed, line
    return Fields(values=values, lines=lines, written=fields.written)


def note_near_misses(written: Mapping[str, object], given: object, findings: list[Finding]) -> None:
    """Tell of an empty `tools`, and of keys that look like it. `given` is what is taken for the field."""
    if given is None and "tools" in written and written["tools"] is None:
        findings.append(
            Finding(where="tools", message=f"is empty: {ALL_TOOLS}", hint="`tools: []` gives none")
        )
    for key in written:
        plain = re.sub(r"[^a-z]", "", key.lower())
        close = get_close_matches(plain, _KEYS, 1, _CLOSE)
        if key in (*_GIVING, _DENYING) or not close:
            continue
        meant = _KEYS[close[0]]
        if meant == "tools" and given is None:
            message = f"is not a known key, and there is no `tools`: {ALL_TOOLS}"
        elif meant == _DENYING and _DENYING not in written:
            message = "is not a known key; it denies nothing"
        else:
            continue
        findings.append(Finding(where=key, message=message, hint=f"did you mean {meant!r}?"))


def tools_told(tools: Sequence[str], mcp_tools: Sequence[str]) -> str:
    """What an agent may use, for a person: that it is everything is not to be counted together by them."""
    rest = [tool for tool in tools if tool not in TOOL_NAMES]
    has_all = len(tools) - len(rest) == len(TOOL_NAMES)
    shown = [SHOWN_NAMES.get(tool, tool) for tool in (TOOL_NAMES if has_all else tools)]
    listed = [f"all ({', '.join(shown)})", *rest] if has_all else shown
    return ", ".join([*listed, *mcp_tools]) or "none"


def _lists(front: str, first_line: int) -> list[tuple[int, str, bool]]:
    """The lines that look like a list of tools: number, what stands there, whether it denies."""
    found: list[tuple[int, str, bool]] = []
    rows = front.split("\n")
    for index, row in enumerate(rows):
        match = _LINE.fullmatch(row)
        if match is None:
            continue
        listed = [value] if (value := match["value"].strip()) else []
        for below in rows[index + 1 :] if not listed else []:
            item = _ITEM.fullmatch(below)
            if item is None:
                break
            listed.append(item[1])
        if listed:
            found.append((first_line + index, ", ".join(listed), bool(match["denied"])))
    return found
