"""Lists: as many pages as the limit needs, as rows for people or as JSON for programs."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from pydantic import BaseModel

from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.output import write_table
from chargehand.client import AsyncClient

PAGE = 200
"""How many the service gives at once."""
Item = TypeVar("Item", bound=BaseModel)
ItemOfPage = TypeVar("ItemOfPage", bound=BaseModel, covariant=True)


class Page(Protocol[ItemOfPage]):
    """A part of a list, as the service answers with it."""

    @property
    def items(self) -> Sequence[ItemOfPage]: ...

    @property
    def next_cursor(self) -> str | None: ...


Ask = Callable[[AsyncClient, str | None, int], Awaitable[Page[Item]]]
"""Ask a client for the part behind a cursor, of so many at most."""


async def show_list(
    server: str | None,
    ask: Ask[Item],
    head: Sequence[str],
    row: Callable[[Item], Sequence[str]],
    *,
    limit: int,
    as_json: bool,
    empty: str = "",
) -> ExitCode:
    """The first `limit` of a list. `empty`: what is said to a person instead of no row."""
    async with connect(server) as connection:
        found, has_more = await first_of(partial(ask, connection.client), limit)
    code = write_table(found, head, row, as_json=as_json, empty=empty)
    if has_more and not as_json:
        say(f"there are more; --limit {limit * 2} shows twice as many")
    return code


async def first_of(
    ask: Callable[[str | None, int], Awaitable[Page[Item]]], limit: int
) -> tuple[list[Item], bool]:
    """So many items, page by page; also whether there are more."""
    found: list[Item] = []
    cursor: str | None = None
    while len(found) < limit:
        page = await ask(cursor, min(PAGE, limit - len(found)))
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found, cursor is not None
