"""A part of a list, and where the next part begins."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from chargehand.errors import InvalidInput

MAX_PAGE = 200
Item = TypeVar("Item")
Cursor = TypeVar("Cursor", str, int)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item, Cursor]):
    """Items in the list's order; `next_cursor` is what the next part begins behind, None: that was all."""

    items: list[Item]
    next_cursor: Cursor | None


def check_limit(limit: int, most: int = MAX_PAGE) -> None:
    """InvalidInput for a part that is empty or too large."""
    if not 1 <= limit <= most:
        raise InvalidInput(f"limit is 1 to {most}, not {limit}")


def check_status(status: str | None, known: type[StrEnum]) -> None:
    """InvalidInput for a status by which nothing could be found."""
    if status is not None and status not in list(known):
        raise InvalidInput(f"there is no status {status!r}; it is one of: {', '.join(known)}")


def page_of(found: list[Item], limit: int, cursor: Callable[[Item], Cursor]) -> Page[Item, Cursor]:
    """The part, of what was found when one more than `limit` was asked for: that one says whether there are more."""
    return Page(found[:limit], cursor(found[limit - 1]) if len(found) > limit else None)
