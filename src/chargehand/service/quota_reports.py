"""How the caller's tenant stands against each of its limits."""

from datetime import UTC, datetime, time, timedelta

from chargehand.clock import Clock
from chargehand.domain.access import Principal, Scope
from chargehand.domain.quota import QuotaUse
from chargehand.domain.tenant_limits import LIMIT_NAMES
from chargehand.service.open_streams import OpenStreams
from chargehand.service.quotas import Quotas
from chargehand.service.request_rates import RequestRates
from chargehand.store import backlog, charges
from chargehand.store.database import Database


class QuotaReports:
    """Tells each limit with what is used of it."""

    def __init__(
        self, db: Database, clock: Clock, quotas: Quotas, rates: RequestRates, streams: OpenStreams
    ) -> None:
        self._db = db
        self._clock = clock
        self._quotas = quotas
        self._rates = rates
        self._streams = streams

    async def of(self, who: Principal) -> list[QuotaUse]:
        """One for each limit that there is, whether it is set or not."""
        who.require(Scope.TASKS_READ)
        tenant, now = who.tenant, self._clock.now()
        limits = await self._quotas.limits.of(tenant)
        rates = await self._rates.used(tenant)
        async with self._db.read(tenant) as tx:
            waiting, running = await backlog.open_of(tx, tenant)
            usd_nanos, tokens = await charges.seen_day(tx, tenant, now.date().isoformat())
        used: dict[str, float | None] = {
            "concurrency": running,
            "backlog": waiting,
            "streams": self._streams.of(tenant),
            "usd_nanos_per_day": usd_nanos,
            "tokens_per_day": tokens,
            "storage_bytes": await self._quotas.storage.used_bytes(tenant),
            **{name: count for name, (count, _) in rates.items()},
        }
        tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
        resets: dict[str, datetime] = {
            "usd_nanos_per_day": tomorrow,
            "tokens_per_day": tomorrow,
            **{name: now + timedelta(seconds=seconds) for name, (_, seconds) in rates.items()},
        }
        return [
            QuotaUse(name=name, limit=getattr(limits, name), used=used.get(name), resets_at=resets.get(name))
            for name in LIMIT_NAMES
        ]
