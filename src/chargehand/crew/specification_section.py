"""A mapping of the specification being read: typed access to its keys, one finding for each thing wrong.

Rule: reading never stops at the first fault; what cannot be used is reported and left out.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from chargehand.crew.specification_tree import Entries, Items, Node, Scalar
from chargehand.errors import Finding

NAME = re.compile(r"[a-z](_?[a-z0-9])*")
WORD = re.compile(r"[a-z]([_-]?[a-z0-9])*")
MAX_NAME_LENGTH = 40

T = TypeVar("T")


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A hint for a misspelt word: its close matches, else everything that is known."""
    close = difflib.get_close_matches(word.lower(), known, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(each) for each in close) + "?"
    return "known: " + ", ".join(known) if known else "there is none"


@dataclass(slots=True)
class Section:
    """One mapping with its place in the file: `start` is the line of its own key, `keys` what the format knows."""

    entries: Entries
    where: str
    findings: list[Finding]
    keys: tuple[str, ...] = field(default=())
    start: int | None = None

    def __post_init__(self) -> None:
        if not self.keys:
            return
        for key in self.entries.nodes:
            if key not in self.keys:
                self.report(key, f"{key!r} is not known here", did_you_mean(key, self.keys))

    def report(self, key: str | None, message: str, hint: str = "", *, line: int | None = None) -> None:
        """Add a finding at `key` of this section, or at the section itself."""
        where = f"{self.where}.{key}" if key and self.where else key or self.where
        place = line or (self.entries.lines.get(key) if key else None) or self.start or self.entries.line
        self.findings.append(Finding(where=where, message=message, hint=hint, line=place))

    def line(self, key: str) -> int | None:
        return self.entries.lines.get(key)

    def has(self, key: str) -> bool:
        """Whether the key is there with anything but null."""
        node = self.entries.nodes.get(key)
        return node is not None and not (isinstance(node, Scalar) and node.value is None)

    def node(self, key: str) -> Node | None:
        return self.entries.nodes.get(key) if self.has(key) else None

    def section(self, key: str, keys: tuple[str, ...] = ()) -> "Section":
        """The mapping under `key`; an empty one when it is absent."""
        node = self.node(key)
        if node is not None and not isinstance(node, Entries):
            self.report(key, "must be a mapping", self._example_of(keys))
        entries = node if isinstance(node, Entries) else Entries({}, {}, self.line(key))
        where = f"{self.where}.{key}" if self.where else key
        return Section(entries, where, self.findings, keys, self.line(key))

    @staticmethod
    def _example_of(keys: tuple[str, ...]) -> str:
        return (
            f"write `key: value` lines under it, of: {', '.join(keys)}"
            if keys
            else "write `name: …` lines under it"
        )

    def sections(self, key: str, keys: tuple[str, ...]) -> Iterator[tuple[str, "Section"]]:
        """Each named mapping under `key`."""
        outer = self.section(key)
        for name in outer.entries.nodes:
            yield name, outer.section(name, keys)

    def text(self, key: str, default: str = "", *, max_length: int = 200, multiline: bool = False) -> str:
        node = self.node(key)
        if node is None:
            return default
        if not isinstance(node, Scalar):
            self.report(key, "must be text", "write it in one line, in quotes if it has a colon")
            return default
        text = node.text.strip()
        if len(text) > max_length:
            self.report(key, f"longer than {max_length} characters", "shorten it")
            return text[:max_length]
        if not multiline and "\n" in text:
            self.report(key, "has more than one line", "write it in one line")
            return " ".join(text.split())
        return text

    def boolean(self, key: str, default: bool) -> bool:
        node = self.node(key)
        if node is None:
            return default
        if not isinstance(node, Scalar) or not isinstance(node.value, bool):
            self.report(key, f"{_shown(node)} is neither true nor false", "write true or false")
            return default
        return node.value

    def integer(self, key: str, default: T, *, least: int, most: int) -> int | T:
        node = self.node(key)
        if node is None:
            return default
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, int) or isinstance(value, bool):
            self.report(key, f"{_shown(node)} is no whole number", f"give a number from {least} to {most}")
            return default
        if not least <= value <= most:
            self.report(key, f"{_shown(node)} is out of range", f"give a number from {least} to {most}")
            return default
        return value

    def number(self, key: str, default: T, *, least: float, most: float) -> float | T:
        node = self.node(key)
        if node is None:
            return default
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            self.report(
                key, f"{_shown(node)} is no number from {least:g} to {most:g}", "give one in that range"
            )
            return default
        return float(value)

    def literal(self, key: str) -> Scalar | None:
        """The scalar under `key`, null included; None when it is absent or no scalar."""
        node = self.entries.nodes.get(key)
        if node is not None and not isinstance(node, Scalar):
            self.report(key, "must be a single value", "write it in one line")
            return None
        return node

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """One of a few words."""
        node = self.node(key)
        if node is None:
            return default
        word = node.text if isinstance(node, Scalar) else ""
        if word not in choices:
            self.report(key, f"{_shown(node)} is not possible", did_you_mean(word, choices))
            return default
        return word

    def words(self, key: str, *, of: Sequence[str] | None = None, what: str = "word") -> tuple[str, ...]:
        """A list of distinct words, or a single one; when `of` is given each must be one of them."""
        node = self.node(key)
        nodes = node.nodes if isinstance(node, Items) else () if node is None else (node,)
        found: list[str] = []
        for each in nodes:
            if not isinstance(each, Scalar) or each.value is None:
                self.report(
                    key, f"{_shown(each)} is no {what}", "write a list of words: [one, two]", line=each.line
                )
            elif each.text in found:
                self.report(key, f"{each.text!r} is named twice", "name it once", line=each.line)
            elif of is not None and each.text not in of:
                self.report(key, f"{each.text!r} is no {what}", did_you_mean(each.text, of), line=each.line)
            else:
                found.append(each.text)
        return tuple(found)

    def items(self, key: str) -> tuple[Node, ...]:
        node = self.node(key)
        if node is None:
            return ()
        if not isinstance(node, Items):
            self.report(key, "must be a list", "write each entry after a dash")
            return ()
        return node.nodes

    def checked_name(self, name: str, what: str, *, pattern: re.Pattern[str] = NAME) -> bool:
        """Whether the key `name` can be a name; else it is reported."""
        if len(name) > MAX_NAME_LENGTH:
            self.report(name, f"the name of a {what} has at most {MAX_NAME_LENGTH} characters", "shorten it")
        elif not pattern.fullmatch(name):
            self.report(name, f"{name!r} cannot be the name of a {what}", f"use {_name_like(name, pattern)}")
        else:
            return True
        return False


def _name_like(name: str, pattern: re.Pattern[str]) -> str:
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    proposal = "_".join(re.findall(r"[a-z0-9]+", split.lower())).lstrip("0123456789_")
    rule = "lower case letters, digits and single underscores, a letter first"
    return f"{proposal!r}: {rule}" if pattern.fullmatch(proposal) else rule


def _shown(node: Node) -> str:
    if isinstance(node, Scalar):
        return repr(node.text if len(node.text) <= 60 else node.text[:57] + "…")
    return "a list" if isinstance(node, Items) else "a mapping"
