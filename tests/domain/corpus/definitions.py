"""A corpus of agent files in the variants and about the proportions that public collections have.

All text is made here from a few words. Each file says whether it can be read and which findings it must give.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

ROLES = (
    "api-designer", "backend-architect", "code-reviewer", "data-engineer", "debugger", "docs-writer",
    "frontend-developer", "incident-responder", "migration-planner", "performance-tester", "release-manager",
    "security-auditor", "sql-tuner", "test-writer", "ux-researcher",
)  # fmt: skip
BODY = "You are careful.\n\n## Steps\n1. Look: read what is there.\n2. Act.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One file. `findings` are (where, line) in the order in which they are told; of a refused file, its reasons."""

    path: str
    content: bytes
    recovered: bool = True
    name: str = ""
    tools: tuple[str, ...] | None = None
    findings: tuple[tuple[str, int | None], ...] = ()


def corpus() -> Iterator[Sample]:
    """Every sample, a few hundred."""
    for variant, (times, make) in VARIANTS.items():
        for number in range(times):
            role = ROLES[number % len(ROLES)]
            yield make(f"{variant}/{number:02}/{role}", role)


def _file(*front: str, body: str = BODY) -> bytes:
    return ("---\n" + "\n".join(front) + f"\n---\n{body}").encode()


def _plain(path: str, role: str) -> Sample:
    front = (f"name: {role}", f"description: Works as {role}.", "tools: Read, Grep, Bash", "model: sonnet")
    return Sample(path=f"{path}.md", content=_file(*front), name=role, tools=("Read", "Grep", "Bash"))


def _all_tools(path: str, role: str) -> Sample:
    content = _file(
        f"name: {role}", "description: Does all.", "color: blue", "capabilities: [a, b]", "vibe: calm"
    )
    return Sample(path=f"{path}.md", content=content, name=role)


def _listed_tools(path: str, role: str) -> Sample:
    content = _file(f"name: {role}", "description: d", "tools:", "  - Read", "  - read", "  - Task")
    return Sample(path=f"{path}.md", content=content, name=role, tools=("Read", "Delegate"))


def _single_tool(path: str, role: str) -> Sample:
    return Sample(path=f"{path}.md", content=_file(f"name: {role}", "description: d", "tools: Read"), name=role,
                  tools=("Read",))  # fmt: skip


def _star(path: str, role: str) -> Sample:
    content = _file(f"name: {role}", "description: d", "tools: *")
    return Sample(path=f"{path}.md", content=content, name=role, findings=(("front matter", 4),))


def _quoted_star(path: str, role: str) -> Sample:
    return Sample(
        path=f"{path}.md", content=_file(f"name: {role}", "description: d", "tools: '*'"), name=role
    )


def _colons(path: str, role: str) -> Sample:
    content = _file(
        f"name: {role}", "description: Use when: tests fail. Example: user: 'why?'", "tools: Read, Edit"
    )
    return Sample(path=f"{path}.md", content=content, name=role, tools=("Read", "Edit"),
                  findings=(("front matter", 3),))  # fmt: skip


def _examples(path: str, role: str) -> Sample:
    content = _file(
        f"name: {role}", "description: Use for work. Examples: many.", "<example>", 'user: "Do it: now"',
        'assistant: "I shall"', "</example>", "tools: Read, Write", "color: red",
    )  # fmt: skip
    return Sample(path=f"{path}.md", content=content, name=role, tools=("Read", "Write"),
                  findings=(("front matter", 3),))  # fmt: skip


def _bold(path: str, role: str) -> Sample:
    content = _file(f"name: {role}", "description: **Bold**: helps", "model: opus", "tools: Grep")
    return Sample(
        path=f"{path}.md", content=content, name=role, tools=("Grep",), findings=(("front matter", 3),)
    )


def _windows(path: str, role: str) -> Sample:
    content = _file(f"name: {role}", "description: d", "tools: Read").replace(b"\n", b"\r\n")
    return Sample(path=f"{path}.md", content=content, name=role, tools=("Read",))


def _marked(path: str, role: str) -> Sample:
    return Sample(
        path=f"{path}.md", content=b"\xef\xbb\xbf" + _file(f"name: {role}", "description: d"), name=role
    )


