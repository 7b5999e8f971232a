"""Text or data as a tree whose every node knows its line; bounded before anything is built from it.

Rule: size, depth and the number of nodes (aliases expanded) are limited here, a hostile file is cheap.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from chargehand.errors import Finding, InvalidSpecification

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12
MAX_NODES = 20_000

Literal: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `text` is what was written: `version: 1.0` can be read as a word."""

    value: Literal
    text: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    nodes: tuple["Node", ...]
    line: int | None


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping; `lines` has the line of each key."""

    nodes: Mapping[str, "Node"]
    lines: Mapping[str, int | None]
    line: int | None


Node: TypeAlias = Scalar | Items | Entries


def tree_of_text(text: str, *, name: str, findings: list[Finding]) -> Node:
    """Read YAML or JSON. Raises InvalidSpecification when there is no tree; else adds to `findings`."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _refused(
            name, f"larger than {MAX_BYTES // 1024} KiB", "split the service, or drop what is not needed"
        )
    if text.lstrip().startswith("{"):
        text = text.replace(
            "\t", " "
        )  # JSON may be indented with tabs, YAML may not; none can stand in a string
    try:
        _measure(text, name)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        problem = error.problem or "cannot be read"
        raise _refused(
            name, f"no YAML or JSON: {problem}", "check indentation, quotes and brackets", line
        ) from None
    except yaml.YAMLError as error:
        message = (
            "a character that cannot stand in YAML"
            if isinstance(error, yaml.reader.ReaderError)
            else str(error)
        )
        raise _refused(name, f"no YAML or JSON: {message}", "save the file as UTF-8 text") from None
    if root is None:
        raise _refused(name, "empty", "start with `service:` and `resources:`")
    return _YamlReader(findings).node(root, "")


def tree_of_data(data: object, *, name: str, findings: list[Finding]) -> Node:
    """The same tree from Python data (a task's JSON); lines are unknown."""
    return _DataReader(findings, name).node(data, "", depth=0)


def _refused(where: str, message: str, hint: str, line: int | None = None) -> InvalidSpecification:
    finding = Finding(where=where, message=message, hint=hint, line=line)
    return InvalidSpecification(f"the specification cannot be read: {finding}", findings=[finding])


def _measure(text: str, name: str) -> None:
    """Walk the events, which PyYAML makes without recursion, and stop at what is too much to compose."""
    depth = nodes = 0
    sizes: dict[str, int] = {}
    open_anchors: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_anchors):
                raise _refused(name, f"*{event.anchor} contains itself", "write the part out", line)
            nodes += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            nodes += 1
            open_anchors.append((event.anchor, nodes))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            anchor, before = open_anchors.pop()
            if anchor:
                sizes[anchor] = nodes - before + 1
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
        if depth > MAX_DEPTH:
            raise _refused(name, f"nested deeper than {MAX_DEPTH} levels", "the format needs at most 8", line)
        if nodes > MAX_NODES:
            raise _refused(
                name, f"more than {MAX_NODES} values", "aliases count each time they are used", line
            )


def _clean(text: str) -> str | None:
    """The text with surrogate pairs joined (JSON escapes come as pairs), or None when it cannot be stored."""
    try:
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None
    allowed = "\n\t"
    return joined if all(char in allowed or (char >= " " and char != "\x7f") for char in joined) else None


_UNPRINTABLE = Finding(
    where="", message="contains a control character or half a surrogate pair", hint="remove it"
)


