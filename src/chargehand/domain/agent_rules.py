"""What the patterns beside tools in a definition let through: `Bash(git:*)`, `Read(src/**)`.

Rule: whatever a pattern cannot judge is refused. A command line is judged as one command, so one that chains,
substitutes or redirects never passes a pattern that allows, and is taken apart for a pattern that denies.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from chargehand.domain.agent_tools import ToolRule
from chargehand.domain.values import JsonObject

_COMPOUND = re.compile(r"[;&|<>`\n]|\$\(")
_PARTS = re.compile(r"[;&|<>`\n()]+")


def rule_refusal(
    tool: str, arguments: JsonObject, allowed: Sequence[ToolRule], denied: Sequence[ToolRule]
) -> str | None:
    """Why the definition does not let this call through, in words for the agent; None when it does."""
    subject = _subject(tool, arguments)
    for rule in denied:
        if rule.tool == tool and any(_matches(rule.pattern, part) for part in _parts(tool, subject)):
            return f"{tool} was not run: the definition denies {tool}({rule.pattern})."
    patterns = [rule.pattern for rule in allowed if rule.tool == tool]
    if not patterns:
        return None
    may = ", ".join(f"{tool}({pattern})" for pattern in patterns)
    if subject is None:
        return f"{tool} was not run: the definition allows only {may}."
    if tool == "Bash" and _COMPOUND.search(subject) and "*" not in patterns:
        return (
            f"Bash was not run: the definition allows only {may}, one command at a time without redirection."
        )
    if any(_matches(pattern, subject.strip()) for pattern in patterns):
        return None
    return f"{tool} was not run: the definition allows only {may}."


def _subject(tool: str, arguments: JsonObject) -> str | None:
    """What a pattern of this tool speaks of: the command line, or the path; None when the call has neither."""
    keys = (
        ("command",)
        if tool == "Bash"
        else ("subagent_type",)
        if tool == "Delegate"
        else ("file_path", "path")
    )
    found = next((arguments[key] for key in keys if key in arguments), None)
    return found if isinstance(found, str) and ".." not in found.split("/") else None


def _parts(tool: str, subject: str | None) -> list[str]:
    """What a denial is held against: of a command line each command in it; of a call without subject anything."""
    if subject is None:
        return [""]
    return [part.strip() for part in _PARTS.split(subject)] if tool == "Bash" else [subject]


def _matches(pattern: str, subject: str) -> bool:
    if pattern.endswith(":*"):
        start = pattern[:-2]
        return subject == start or subject.startswith(f"{start} ")
    return fnmatchcase(subject, pattern)
