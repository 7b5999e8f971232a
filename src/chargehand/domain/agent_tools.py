"""The tools that a definition names, in the spellings of several products, as the tools that there are here.

Rule: a name that nobody here answers to is told and left out. When no listed name can be used the definition is
refused, because running it with all tools or with none is both not what was written.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import cast

from chargehand.errors import Finding

TOOL_NAMES = (
    "Read", "Write", "Edit", "MultiEdit", "Glob", "Grep", "Bash", "BashOutput", "KillShell", "TodoWrite", "Delegate",
)  # fmt: skip
"""The tools that a definition may name; `Task` and `Agent` are what other products call `Delegate`."""

SHOWN_NAMES: Mapping[str, str] = {"Delegate": "Agent"}
"""What people are told of a tool whose name here is not the one that they write."""

ONLY_WHEN_NAMED = ("AskUserQuestion",)
"""Tools that an absent list and `*` leave out: an agent is not to begin waiting for a person by an omission."""

_WRITE, _SEARCH = ("Edit", "Write"), ("Grep", "Glob")

_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    **{name.lower(): (name,) for name in (*TOOL_NAMES, *ONLY_WHEN_NAMED)},
    **dict.fromkeys(("task", "agent", "runsubagent"), ("Delegate",)),
    **dict.fromkeys(("ls", "list", "list_directory", "listdirectory", "filesearch"), ("Glob",)),
    **dict.fromkeys(("read_file", "read_many_files", "readfile", "notebookread", "view"), ("Read",)),
    **dict.fromkeys(("search_file_content", "grep_search", "textsearch", "searchtext"), ("Grep",)),
    **dict.fromkeys(("search", "codebase"), _SEARCH),
    **dict.fromkeys(("editfiles", "patch", "apply_patch"), _WRITE),
    **dict.fromkeys(("write_file", "createfile", "create_file"), ("Write",)),
    "replace": ("Edit",),
    **dict.fromkeys(
        ("execute", "shell", "terminal", "run_shell_command", "runcommands", "runinterminal"), ("Bash",)
    ),
    "taskoutput": ("BashOutput",),
    **dict.fromkeys(("killbash", "taskstop"), ("KillShell",)),
    **dict.fromkeys(("todo", "todos", "todoread", "write_todos"), ("TodoWrite",)),
}

_FOLLOW: Mapping[str, tuple[str, ...]] = {"Edit": ("MultiEdit",), "Bash": ("BashOutput", "KillShell")}

_OPTIONAL: Mapping[str, str] = {
    **dict.fromkeys(("webfetch", "web_fetch", "fetch"), "WebFetch"),
    **dict.fromkeys(("skill", "activate_skill"), "Skill"),
}
"""Tools that are there only where the operator's settings bring them."""

_SKILLS_HINT = "the operator puts skills into the folder that CHARGEHAND_SKILLS_DIR names"
_HINTS: Mapping[str, str] = {
    "WebFetch": "the operator allows hosts with CHARGEHAND_FETCH_HOSTS",
    "Skill": _SKILLS_HINT,
}

_ELSEWHERE = frozenset([
    "websearch", "notebookedit", "exitplanmode", "enterworktree",
    "listmcpresources", "readmcpresource", "web", "google_web_search",
])  # fmt: skip
"""Tools of other products that are not offered here; said apart from a name that nobody knows."""

