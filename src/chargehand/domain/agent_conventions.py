"""What the body of a definition suggests by its headings: whom it delegates to and what it delivers.

Rule: these are suggestions that a person is shown. Nothing here is applied to a definition.
"""

import re
from collections.abc import Iterator

MAX_SUGGESTIONS = 30

_DELEGATING = re.compile(
    r"\b(?:delegat\w*|spawn\w*|hand[- ]?offs?|sub-?agents|integrat\w* with other agents|collaborat\w* with)\b",
    re.IGNORECASE,
)
_DELIVERING = re.compile(r"\bdeliverables?\b", re.IGNORECASE)
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+(.+)")
_HEADING = re.compile(r"#{1,6}\s+(.+)")
_MARKED = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|@([\w-]+)")
_AGENT = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_HYPHENED = re.compile(r"\b[a-z][a-z0-9]*(?:-[a-z0-9]+)+\b|^[a-z][a-z0-9]+(?=:\s)")


def delegates_suggested(body: str) -> tuple[str, ...]:
    """Names of agents in the lists under a heading such as "When to delegate"."""
    names: dict[str, None] = {}
    for item in _items(body, _DELEGATING):
        marked = [next(part for part in found if part) for found in _MARKED.findall(item)]
        listed = [one.strip(" :").lower() for one in marked] or _HYPHENED.findall(item)[:1]
        names.update(dict.fromkeys(one for one in listed[:1] if _AGENT.fullmatch(one)))
    return tuple(names)[:MAX_SUGGESTIONS]


def deliverables_suggested(body: str) -> tuple[str, ...]:
    """The items of the lists under a heading such as "Deliverables", each up to its explanation."""
    found: dict[str, None] = {}
    for item in _items(body, _DELIVERING):
        short = re.split(r":\s|\s[-\u2013\u2014]\s", item.replace("**", "").replace("`", ""), maxsplit=1)[0]
        if short := short.strip(" :."):
            found[short[:120]] = None
    return tuple(found)[:MAX_SUGGESTIONS]


def _items(body: str, title: re.Pattern[str]) -> Iterator[str]:
    """The list items below a heading, or below a line that ends in a colon, that the title is found in."""
    listing = False
    for line in body.split("\n"):
        item = _ITEM.fullmatch(line)
        if item:
            if listing:
                yield item[1].strip()
            continue
        heading = _HEADING.fullmatch(line.strip())
        if heading:
            listing = bool(title.search(heading[1]))
        elif line.rstrip().rstrip("*").endswith(":"):
            listing = bool(title.search(line))
