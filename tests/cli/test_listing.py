"""A list is as long as was asked for, in however many pages the service tells it."""

from datetime import UTC, datetime

import pytest

from chargehand.cli.listing import PAGE, first_of
from chargehand.wire.access import TenantBody, TenantPage

THEN = datetime(2030, 1, 31, tzinfo=UTC)
TENANTS = [
    TenantBody(
        id=f"t{number:03}",
        display_name="x",
        created_by="local",
        created_at=THEN,
        is_suspended=False,
        suspended_at=None,
    )
    for number in range(450)
]


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [
        (1, [1]),
        (PAGE, [PAGE]),
        (PAGE + 1, [PAGE, 1]),
        (449, [PAGE, PAGE, 49]),
        (450, [PAGE, PAGE, 50]),
        (9_999, [PAGE, PAGE, PAGE]),
    ],
)
async def test_a_list_goes_on_over_its_pages(limit: int, sizes: list[int]) -> None:
    asked: list[int] = []

    async def ask(cursor: str | None, most: int) -> TenantPage:
        asked.append(most)
        rest = [one for one in TENANTS if cursor is None or one.id > cursor]
        return TenantPage(items=rest[:most], next_cursor=rest[most - 1].id if len(rest) > most else None)

    found, has_more = await first_of(ask, limit)
    assert found == TENANTS[:limit]
    assert (asked, has_more) == (sizes, limit < len(TENANTS))


async def test_a_page_may_hold_fewer_than_were_asked_for_and_is_not_the_last() -> None:
    pages = iter([TenantPage(items=[], next_cursor="t000"), TenantPage(items=TENANTS[:1], next_cursor=None)])

    async def ask(cursor: str | None, most: int) -> TenantPage:
        del cursor, most
        return next(pages)

    assert await first_of(ask, 5) == (TENANTS[:1], False)