def _led(path: str, role: str) -> Sample:
    content = b"\n<!-- kept by hand -->\n\n" + _file(f"name: {role}", "description: d", "tools: Raed, Read")
    return Sample(path=f"{path}.md", content=content, name=role, tools=("Read",),
                  findings=(("file", 1), ("tools", 7)))  # fmt: skip


def _fenced(path: str, role: str) -> Sample:
    content = b"```markdown\n" + _file(f"name: {role}", "description: d") + b"```\n"
    return Sample(path=f"{path}.md", content=content, name=role, findings=(("file", 1),))


def _tabs(path: str, role: str) -> Sample:
    content = _file(f"name:\t{role}", "description:\td", "tools:", "\t- Read", "\t- Glob")
    return Sample(path=f"{path}.md", content=content, name=role, tools=("Read", "Glob"),
                  findings=(("front matter", 2),))  # fmt: skip


def _mojibake(path: str, role: str) -> Sample:
    broken = (
        "It\u2019s \u201cdone\u201d \u2013 café".encode().decode("cp1252", "replace").replace("\ufffd", "")
    )
    content = _file(f"name: {role}", "description: d", body=f"You work.\n{broken}\n")
    return Sample(path=f"{path}.md", content=content, name=role, findings=(("text", 6),))


def _good_characters(path: str, role: str) -> Sample:
    content = _file(
        f"name: {role}", "description: Prüft \u2013 “genau”", body="Überall → ✅ 漢字 “so” naïve Ångström\n"
    )
    return Sample(path=f"{path}.md", content=content, name=role)


def _windows_1252(path: str, role: str) -> Sample:
    content = _file(f"name: {role}", "description: Prüft", body="Grüße\n").decode().encode("cp1252")
    return Sample(path=f"{path}.md", content=content, name=role, findings=(("encoding", 1),))


def _spaced_name(path: str, role: str) -> Sample:
    name = role.replace("-", " ").title()
    return Sample(path=f"{path}.md", content=_file(f"name: {name}", "description: d", "emoji: 🙂"), name=name)


def _number_name(path: str, role: str) -> Sample:
    del role
    content = _file("name: 3000", "description: d")
    return Sample(path=f"{path}.md", content=content, name="3000", findings=(("name", 2),))


def _nameless(path: str, role: str) -> Sample:
    content = _file("description: d", "tools: Read")
    return Sample(path=f"{path}.md", content=content, name=role, tools=("Read",), findings=(("name", None),))


def _undescribed(path: str, role: str) -> Sample:
    return Sample(
        path=f"{path}.md", content=_file(f"name: {role}"), name=role, findings=(("description", None),)
    )


def _patterns(path: str, role: str) -> Sample:
    content = _file(
        f"name: {role}", "description: d", "tools: Read, Bash(git:*), Agent(a, b), mcp__github__search"
    )
    return Sample(path=f"{path}.md", content=content, name=role, tools=("Read", "Bash", "Delegate"),
                  findings=(("tools", 4), ("tools", 4)))  # fmt: skip


def _partly_known(path: str, role: str) -> Sample:
    content = _file(f"name: {role}", "description: d", "tools: Read, WebSearch, docker")
    return Sample(path=f"{path}.md", content=content, name=role, tools=("Read",),
                  findings=(("tools", 4), ("tools", 4)))  # fmt: skip


def _wishes(path: str, role: str) -> Sample:
    content = _file(
        f"name: {role}", "description: d", "disallowedTools: Write, Edit", "permissionMode: plan", "maxTurns: 9",
        "effort: high", "skills: [a]", "tools: Read, Write", "maxTurn: 1", "background: maybe",
    )  # fmt: skip
    return Sample(
        path=f"{path}.md", content=content, name=role, tools=("Read",), findings=(("background", 11),)
    )


def _copilot(path: str, role: str) -> Sample:
    content = _file("description: d", "tools: ['read', 'edit/editFiles', 'search', 'execute']")
    return Sample(path=f"{path}.agent.md", content=content, name=role,
                  tools=("Read", "Edit", "Write", "Grep", "Glob", "Bash"), findings=(("name", None),))  # fmt: skip


