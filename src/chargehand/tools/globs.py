"""Glob patterns over logical paths: `*`, `?`, `[…]` within a part, `**` over parts, `{a,b}` for choices.

Rule: no pattern makes matching slow, and a folder that cannot lead to a match is known before it is listed.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chargehand.errors import ToolError

MAX_CHOICES = 256
MAX_PATTERN_CHARACTERS = 1024

_ANY_DEPTH = None
_Part = Callable[[str], bool] | None
"""Tells whether a name fits; None stands for `**`."""

State = frozenset[tuple[int, int]]
"""How far each choice has been matched: pairs of choice and part. Empty: nothing below can match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glob:
    """A compiled pattern, walked along with a tree from `start`."""

    choices: tuple[tuple[_Part, ...], ...]
    literal_parts: frozenset[str]
    """The parts that stand in the pattern without wildcards: what the author named."""

    def start(self) -> State:
        """The state at the top of the tree."""
        return self._closed((choice, 0) for choice in range(len(self.choices)))

    def advance(self, state: State, name: str) -> State:
        """The state below a folder, or at a file, called `name`."""
        reached: set[tuple[int, int]] = set()
        for choice, position in state:
            parts = self.choices[choice]
            if position == len(parts):
                continue
            part = parts[position]
            if part is None:
                reached.add((choice, position))
            elif part(name):
                reached.add((choice, position + 1))
        return self._closed(reached)

    def accepts(self, state: State) -> bool:
        """Whether the path that led to the state matches."""
        return any(position == len(self.choices[choice]) for choice, position in state)

    def matches(self, parts: Iterable[str]) -> bool:
        """Whether a whole path matches."""
        state = self.start()
        for part in parts:
            state = self.advance(state, part)
        return self.accepts(state)

    def _closed(self, state: Iterable[tuple[int, int]]) -> State:
        """The state, and what is reached from it by letting each `**` stand for nothing."""
        closed: set[tuple[int, int]] = set()
        for choice, first in state:
            position = first
            closed.add((choice, position))
            parts = self.choices[choice]
            while position < len(parts) and parts[position] is _ANY_DEPTH:
                position += 1
                closed.add((choice, position))
        return frozenset(closed)


def parse_glob(pattern: str, split: Callable[[str], tuple[str, ...]]) -> Glob:
    """Compile a pattern; `split` makes the parts of one choice and refuses what looks outside."""
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise ToolError(
            f"the pattern has {len(pattern)} characters; at most {MAX_PATTERN_CHARACTERS} are taken"
        )
    choices = [split(choice) for choice in expand_braces(pattern)]
    return Glob(
        choices=tuple(tuple(_compiled(part) for part in parts) for parts in choices),
        literal_parts=frozenset(part for parts in choices for part in parts if not _is_wild(part)),
    )


def expand_braces(pattern: str) -> list[str]:
    """Every pattern that the braces stand for, in order. Braces that do not pair stand for themselves."""
    done: list[str] = []
    pending = [pattern]
    while pending:
        current = pending.pop()
        span = _first_braces(current)
        if span is None:
            done.append(current)
        else:
            start, end = span
            head, tail = current[:start], current[end + 1 :]
            choices = _split_choices(current[start + 1 : end])
            pending.extend(head + choice + tail for choice in reversed(choices))
        if len(done) + len(pending) > MAX_CHOICES:
            raise ToolError(
                f"the braces stand for more than {MAX_CHOICES} patterns; use fewer choices or '*'"
            )
    return done


def _first_braces(pattern: str) -> tuple[int, int] | None:
    """The first pair of braces that holds a choice, outermost."""
    opened: list[int] = []
    pairs: list[tuple[int, int]] = []
    for index, character in enumerate(pattern):
        if character == "{":
            opened.append(index)
        elif character == "}" and opened:
            pairs.append((opened.pop(), index))
    choices = [pair for pair in pairs if len(_split_choices(pattern[pair[0] + 1 : pair[1]])) > 1]
    return min(choices, default=None)


def _split_choices(inside: str) -> list[str]:
    """Split at the commas that stand in no inner braces."""
    choices = [""]
    depth = 0
    for character in inside:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            choices.append("")
        else:
            choices[-1] += character
    return choices


def _is_wild(part: str) -> bool:
    return any(character in part for character in "*?[")


def _compiled(part: str) -> _Part:
    if part == "**":
        return _ANY_DEPTH
    if not _is_wild(part):
        return part.__eq__
    # Safe on an agent's pattern: `translate` takes stars in a row as one and puts every star but the last into
    # an atomic group, so that nothing is tried twice.
    fits = re.compile(fnmatch.translate(part)).match
    return lambda name: fits(name) is not None
