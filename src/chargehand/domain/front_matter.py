"""The YAML between the two lines of ---, as values and as the lines on which they stand.

Rule: what is read here may come from anywhere, so its size after expanding aliases is limited, too.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, cast

import yaml

from chargehand.errors import Finding, InvalidDefinition

MAX_NODES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The values by key, the line of each key by its path, and the top level's scalars as they are written."""

    values: dict[str, object]
    lines: Mapping[str, int]
    written: Mapping[str, str] = field(default_factory=dict[str, str])


def load_front_matter(front: str, origin: str, first_line: int) -> Fields | Finding:
    """The fields, or why the text is no YAML that holds any. What is too large is refused at once."""
    try:
        reader = yaml.SafeLoader(front)
        tree = reader.get_single_node()
        construct = cast("Callable[[yaml.Node], object]", reader.construct_document)  # pyright: ignore[reportUnknownMemberType] - the stub leaves its argument open
        loaded = None if tree is None else construct(tree)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = first_line + (mark.line if mark is not None else 0)
        problem = str(getattr(error, "problem", None) or error)
        return _broken(f"is not YAML: {problem}", line, hint="quote a value that holds ': '")
    except RecursionError:
        return _broken("is nested too deeply", first_line)
    except ValueError as error:
        # Of dates such as 2026-13-01, which YAML reads as a date before it finds that there is none.
        return _broken(f"holds a value that cannot be: {error}", first_line, hint="quote it")
    if tree is None or not isinstance(loaded, dict):
        return _broken("is not a list of `key: value` lines", first_line)
    values = cast("dict[object, object]", loaded)
    _limit(values, origin, first_line)
    lines: dict[str, int] = {}
    note_lines(tree, "", first_line, lines)
    written = {
        str(key.value): str(value.value)
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", tree.value)
        if isinstance(value, yaml.ScalarNode)
    }
    return Fields(values={str(key): value for key, value in values.items()}, lines=lines, written=written)


def line_of(where: str, lines: Mapping[str, int]) -> int | None:
    """The line of a path, or of the nearest key above it that the file has."""
    while where:
        if where in lines:
            return lines[where]
        where = re.sub(r"(?:^|\.)[^.\[\]]*$|\[\d+\]$", "", where)
    return None


def refuse(finding: Finding, origin: str) -> NoReturn:
    """Refuse a definition for one thing."""
    raise InvalidDefinition(f"{origin}: {finding}", findings=[finding]) from None


def _broken(message: str, line: int, *, hint: str = "") -> Finding:
    return Finding(where="front matter", message=message, line=line, hint=hint)


def _limit(loaded: object, origin: str, first_line: int) -> None:
    """Count values as a writer of JSON would meet them: an alias counts each time that it is used."""
    nodes, stack = 0, [loaded]
    while stack:
        node = stack.pop()
        nodes += 1
        if nodes > MAX_NODES:
            refuse(_broken(f"holds more than {MAX_NODES} values", first_line), origin)
        if isinstance(node, dict):
            stack.extend(cast("dict[object, object]", node).values())
        elif isinstance(node, list):
            stack.extend(cast("list[object]", node))


def note_lines(node: yaml.Node, path: str, first_line: int, lines: dict[str, int]) -> None:
    """Only as deep as findings reach, so that neither depth nor aliases cost anything."""
    if path.count(".") + path.count("[") > 6:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            name = f"{path}.{key.value}" if path else str(key.value)
            lines[name] = first_line + key.start_mark.line
            note_lines(value, name, first_line, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(cast("list[yaml.Node]", node.value)):
            name = f"{path}[{index}]"
            lines[name] = first_line + value.start_mark.line
            note_lines(value, name, first_line, lines)
