"""Regular expressions made and read: the pattern that bounds a decimal, and texts that match a given pattern.

Rule: the pattern in the OpenAPI document says exactly what the service accepts, bounds included.
"""

import re
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

# The standard library has no public parser of its own patterns; `re._parser` is there in every version we support.
from re import _parser as parser  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType] - no stubs
from typing import Any

from chargehand.crew.specification_values import matches


def decimal_pattern(*, precision: int, scale: int, minimum: Decimal | None, maximum: Decimal | None) -> str:
    """Decimals without needless zeros in front, within the bounds: `^(0|[1-9][0-9]{0,5})(\\.[0-9]{1,2})?$`."""
    widest = Decimal(10) ** (precision - scale) - Decimal(1).scaleb(-scale)
    low = max(-widest, minimum) if minimum is not None else -widest
    high = min(widest, maximum) if maximum is not None else widest
    parts: list[str] = []
    if high >= 0:
        parts.append(_unsigned(max(low, Decimal(0)), high, precision - scale, scale))
    if low < 0:
        parts.append("-" + _grouped(_unsigned(max(-high, Decimal(0)), -low, precision - scale, scale)))
    if len(parts) == 2 and parts[1] == "-" + _grouped(parts[0]):
        return f"^-?{_grouped(parts[0])}$"
    return f"^{_grouped('|'.join(parts))}$"


def _unsigned(low: Decimal, high: Decimal, digits: int, scale: int) -> str:
    """All numbers from low to high, neither below zero."""
    whole_low, whole_high = int(low), int(high)
    fraction = (rf"(\.[0-9]{{1,{scale}}})?" if scale > 1 else r"(\.[0-9])?") if scale else ""
    top = Decimal(10) ** digits - (Decimal(1).scaleb(-scale) if scale else 1)
    if low == 0 and high == top:
        return (rf"(0|[1-9][0-9]{{0,{digits - 1}}})" if digits > 1 else "[0-9]" if digits else "0") + fraction
    parts: list[str] = []
    first, last = low - whole_low, high - whole_high
    full = Decimal(1) - Decimal(1).scaleb(-scale)
    if whole_low == whole_high:
        return f"{whole_low}{_fraction(first, last, scale)}"
    if first > 0:
        parts.append(f"{whole_low}{_fraction(first, full, scale)}")
        whole_low += 1
    tail = f"{whole_high}{_fraction(Decimal(0), last, scale)}" if last < full else None
    inner_high = whole_high - 1 if tail else whole_high
    if whole_low <= inner_high:
        parts.append(_grouped(_integers(whole_low, inner_high)) + fraction)
    if tail:
        parts.append(tail)
    return "|".join(parts)


def _fraction(low: Decimal, high: Decimal, scale: int) -> str:
    """The part behind the point, from low to high, optional when zero is within."""
    parts: list[str] = []
    for width in range(1, scale + 1):
        first = int((low.scaleb(width)).to_integral_value(ROUND_CEILING))
        last = int((high.scaleb(width)).to_integral_value(ROUND_FLOOR))
        last = min(last, 10**width - 1)
        if first <= last:
            parts.append("|".join(_fixed(f"{first:0{width}d}", f"{last:0{width}d}")))
    if not parts:
        return ""
    return rf"(\.({'|'.join(parts)}))" + ("?" if low == 0 else "")


def _integers(low: int, high: int) -> str:
    parts: list[str] = []
    for width in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (width - 1) if width > 1 else 0)
        last = min(high, 10**width - 1)
        parts += _fixed(str(first), str(last))
    return "|".join(parts)


def _fixed(low: str, high: str) -> list[str]:
    """Numbers of one width from low to high."""
    if not low:
        return [""]
    if low[0] == high[0]:
        return [low[0] + rest for rest in _fixed(low[1:], high[1:])]
    width = len(low) - 1
    parts: list[str] = []
    first, last = int(low[0]), int(high[0])
    if int(low[1:] or "0") > 0:
        parts += [low[0] + rest for rest in _fixed(low[1:], "9" * width)]
        first += 1
    upper: list[str] = []
    if high[1:] != "9" * width:
        upper = [high[0] + rest for rest in _fixed("0" * width, high[1:])]
        last -= 1
    if first <= last:
        head = str(first) if first == last else f"[{first}-{last}]"
        parts.append(head + (f"[0-9]{{{width}}}" if width > 1 else "[0-9]" * width))
    return parts + upper


def _grouped(pattern: str) -> str:
    return f"({pattern})" if _has_branches(pattern) else pattern