def _opencode(path: str, role: str) -> Sample:
    folder, _, _ = path.rpartition("/")
    content = _file(
        "description: d", "mode: subagent", "tools:", "  write: false", "  edit: false", "  bash: false"
    )
    return Sample(path=f"{folder}/.opencode/agent/{role}.md", content=content, name=role,
                  tools=("Read", "Glob", "Grep", "TodoWrite", "Delegate"),
                  findings=(("name", None),))  # fmt: skip


def _gemini(path: str, role: str) -> Sample:
    folder, _, _ = path.rpartition("/")
    content = _file(f"name: {role}", "description: d", "tools: [read_file, write_file, run_shell_command]",
                    "max_turns: 9")  # fmt: skip
    return Sample(path=f"{folder}/.gemini/agents/{role}.md", content=content, name=role,
                  tools=("Read", "Write", "Bash"))  # fmt: skip


def _codex(path: str, role: str) -> Sample:
    folder, _, _ = path.rpartition("/")
    text = (f'name = "{role}"\ndescription = "d"\nmodel = "m"\nsandbox_mode = "read-only"\n'
            'developer_instructions = """\nYou read.\n"""\n')  # fmt: skip
    return Sample(path=f"{folder}/.codex/agents/{role}.toml", content=text.encode(), name=role,
                  tools=("Read", "Glob", "Grep", "TodoWrite", "Delegate"))  # fmt: skip


def _cursor(path: str, role: str) -> Sample:
    folder, _, _ = path.rpartition("/")
    content = _file(f"name: {role}", "description: d", "readonly: true", "is_background: true")
    return Sample(path=f"{folder}/.cursor/agents/{role}.md", content=content, name=role,
                  tools=("Read", "Glob", "Grep", "TodoWrite", "Delegate"))  # fmt: skip


def _unfronted(path: str, role: str) -> Sample:
    content = f"# {role}\n\nNo front matter.\n".encode()
    return Sample(path=f"{path}.md", content=content, recovered=False, findings=(("front matter", 1),))


def _unclosed(path: str, role: str) -> Sample:
    content = f"---\nname: {role}\nYou work.\n".encode()
    return Sample(path=f"{path}.md", content=content, recovered=False, findings=(("front matter", 1),))


def _empty(path: str, role: str) -> Sample:
    content = _file(f"name: {role}", "description: d", body=" \n")
    return Sample(path=f"{path}.md", content=content, recovered=False, findings=(("body", None),))


def _toolless(path: str, role: str) -> Sample:
    content = _file(f"name: {role}", "description: d", "tools: docker, kubectl")
    return Sample(path=f"{path}.md", content=content, recovered=False, findings=(("tools", 4), ("tools", 4)))


def _strict_block(path: str, role: str) -> Sample:
    content = _file(f"name: {role}", "description: d", "chargehand:", "  delivrables: []")
    return Sample(path=f"{path}.md", content=content, recovered=False,
                  findings=(("chargehand.delivrables", 5),))  # fmt: skip


VARIANTS: dict[str, tuple[int, Callable[[str, str], Sample]]] = {
    "plain": (90, _plain),
    "all-tools": (80, _all_tools),
    "listed-tools": (15, _listed_tools),
    "single-tool": (4, _single_tool),
    "star": (3, _star),
    "quoted-star": (3, _quoted_star),
    "colons": (15, _colons),
    "examples": (10, _examples),
    "bold": (3, _bold),
    "windows": (12, _windows),
    "marked": (4, _marked),
    "led": (3, _led),
    "fenced": (3, _fenced),
    "tabs": (3, _tabs),
    "mojibake": (4, _mojibake),
    "good-characters": (10, _good_characters),
    "windows-1252": (3, _windows_1252),
    "spaced-name": (15, _spaced_name),
    "number-name": (2, _number_name),
    "nameless": (12, _nameless),
    "undescribed": (4, _undescribed),
    "patterns": (5, _patterns),
    "partly-known": (12, _partly_known),
    "wishes": (8, _wishes),
    "copilot": (15, _copilot),
    "opencode": (6, _opencode),
    "gemini": (6, _gemini),
    "codex": (6, _codex),
    "cursor": (6, _cursor),
    "unfronted": (5, _unfronted),
    "unclosed": (2, _unclosed),
    "empty": (3, _empty),
    "toolless": (3, _toolless),
    "strict-block": (2, _strict_block),
}
