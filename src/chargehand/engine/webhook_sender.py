"""Sends webhooks' deliveries, many at once: a duty that goes on while anything is due or under way.

Rule: nobody waits for somebody else's receiver. An endpoint has so many deliveries under way and no more, one while it
fails; so has a host, and so has a tenant. What finds no room stays in its row and is looked for again.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import structlog

from chargehand.clock import Clock
from chargehand.errors import StorageFull, Unavailable
from chargehand.network.places import PLACES_AT_A_HOST, host_of
from chargehand.service.webhook_sending import WebhookSending
from chargehand.store.webhooks import Awaited

log = structlog.stdlib.get_logger("chargehand.webhooks")

MOST_OF_ENDPOINT = 4
MOST_OF_FAILING = 1
MOST_OF_TENANT = 32
MOST_AT_ONCE = 256
LOOK_SECONDS = 1.0
"""While something is under way, what has come due is looked for as often."""
AFTER_FAULT_SECONDS = 1.0
SET_ASIDE_SECONDS = 60.0
"""A delivery that something of our own is wrong with keeps no place until then."""
PRUNE_SECONDS = 3_600.0
PRUNE_ON_SECONDS = 10.0
"""While there is more that is old."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What a delivery under way takes of each bound."""

    endpoint: str
    host: str
    tenant: str


class WebhookSender:
    """The sender of one process."""

    def __init__(self, sending: WebhookSending, clock: Clock) -> None:
        self._sending = sending
        self._clock = clock
        self._woken = asyncio.Event()
        self._under_way: dict[str, tuple[asyncio.Task[None], _Place]] = {}
        self._aside: dict[str, float] = {}
        self._prunes_at = 0.0
        self._running: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Something is due."""
        self._woken.set()

    def start(self) -> None:
        """Send, as the only process that does; others have it as a duty."""
        self._running = asyncio.create_task(self._run(), name="webhooks")

    async def stop(self) -> None:
        """Cut off what is under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                later = await self.do(self._clock.now())
            except (StorageFull, Unavailable) as error:
                log.warning("webhooks cannot be seen to now; trying again", error=error.message)
                await asyncio.sleep(AFTER_FAULT_SECONDS)
            except Exception:
                log.exception("webhooks could not be seen to; trying again")
                await asyncio.sleep(AFTER_FAULT_SECONDS)
            else:
                # Nobody else stores anything: without a time that is known, there is nothing to look for.
                await (self._woken.wait() if later is None else self._clock.sleep_until(later, self._woken))

    async def do(self, now: datetime) -> datetime | None:
        """Send until nothing is due and nothing under way; when something will be due, if that is known."""
        del now
        try:
            while True:
                self._woken.clear()
                await self._prune()
                later = await self._begin_due()
                if not self._under_way:
                    return self._aside_until(later)
                await self._until_there_is_more(later)
                await self._take_ended()
        finally:
            await self._cut_off()

    async def _begin_due(self) -> datetime | None:
        """Begin what there is room for; when something else is due."""
        awaited, now = await self._sending.awaited()
        later: datetime | None = None
        # Those that waited longest first, so that no tenant's many endpoints are always before another's one.
        for endpoint in sorted(awaited, key=lambda one: one.due):
            if endpoint.due > now:
                later = min(later or endpoint.due, endpoint.due)
            elif (room := self._room(endpoint)) > 0:
                await self._begin(endpoint, room)
        return later

    async def _begin(self, endpoint: Awaited, room: int) -> None:
        place = _Place(endpoint.id, _host_of(endpoint), endpoint.tenant)
        begun = sum(one == place for _, one in self._under_way.values())
        for delivery_id in await self._sending.due(endpoint.id, limit=room + begun + len(self._aside)):
            if delivery_id not in self._under_way and not self._is_aside(delivery_id) and room > 0:
                room -= 1
                sending = asyncio.create_task(
                    self._sending.deliver(delivery_id), name=f"webhook {delivery_id}"
                )
                self._under_way[delivery_id] = (sending, place)

    def _room(self, endpoint: Awaited) -> int:
        places = [place for _, place in self._under_way.values()]
        taken = Counter[str]()
        for place in places:
            taken.update((f"endpoint {place.endpoint}", f"host {place.host}", f"tenant {place.tenant}"))
        bounds: Iterator[int] = iter((
            (MOST_OF_FAILING if endpoint.is_failing else MOST_OF_ENDPOINT) - taken[f"endpoint {endpoint.id}"],
            PLACES_AT_A_HOST - taken[f"host {_host_of(endpoint)}"],
            MOST_OF_TENANT - taken[f"tenant {endpoint.tenant}"],
            MOST_AT_ONCE - len(places),
        ))  # fmt: skip
        return min(bounds)

    async def _until_there_is_more(self, later: datetime | None) -> None:
        """Until one has ended, until it is told or known that another is due, and for LOOK_SECONDS at most."""
        look_at = self._clock.now() + timedelta(seconds=LOOK_SECONDS)
        woken = asyncio.create_task(
            self._clock.sleep_until(min(look_at, later or look_at), self._woken), name="webhook sender"
        )
        try:
            ended = [task for task, _ in self._under_way.values()]
            await asyncio.wait([woken, *ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([woken])

    async def _take_ended(self) -> None:
        """StorageFull, Unavailable: what came of one cannot be written now, and nothing more is begun for a while."""
        ended = {one: task for one, (task, _) in self._under_way.items() if task.done()}
        for delivery_id in ended:
            del self._under_way[delivery_id]
        for delivery_id, task in ended.items():
            try:
                await task
            except (StorageFull, Unavailable):
                raise
            except Exception:
                log.exception("a delivery could not be seen to; trying again", delivery_id=delivery_id)
                self._aside[delivery_id] = self._clock.monotonic() + SET_ASIDE_SECONDS

    def _aside_until(self, later: datetime | None) -> datetime | None:
        """When something is due; also what is set aside, of which nobody will tell again."""
        if not self._aside:
            return later
        seconds = min(self._aside.values()) - self._clock.monotonic()
        again = self._clock.now() + timedelta(seconds=max(seconds, LOOK_SECONDS))
        return min(again, later or again)

    def _is_aside(self, delivery_id: str) -> bool:
        return self._clock.monotonic() < self._aside.get(delivery_id, 0.0)

    async def _prune(self) -> None:
        now = self._clock.monotonic()
        self._aside = {one: until for one, until in self._aside.items() if now < until}
        if now >= self._prunes_at:
            is_done = await self._sending.prune()
            self._prunes_at = now + (PRUNE_SECONDS if is_done else PRUNE_ON_SECONDS)

    async def _cut_off(self) -> None:
        """What is under way is sent again by whoever has the duty next."""
        tasks = [task for task, _ in self._under_way.values()]
        self._under_way.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _host_of(endpoint: Awaited) -> str:
    return host_of(urlsplit(endpoint.url))