def _joined(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


class _YamlReader:
    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        self.constructor = yaml.SafeLoader("")

    def node(self, node: yaml.Node, where: str) -> Node:
        line = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, where, line)
        if isinstance(node, yaml.SequenceNode):
            nodes = tuple(self.node(each, f"{where}[{index}]") for index, each in enumerate(node.value))
            return Items(nodes, line)
        return self.entries(node, where, line)

    def entries(self, node: yaml.Node, where: str, line: int) -> Entries:
        nodes: dict[str, Node] = {}
        lines: dict[str, int | None] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.report(where, "a key that is no word", "use a plain name before the colon", key_line)
                continue
            key = _clean(key_node.value) or "?"
            if key == "<<":
                self.report(
                    where, "merge keys (<<) are not part of the format", "write the entries out", key_line
                )
            elif key in nodes:
                self.report(
                    _joined(where, key),
                    f"given twice, first in line {lines[key]}",
                    "keep one of them",
                    key_line,
                )
            else:
                nodes[key] = self.node(value_node, _joined(where, key))
                lines[key] = key_line
        return Entries(nodes, lines, line)

    def scalar(self, node: yaml.ScalarNode, where: str, line: int) -> Scalar:
        text = _clean(node.value)
        if text is None:
            self.report(where, _UNPRINTABLE.message, _UNPRINTABLE.hint, line)
            return Scalar("", "", line)
        kind = node.tag.rpartition(":")[2]
        if kind not in {"bool", "int", "float", "null"}:
            return Scalar(text, text, line)
        try:
            # The stub leaves the node untyped.
            value: Any = self.constructor.construct_object(node)  # pyright: ignore[reportUnknownMemberType] - untyped there
        except (ValueError, yaml.YAMLError):
            return Scalar(text, text, line)
        if kind == "int" and node.value.lower().lstrip("+-").startswith("0") and text.strip("+-0"):
            return Scalar(text, text, line)  # 0123 is octal in YAML 1.1, and nobody means that
        if ":" in text and kind in {"int", "float"}:
            return Scalar(text, text, line)  # 1:30 is 90 in YAML 1.1
        if isinstance(value, float) and not math.isfinite(value):
            self.report(where, f"{text} is no number that can be stored", "give a finite number", line)
            return Scalar(None, text, line)
        return Scalar(value, text, line)

    def report(self, where: str, message: str, hint: str, line: int) -> None:
        self.findings.append(Finding(where=where, message=message, hint=hint, line=line))


class _DataReader:
    def __init__(self, findings: list[Finding], name: str) -> None:
        self.findings = findings
        self.name = name
        self.count = 0

    def node(self, data: object, where: str, *, depth: int) -> Node:
        self.count += 1
        if depth > MAX_DEPTH:
            raise _refused(self.name, f"nested deeper than {MAX_DEPTH} levels", "the format needs at most 8")
        if self.count > MAX_NODES:
            raise _refused(self.name, f"more than {MAX_NODES} values", "split the service")
        if isinstance(data, Mapping):
            return self.entries(data, where, depth)  # pyright: ignore[reportUnknownArgumentType]  JSON of unknown shape
        if isinstance(data, Sequence) and not isinstance(data, str | bytes):
            return Items(tuple(self.items(data, where, depth)), None)  # pyright: ignore[reportUnknownArgumentType]  as above
        return self.scalar(data, where)

    def items(self, data: Sequence[object], where: str, depth: int) -> Iterator[Node]:
        for index, each in enumerate(data):
            yield self.node(each, f"{where}[{index}]", depth=depth + 1)

    def entries(self, data: Mapping[object, object], where: str, depth: int) -> Entries:
        nodes: dict[str, Node] = {}
        for key, value in data.items():
            word = _clean(key) if isinstance(key, str) else None
            if word is None:
                self.report(where, f"the key {key!r:.80} is no word", "use plain names as keys")
                continue
            nodes[word] = self.node(value, _joined(where, word), depth=depth + 1)
        return Entries(nodes, dict.fromkeys(nodes), None)

    def scalar(self, data: object, where: str) -> Scalar:
        if isinstance(data, float) and not math.isfinite(data):
            self.report(where, f"{data} is no number that can be stored", "give a finite number")
        elif isinstance(data, bool) or data is None:
            return Scalar(data, {True: "true", False: "false", None: ""}[data], None)
        elif isinstance(data, int | float):
            return Scalar(data, str(data) if abs(data) < 10**30 else "a huge number", None)
        elif isinstance(data, str):
            text = _clean(data)
            if text is not None:
                return Scalar(text, text, None)
            self.report(where, _UNPRINTABLE.message, _UNPRINTABLE.hint)
        else:
            self.report(
                where, f"a {type(data).__name__} is no JSON value", "give text, a number, a list or a mapping"
            )
        return Scalar("", "", None)

    def report(self, where: str, message: str, hint: str) -> None:
        self.findings.append(Finding(where=where, message=message, hint=hint))
