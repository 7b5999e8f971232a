"""Exact replacement in a text: what Edit and MultiEdit do, without any disk.

Rule: a replacement is never guessed: the old text stands there exactly, and once unless all are meant.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chargehand.errors import ToolError

MAX_NAMED_LINES = 5

_LINE_NUMBER = re.compile(r"^ *[0-9]+\t", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """One exact replacement."""

    old: str
    new: str
    everywhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """The text after all replacements, how many places changed, and the first changed line (from 1)."""

    text: str
    replacements: int
    first_line: int


def replace_all(text: str, replacements: Sequence[Replacement], *, only_unique: bool) -> Edited:
    """Apply each replacement to the outcome of the one before it; all of them or, with a ToolError, none.

    `only_unique`: the file is not as the agent saw it, so nothing may be replaced in more than one place.
    """
    count = 0
    first_line = 0
    for position, replacement in enumerate(replacements, start=1):
        which = f"edit {position} of {len(replacements)}: " if len(replacements) > 1 else ""
        starts = _starts(text, replacement, which=which, only_unique=only_unique)
        line = text.count("\n", 0, starts[0]) + 1
        first_line = min(first_line or line, line)
        if replacement.everywhere:
            count += text.count(replacement.old)
            text = text.replace(replacement.old, replacement.new)
        else:
            count += 1
            text = text.replace(replacement.old, replacement.new, 1)
    return Edited(text=text, replacements=count, first_line=first_line)


def _starts(text: str, replacement: Replacement, *, which: str, only_unique: bool) -> list[int]:
    if replacement.old == replacement.new:
        raise ToolError(f"{which}old_string and new_string are the same; nothing would change")
    if not replacement.old:
        raise ToolError(
            f"{which}old_string is empty but the file is not; use Write to replace the whole file"
        )
    starts = _occurrences(text, replacement.old)
    if not starts:
        raise ToolError(f"{which}old_string is not in the file{_hint(text, replacement.old)}")
    if len(starts) > 1 and only_unique:
        raise ToolError(
            f"{which}the file was changed since you read it, and old_string is in it {_places(text, starts)};"
            " read it again"
        )
    if len(starts) > 1 and not replacement.everywhere:
        raise ToolError(
            f"{which}old_string is in the file {_places(text, starts)};"
            " add lines around it until it is unique, or set replace_all"
        )
    return starts


def _occurrences(text: str, old: str) -> list[int]:
    """Where `old` begins, overlapping places included: each could have been meant. A few are enough."""
    starts: list[int] = []
    start = text.find(old)
    while start >= 0 and len(starts) <= MAX_NAMED_LINES:
        starts.append(start)
        start = text.find(old, start + 1)
    return starts


def _places(text: str, starts: list[int]) -> str:
    lines = [str(text.count("\n", 0, start) + 1) for start in starts[:MAX_NAMED_LINES]]
    more = " and more" if len(starts) > MAX_NAMED_LINES else ""
    return f"more than once (lines {', '.join(lines)}{more})"


def _hint(text: str, old: str) -> str:
    if _LINE_NUMBER.search(old) and _LINE_NUMBER.sub("", old) in text:
        return "; leave out the line numbers and the tab that Read puts before each line"
    wanted = [line.strip() for line in old.strip().split("\n")]
    lines = [line.strip() for line in text.split("\n")]
    for start in (index for index, line in enumerate(lines) if line == wanted[0]):
        if lines[start : start + len(wanted)] == wanted:
            return f"; at line {start + 1} the same words stand with other spaces, so copy them exactly"
    return "; read the file and copy the text exactly, with its spaces and line breaks"