def _has_branches(pattern: str) -> bool:
    """Whether there is an alternative outside of every group (no literal bracket stands in these patterns)."""
    depth = 0
    for character in pattern:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "|" and depth == 0:
            return True
    return False


def text_matching(pattern: str, number: int, *, min_length: int = 0, max_length: int = 255) -> str | None:
    """The number-th text that matches, of the lengths wanted; None when none is found by simple means."""
    for longer in (0, 1, 2, 4, 8, 16, 32, 64, 128, 250):
        text = "".join(_Maker(number, longer).texts(parser.parse(pattern)))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  see the import
        if min_length <= len(text) <= max_length and matches(pattern, text) and re.search(pattern, text):
            return text
    return None


def alphabets_matching(pattern: str, *, min_length: int = 0, max_length: int = 255) -> list[str] | None:
    """The characters that may stand at each place of a matching text; None when none are found by simple means.

    Any choice of them matches, so that texts can be counted through.
    """
    for longer in (0, 1, 2, 4, 8, 16, 32, 64, 128, 250):
        alphabets = list(_Alphabets(0, longer).texts(parser.parse(pattern)))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  see the import
        if min_length <= len(alphabets) <= max_length and _all_match(pattern, alphabets):
            return alphabets
    return None


def _all_match(pattern: str, alphabets: list[str]) -> bool:
    """Whether every character fits at its place; the places of these patterns do not depend on each other."""
    first = [each[0] for each in alphabets]
    texts = {
        "".join([*first[:place], character, *first[place + 1 :]])
        for place, alphabet in enumerate(alphabets)
        for character in alphabet
    } | {"".join(first)}
    return all(matches(pattern, text) and re.search(pattern, text) for text in texts)


class _Maker:
    """Walks a parsed pattern; each choice takes the next digits of the number."""

    def __init__(self, number: int, longer: int) -> None:
        self.number = number
        self.longer = longer

    def choose(self, count: int) -> int:
        self.number, choice = divmod(self.number, count)
        return choice

    def texts(self, parsed: Any) -> Iterator[str]:
        for operation, argument in parsed:
            yield from self.text(str(operation), argument)

    def text(self, operation: str, argument: Any) -> Iterator[str]:
        match operation:
            case "LITERAL":
                yield chr(argument)
            case "NOT_LITERAL":
                yield "b" if chr(argument) == "a" else "a"
            case "ANY":
                yield "abcdefghij"[self.choose(10)]
            case "IN":
                characters = _characters(argument)
                yield characters[self.choose(len(characters))] if characters else ""
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = argument
                for _ in range(min(int(most), int(least) + self.longer)):
                    yield from self.texts(inner)
            case "SUBPATTERN":
                yield from self.texts(argument[3])
            case "BRANCH":
                branches = argument[1]
                yield from self.texts(branches[self.choose(len(branches))])
            case _:
                yield ""


class _Alphabets(_Maker):
    """The same walk, with all characters of a place instead of one."""

    def text(self, operation: str, argument: Any) -> Iterator[str]:
        match operation:
            case "ANY":
                yield "abcdefghij"
            case "IN":
                yield "".join(_characters(argument)) or "?"
            case "MAX_REPEAT" | "MIN_REPEAT" | "SUBPATTERN" | "BRANCH" | "LITERAL" | "NOT_LITERAL":
                yield from super().text(operation, argument)
            case _:
                return


def _characters(items: Any) -> list[str]:
    """Up to ten characters of a set, printable ones first choice."""
    printable = [
        chr(code) for code in (*range(97, 123), *range(65, 91), *range(48, 58), *range(33, 48), 32, 95)
    ]
    negated = any(str(operation) == "NEGATE" for operation, _ in items)
    chosen: list[str] = []
    for operation, argument in items:
        match str(operation):
            case "LITERAL":
                chosen.append(chr(argument))
            case "RANGE":
                chosen += [chr(code) for code in range(argument[0], min(argument[1], argument[0] + 200) + 1)]
            case "CATEGORY":
                chosen += [each for each in printable if _in_category(str(argument), each)]
            case _:
                pass
    if negated:
        return [each for each in printable if each not in chosen][:10]
    return chosen[:10]


def _in_category(category: str, character: str) -> bool:
    tests = {
        "CATEGORY_DIGIT": character.isdigit(),
        "CATEGORY_NOT_DIGIT": not character.isdigit(),
        "CATEGORY_SPACE": character.isspace(),
        "CATEGORY_NOT_SPACE": not character.isspace(),
        "CATEGORY_WORD": character.isalnum() or character == "_",
        "CATEGORY_NOT_WORD": not (character.isalnum() or character == "_"),
    }
    return tests.get(category, False)
