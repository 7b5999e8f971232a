"""What a tenant's models have cost."""

from dataclasses import replace

from chargehand.domain.access import Principal, Scope
from chargehand.domain.usage import Usage, UsageBy, UsageFilter
from chargehand.errors import InvalidInput
from chargehand.service.pages import check_limit
from chargehand.store import usage
from chargehand.store.database import Database

MAX_GROUPS = 1_000


class UsageReports:
    """Sums over the ledger."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def report(
        self, who: Principal, by: UsageBy, only: UsageFilter | None = None, *, limit: int = 100
    ) -> Usage:
        """The sums by group, and of all. InvalidInput when the days are the wrong way round."""
        who.require(Scope.TASKS_READ)
        only = replace(only or UsageFilter(), of_trees=who.agents)
        check_limit(limit, MAX_GROUPS)
        if only.since is not None and only.until is not None and only.since > only.until:
            raise InvalidInput(
                f"from ({only.since}) lies after to ({only.until}); give the earlier day first"
            )
        async with self._db.read(who.tenant) as tx:
            found = await usage.groups(tx, who.tenant, by, only, limit=limit + 1)
            total = await usage.total(tx, who.tenant, only)
        return Usage(by=by, groups=found[:limit], total=total, is_complete=len(found) <= limit)
