"""The YAML between the two lines of ---, as values and as the lines on which they stand.

Rule: what is read here may come from anywhere, so its size after expanding aliases is limited, too.
"""

import re
from collections.abc import Mapping
from typing import NoReturn, cast

import yaml

from chargehand.errors import Finding, InvalidDefinition

MAX_NODES = 10_000


def read_front_matter(
    front: str, origin: str, first_line: int
) -> tuple[dict[str, object], Mapping[str, int]]:
    """The fields, and the line of each key by its path (`chargehand.deliverables[0].path`)."""
    try:
        loaded: object = yaml.safe_load(front)
        tree = yaml.compose(front, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = first_line + (mark.line if mark is not None else 0)
        problem = str(getattr(error, "problem", None) or error)
        _refuse(f"is not YAML: {problem}", origin, line, hint="quote a value that holds ': '")
    except RecursionError:
        _refuse("is nested too deeply", origin, first_line)
    except ValueError as error:
        # Of dates such as 2026-13-01, which YAML reads as a date before it finds that there is none.
        _refuse(f"holds a value that cannot be: {error}", origin, first_line, hint="quote it")
    if not isinstance(loaded, dict):
        _refuse("is not a list of `key: value` lines", origin, first_line)
    _limit(cast("dict[object, object]", loaded), origin, first_line)
    lines: dict[str, int] = {}
    if tree is not None:
        _note_lines(tree, "", first_line, lines)
    return {str(key): value for key, value in cast("dict[object, object]", loaded).items()}, lines


def line_of(where: str, lines: Mapping[str, int]) -> int | None:
    """The line of a path, or of the nearest key above it that the file has."""
    while where:
        if where in lines:
            return lines[where]
        where = re.sub(r"(?:^|\.)[^.\[\]]*$|\[\d+\]$", "", where)
    return None


def _refuse(message: str, origin: str, line: int, *, hint: str = "") -> NoReturn:
    finding = Finding(where="front matter", message=message, line=line, hint=hint)
    raise InvalidDefinition(f"{origin}: {finding}", findings=[finding]) from None


def _limit(loaded: object, origin: str, first_line: int) -> None:
    """Count values as a writer of JSON would meet them: an alias counts each time that it is used."""
    nodes, stack = 0, [loaded]
    while stack:
        node = stack.pop()
        nodes += 1
        if nodes > MAX_NODES:
            _refuse(f"holds more than {MAX_NODES} values", origin, first_line)
        if isinstance(node, dict):
            stack.extend(cast("dict[object, object]", node).values())
        elif isinstance(node, list):
            stack.extend(cast("list[object]", node))


def _note_lines(node: yaml.Node, path: str, first_line: int, lines: dict[str, int]) -> None:
    """Only as deep as findings reach, so that neither depth nor aliases cost anything."""
    if path.count(".") + path.count("[") > 6:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            name = f"{path}.{key.value}" if path else str(key.value)
            lines[name] = first_line + key.start_mark.line
            _note_lines(value, name, first_line, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(cast("list[yaml.Node]", node.value)):
            name = f"{path}[{index}]"
            lines[name] = first_line + value.start_mark.line
            _note_lines(value, name, first_line, lines)
