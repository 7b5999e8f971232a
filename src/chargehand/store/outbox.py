"""The outbox of webhooks: a delivery for each endpoint that an event is for, stored in the event's own transaction.

Rule: an event and its deliveries are there together or not at all, so a kill loses neither. Who is told what is kept
in memory, because every event asks: the process that changes an endpoint reads anew at once, others hear of it over
the bus, and what another process could have changed unheard is used for MOST_AGE_SECONDS and no longer. It is read
before a transaction begins, never in one that holds rows. Events of a tenant without endpoints cost a look in memory.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chargehand.clock import Clock
from chargehand.domain.webhook import Delivery, Subscription
from chargehand.failpoint import fail_point
from chargehand.store import webhook_deliveries, webhooks
from chargehand.store.database import Database, Tx

MOST_AGE_SECONDS = 1.0


class EventOutbox:
    """The outbox of one process."""

    def __init__(self, db: Database, clock: Clock, *, is_shared: bool) -> None:
        """`is_shared`: other processes may change endpoints."""
        self._db = db
        self._clock = clock
        self._is_shared = is_shared
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._kinds: dict[str, frozenset[str]] = {}
        """What is sent of the events of each tenant that has an endpoint."""
        self._changes = 1
        self._read_changes = 0
        self._read_at = 0.0
        self._reading = asyncio.Lock()
        self.on_stored: Callable[[], None] = lambda: None
        """Told after the commit that something is to be sent."""

    def changed(self) -> None:
        """An endpoint is there, is gone, or is told something else."""
        self._changes += 1

    async def has_endpoints(self) -> bool:
        """Whether anybody is told anything."""
        await self.ready()
        return bool(self._subscriptions)

    async def put(self, tx: Tx, events: Sequence[Mapping[str, Any]]) -> None:
        """Store what the endpoints are to be told of these events."""
        if not self._kinds:
            return
        wanted = [one for one in events if one["kind"] in self._kinds.get(one["tenant"], ())]
        if not wanted:
            return
        deliveries = await self._deliveries(tx, wanted)
        if deliveries:
            await webhook_deliveries.add(tx, deliveries)
            tx.after_commit(self.on_stored)
            fail_point("webhooks.stored")

    async def _deliveries(self, tx: Tx, events: Sequence[Mapping[str, Any]]) -> list[Delivery]:
        found = await webhook_deliveries.tasks_of(tx, {one["task_id"] for one in events})
        told = {task.id: task for task in found}
        return [
            webhook_deliveries.fresh(
                self._clock.new_id(),
                subscription.id,
                subscription.tenant,
                str(one["kind"]),
                now=tx.now,
                event=(one["task_id"], one["sequence"]),
            )
            for one in events
            for subscription in self._subscriptions.get(one["tenant"], ())
            if subscription.wants(str(one["kind"]), told[one["task_id"]])
        ]

    async def ready(self) -> None:
        """Read anew what is not fresh."""
        if self._is_fresh():
            return
        async with self._reading:
            if self._is_fresh():
                return
            # Taken before the rows are: what changes meanwhile is read the next time.
            changes, began_at = self._changes, self._clock.monotonic()
            # Through a door of its own: the transaction of the event may see one tenant's rows alone.
            async with self._db.glance() as tx:
                found = await webhooks.subscriptions(tx)
            by_tenant: defaultdict[str, list[Subscription]] = defaultdict(list)
            for one in found:
                by_tenant[one.tenant].append(one)
            self._subscriptions = dict(by_tenant)
            self._kinds = {
                tenant: frozenset(kind for one in theirs for kind in one.kinds)
                for tenant, theirs in by_tenant.items()
            }
            self._read_changes, self._read_at = changes, began_at

    def _is_fresh(self) -> bool:
        if self._read_changes != self._changes:
            return False
        return not self._is_shared or self._clock.monotonic() - self._read_at < MOST_AGE_SECONDS
