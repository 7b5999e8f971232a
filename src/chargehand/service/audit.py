"""Reading the audit. There is no use case that changes or deletes an entry."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from chargehand.domain.access import Principal, Scope
from chargehand.domain.audit import AuditEntry, Head, Wanted
from chargehand.service.denials import Denials
from chargehand.service.pages import Page, check_limit, page_of
from chargehand.store import audit
from chargehand.store.database import Database

ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class AuditPage(Page[AuditEntry, int]):
    """A part of the list, newest first, and where the chain ends."""

    head: Head


@dataclass(frozen=True, slots=True)
class Audit:
    """The use cases. What was refused a moment ago and is only counted yet is written first."""

    db: Database
    denials: Denials

    async def page(
        self, who: Principal, wanted: Wanted, *, before: int | None = None, limit: int = 50
    ) -> AuditPage:
        """The tenant's entries, newest first, and where its chain ends."""
        who.require(Scope.AUDIT_READ)
        check_limit(limit)
        await self.denials.flush()
        async with self.db.read(who.tenant) as tx:
            head = await audit.head(tx, who.tenant)
            found = await audit.page(tx, who.tenant, wanted, before=before, limit=limit + 1)
        page = page_of(found, limit, lambda entry: entry.number)
        return AuditPage(page.items, page.next_cursor, head)

    async def whole(self, who: Principal, *, after: int = 0) -> AsyncGenerator[Sequence[AuditEntry], None]:
        """Every entry of the tenant in order, behind number `after`, some at a time."""
        who.require(Scope.AUDIT_READ)
        await self.denials.flush()
        while True:
            async with self.db.read(who.tenant) as tx:
                some = await audit.behind(tx, who.tenant, after, limit=ROWS_AT_ONCE)
            if not some:
                return
            yield some
            after = some[-1].number
