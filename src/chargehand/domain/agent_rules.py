"""What the patterns beside tools in a definition let through: `Bash(git:*)`, `Read(src/**)`.

Rule: whatever a pattern cannot judge is refused. A command line is judged as one command, so one that chains,
substitutes or redirects never passes a pattern that allows, and is roughly taken apart for a pattern that denies. A
denied command behind another (`env rm`) is found where the call is judged, in `runtimes/permission.py`.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from posixpath import normpath
from urllib.parse import urlsplit

from chargehand.domain.agent_tools import ToolRule
from chargehand.domain.policy import WRITERS
from chargehand.domain.values import JsonObject

_COMPOUND = re.compile(r"[;&|<>`\n]|\$\(")
_PARTS = re.compile(r"[;&|<>`\n()]+")


def rule_refusal(
    tool: str, arguments: JsonObject, allowed: Sequence[ToolRule], denied: Sequence[ToolRule]
) -> str | None:
    """Why the definition does not let this call through, in words for the agent; None when it does."""
    subject = _subject(tool, arguments)
    for rule in denied:
        is_meant = rule.tool == tool or {rule.tool, tool} <= WRITERS
        if is_meant and (subject is None or _denies(rule, subject)):
            return f"{tool} was not run: the definition denies {rule.tool}({rule.pattern})."
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
        else ("url",)
        if tool == "WebFetch"
        else ("file_path", "path")
    )
    found = next((arguments[key] for key in keys if key in arguments), None)
    if not isinstance(found, str) or tool in ("Bash", "Delegate"):
        return found if isinstance(found, str) else None
    if tool == "WebFetch":
        return _host(found)
    # Only a plain relative path is comparable; `./x` and `a//x` are written as a pattern would write them.
    return None if found.startswith("/") or ".." in found.split("/") else normpath(found)


def _host(url: str) -> str | None:
    """What `WebFetch(domain:x)` speaks of."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return None
    return f"domain:{host.rstrip('.')}" if host else None


def _denies(rule: ToolRule, subject: str) -> bool:
    """Whether a denial speaks of this; of a command line it is held against each command in it."""
    if rule.tool == "Bash":
        return any(_matches(rule.pattern, part.strip()) for part in _PARTS.split(subject))
    # Neither names of hosts nor those of files (on some systems) tell the cases apart.
    pattern, subject = rule.pattern.casefold(), subject.casefold()
    if rule.tool == "WebFetch" and subject.endswith(f".{pattern.removeprefix('domain:')}"):
        return True  # Whoever may not ask a host may not ask one below it either.
    return _matches(pattern, subject)


def _matches(pattern: str, subject: str) -> bool:
    if pattern.endswith(":*"):
        start = pattern[:-2]
        return subject == start or subject.startswith(f"{start} ")
    return any(fnmatchcase(subject, one.strip().removeprefix("./")) for one in pattern.split(","))