_RULE = re.compile(r"([^()]+?)\s*\((.*)\)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRule:
    """A tool with the pattern that narrows it: `Bash(git:*)`."""

    tool: str
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolList:
    """What a list of tools says. `mcp` are names of tools on a server that is to be connected."""

    tools: tuple[str, ...] = ()
    rules: tuple[ToolRule, ...] = ()
    mcp: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a service has beside `TOOL_NAMES`: by its settings, and of the operator's own.

    `skills` is None where nobody knows which there are: away from the service.
    """

    optional: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()
    skills: frozenset[str] | None = None


NOTHING_MORE = Offer()


def is_taken(name: str) -> bool:
    """Whether a name, or a spelling of it, means a tool of the service or of an MCP server already."""
    spelling = name.lower()
    return (
        spelling in _SPELLINGS
        or spelling in _OPTIONAL
        or spelling in _ELSEWHERE
        or spelling.startswith("mcp_")
    )


def with_skills(listed: ToolList, skills: Sequence[str], findings: list[Finding], offer: Offer) -> ToolList:
    """Whoever names skills may load them, whether the tool for it is listed or not."""
    findings.extend(
        Finding(where="skills", message=f"there is no skill {name[:100]!r} here", hint=_SKILLS_HINT)
        for name in skills
        if offer.skills is not None and name not in offer.skills
    )
    if not skills or "Skill" not in offer.optional or "Skill" in listed.tools:
        return listed
    return replace(listed, tools=(*listed.tools, "Skill"))


def read_tools(
    value: object, findings: list[Finding], refused: list[Finding], offer: Offer = NOTHING_MORE
) -> ToolList:
    """The list under `tools`; absent or `*` is all but the operator's own, which are given by name only."""
    names = _names(value)
    if names is None:
        refused.append(
            Finding(where="tools", message="is neither text nor a list", hint="tools: Read, Write")
        )
        return ToolList()
    if value is None or any(name in ("*", "all") for name in names):
        rest = [name for name in names if name not in ("*", "all")]
        found = _resolve(rest, "tools", [], offer)
        named = tuple(tool for tool in found.tools if tool in offer.own or tool in ONLY_WHEN_NAMED)
        return ToolList(tools=(*TOOL_NAMES, *offer.optional, *named), rules=(), mcp=found.mcp)
    unknown: list[Finding] = []
    found = _resolve(names, "tools", unknown, offer)
    (refused if names and not (found.tools or found.mcp) else findings).extend(unknown)
    findings.extend(
        Finding(where="tools", message=f"{rule.tool}({rule.pattern}) narrows what a model may call")
        for rule in found.rules
    )
    return found


def read_denied(value: object, findings: list[Finding], offer: Offer = NOTHING_MORE) -> ToolList:
    """The list under `disallowedTools`; what is not known here needs no denying."""
    names = _names(value)
    if names is None:
        findings.append(
            Finding(where="disallowedTools", message="is neither text nor a list; it denies nothing")
        )
        return ToolList()
    if any(name in ("*", "all") for name in names):
        return ToolList(tools=(*TOOL_NAMES, *offer.optional, *offer.own))
    found = _resolve(names, "disallowedTools", [], offer)
    ruled = [rule.tool for rule in found.rules]
    findings.extend(
        Finding(where="disallowedTools", message=f"{rule.tool}({rule.pattern}) is denied to a model")
        for rule in found.rules
    )
    plain = {tool for name in names if not _RULE.fullmatch(name) for tool in _spelt(name, offer)}
    kept = tuple(tool for tool in found.tools if tool not in ruled or tool in plain)
    # Whoever may not edit may not make several edits at once either; without Bash there is nothing to look after.
    follow = [more for tool, others in _FOLLOW.items() if tool in kept for more in others]
    return ToolList(tools=(*kept, *follow), rules=found.rules, mcp=found.mcp)


def split_names(text: str) -> list[str]:
    """`Read, Bash(git:*), Agent(a, b)` at its commas outside brackets."""
    parts, depth, start = list[str](), 0, 0
    for place, char in enumerate(text):
        depth = max(0, depth + (char == "(") - (char == ")"))
        if char in ",\n" and not depth:
            parts.append(text[start:place])
            start = place + 1
    names = [part.strip().strip("\"'[]`").strip() for part in [*parts, text[start:]]]
    return [name.removeprefix("- ").strip() for name in names if name]


def _names(value: object) -> list[str] | None:
    """None for what is no list of names."""
    if value is None:
        return []
    if isinstance(value, str):
        names = split_names(value)
        words = value.split()
        # Some files separate by spaces only; they are believed when every word is a tool.
        if len(names) == 1 and len(words) > 1 and all(_spelt(word) for word in words):
            return words
        return names
    if isinstance(value, list):
        return [name for item in cast("list[object]", value) if (name := str(item).strip())]
    if isinstance(value, dict):
        mapping = cast("dict[object, object]", value)
        return [str(name) for name, allowed in mapping.items() if allowed is True]
    return None


def _spelt(name: str, offer: Offer = NOTHING_MORE) -> tuple[str, ...]:
    spelling = name.lower()
    if name in offer.own:
        return (name,)
    if spelling in _OPTIONAL:
        return tuple(tool for tool in (_OPTIONAL[spelling],) if tool in offer.optional)
    return _SPELLINGS.get(spelling) or _SPELLINGS.get(spelling.rpartition("/")[2], ())


def _resolve(names: list[str], where: str, unknown: list[Finding], offer: Offer) -> ToolList:
    tools: dict[str, None] = {}
    rules: dict[ToolRule, None] = {}
    mcp: dict[str, None] = {}
    for written in names:
        match = _RULE.fullmatch(written)
        name, pattern = (match[1], match[2].strip()) if match else (written, "")
        if name.startswith(("mcp__", "mcp_")):
            mcp[written] = None
            continue
        spelt = _spelt(name, offer)
        tools.update(dict.fromkeys(spelt))
        if pattern:
            rules.update({ToolRule(tool=tool, pattern=pattern): None for tool in spelt})
        if not spelt:
            known = name.lower() in _ELSEWHERE or name.lower() in _OPTIONAL
            message = f"the tool {name!r} is not offered here" if known else f"there is no tool {name!r}"
            hint = _HINTS.get(_OPTIONAL.get(name.lower(), ""), "") if known else _hint(name, offer)
            unknown.append(Finding(where=where, message=message, hint=hint))
    return ToolList(tools=tuple(tools), rules=tuple(rules), mcp=tuple(mcp))


def _hint(name: str, offer: Offer) -> str:
    """What somebody who wrote a name that nobody knows may have meant."""
    known = [*(SHOWN_NAMES.get(tool, tool) for tool in (*TOOL_NAMES, *ONLY_WHEN_NAMED)), "Skill", "WebFetch"]
    own = sorted(offer.own)
    by_spelling = {tool.lower(): tool for tool in [*known, *own]}
    close = get_close_matches(name.lower(), by_spelling, 1, 0.7)
    return f"did you mean {by_spelling[close[0]]}?" if close else "one of: " + ", ".join([*known, *own])
