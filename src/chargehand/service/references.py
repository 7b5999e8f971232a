"""Which stored content the rows name: what must not be removed, and what belongs into a backup."""

from collections.abc import AsyncIterator, Callable

from chargehand.errors import Conflict
from chargehand.store import retention
from chargehand.store.database import Database

_AT_ONCE = 500

HeadReferences = Callable[[], AsyncIterator[set[str]]]
"""Every blob that the snapshots of workspaces need, in parts."""


async def named_content(db: Database, heads: HeadReferences | None) -> AsyncIterator[set[str]]:
    """The hashes that any row names, in parts. Conflict where there are snapshots that nobody here can read."""
    after = ("", "")
    while True:
        async with db.read() as tx:
            page = await retention.named_files(tx, after, limit=_AT_ONCE)
        if not page:
            break
        for _, _, digests in page:
            yield digests
        after = page[-1][0], page[-1][1]
    if heads is not None:
        async for digests in heads():
            yield digests
        return
    async with db.read() as tx:
        if await retention.is_any_head(tx):
            raise Conflict("there are snapshots of workspaces, and this process does not read them")
