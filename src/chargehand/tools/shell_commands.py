"""A command line taken apart into the simple commands in it, so that a policy judges each alone.

Rule: what cannot be read for certain is told as unreadable, never passed over. A command that runs another one
(`sudo`, `xargs`, `bash -c`, …) is listed and so is what it runs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from chargehand.domain.policy_patterns import Command
from chargehand.tools.shell_wrappers import inner_of, is_steering
from chargehand.tools.shell_writers import seen_from, written_by

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_CHARACTERS = 50_000
MAX_DEPTH = 6
"""How often one command line may stand inside another."""

_EXPANDED = re.compile(r"[*?\[{~]")
_DESCRIPTOR = re.compile(r"\d+-?|-")
_DEVICE = re.compile(r"/dev/(null|stdout|stderr|tty|fd/\d+)")


@dataclass(slots=True)
class CommandLine:
    """What a command line runs, and the files that it plainly writes (None: one only the shell knows).

    Plainly: by a redirection, or by a command that is for that (`cp`, `tee`). What a program does is not told.
    """

    commands: list[Command] = field(default_factory=list[Command])
    written: list[str | None] = field(default_factory=list[str | None])

    def unreadable(self, why: str, *, hides_a_line: bool = True) -> None:
        self.commands.append(Command(unreadable=why))
        if hides_a_line:
            self.written.append(None)


def take_apart(line: str) -> CommandLine:
    """The simple commands of a command line."""
    found = CommandLine()
    _read(line, found, 0)
    found.written = seen_from([one.words for one in found.commands], found.written)
    return found


def _read(line: str, found: CommandLine, depth: int) -> None:
    if len(line) > MAX_CHARACTERS or depth > MAX_DEPTH:
        found.unreadable("the command line is too long or too deep")
        return
    parser = _parser()
    if parser is None:
        found.unreadable("no shell grammar is installed; install chargehand[models]")
        return
    root = parser.parse(line.encode("utf-8", "replace")).root_node
    if root.has_error:
        found.unreadable("the command line cannot be parsed")
    for node in _walk(root):
        match node.type:
            case "command":
                _take_command(node, found, depth)
            case "declaration_command" | "unset_command":
                found.commands.append(Command(words=(_first_word(node),)))
            case "variable_assignment" | "for_statement" | "select_statement":
                _take_assignment(node, found)
            case "file_redirect":
                _take_redirect(node, found)
            case _:
                pass


def _walk(root: "Node") -> Iterator["Node"]:
    left = [root]
    while left:
        node = left.pop()
        yield node
        left += reversed(node.children)


@cache
def _parser() -> "Parser | None":
    try:
        import tree_sitter  # noqa: PLC0415 - an extra, and needed by few services
        import tree_sitter_bash  # noqa: PLC0415 - as above
    except ImportError:
        return None
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def _take_command(node: "Node", found: CommandLine, depth: int) -> None:
    name = node.child_by_field_name("name")
    words = (
        None if name is None else _word(name),
        *(_word(one) for one in node.children_by_field_name("argument")),
    )
    _take_words(words, found, depth)


def _take_words(words: tuple[str | None, ...], found: CommandLine, depth: int) -> None:
    """One command, and what it runs in its turn."""
    if depth > MAX_DEPTH:
        found.unreadable("commands run by commands are too deep")
        return
    inner = inner_of(words)
    found.commands.append(Command(words=words, is_shell_around=inner.is_plain_wrapper))
    found.written += written_by(words)
    if inner.unreadable:
        found.unreadable(inner.unreadable, hides_a_line=inner.hides_a_line)
    for line in inner.lines:
        _read(line, found, depth + 1)
    for run in inner.commands:
        _take_words(run, found, depth + 1)


def _take_assignment(node: "Node", found: CommandLine) -> None:
    name = node.child_by_field_name("name") or node.child_by_field_name("variable")
    text = "" if name is None else _text(name)
    if is_steering(text):
        found.unreadable(f"{text} is set, which may change what is run", hides_a_line=False)


def _take_redirect(node: "Node", found: CommandLine) -> None:
    destination = node.child_by_field_name("destination")
    kinds = {child.type for child in node.children}
    if destination is None or not kinds & {">", ">>", "&>", "&>>", ">|", ">&"}:
        return
    path = _word(destination)
    if ">&" in kinds and path is not None and _DESCRIPTOR.fullmatch(path):
        return
    if path is None or not _DEVICE.fullmatch(path):
        found.written.append(path)


def _first_word(node: "Node") -> str:
    return _text(node.children[0])


def _text(node: "Node") -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _word(node: "Node") -> str | None:
    """A word as the command gets it; None when it depends on what the shell finds at run time."""
    if _text(node) == "{}":
        return "{}"
    match node.type:
        case "command_name":
            return _word(node.children[0]) if node.children else None
        case "word":
            text = _text(node)
            if _EXPANDED.search(re.sub(r"\\.", "", text, flags=re.DOTALL)):
                return None
            return re.sub(r"\\(.)", lambda match: "" if match[1] == "\n" else match[1], text, flags=re.DOTALL)
        case "number":
            return _text(node) if not node.children else None
        case "raw_string":
            return _text(node)[1:-1]
        case "string":
            if any(one.type not in ("string_content", '"') for one in node.children):
                return None
            return re.sub(r'\\(["$`\\])', r"\1", _text(node)[1:-1].replace("\\\n", ""))
        case "concatenation":
            parts = [_word(one) for one in node.children]
            return None if any(one is None for one in parts) else "".join(one or "" for one in parts)
        case _:
            return None
