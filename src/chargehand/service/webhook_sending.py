"""Sending: what is due for which endpoint, one try of it, and what is kept of old ones.

Rule: at least once, with the same id each time. A try is posted outside of any transaction and written of after it;
killed in between, it is made again. Whoever receives tells repeats by `webhook-id`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import structlog

from chargehand.clock import Clock
from chargehand.domain.values import plain_text
from chargehand.domain.webhook import Delivery, DeliveryAttempt, DeliveryStatus, Webhook
from chargehand.errors import AddressRefused, ChargehandError, StorageFull, ToolError, Unavailable
from chargehand.failpoint import fail_point
from chargehand.network.guarded_http import Fetched, GuardedHttp
from chargehand.service.vault import Vault
from chargehand.service.webhook_messages import WebhookMessage, message_of
from chargehand.service.webhook_outcomes import Tried, WebhookOutcomes
from chargehand.store import webhook_deliveries, webhooks
from chargehand.store.database import Database, retried
from chargehand.store.outbox import EventOutbox
from chargehand.store.webhooks import Awaited
from chargehand.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("chargehand.webhooks")

ANSWER_CHARACTERS = 1_024
"""How much of a receiver's answer is kept."""
PRUNED_AT_ONCE = 500
PRUNED_IN_TURN = 4
_NOT_NOW = frozenset({429, 503})
"""With these `Retry-After` says when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSending:
    """What a sender does; safe to do by several at once, which costs the receivers repeats."""

    db: Database
    clock: Clock
    vault: Vault
    outbox: EventOutbox
    client: GuardedHttp
    outcomes: WebhookOutcomes
    metrics: Metrics
    keep: timedelta
    """How long ended deliveries are kept."""

    async def awaited(self) -> tuple[list[Awaited], datetime]:
        """The endpoints for which something waits, and the time."""
        if not await self.outbox.has_endpoints():
            return [], self.clock.now()
        async with self.db.read() as tx:
            return await webhooks.awaited(tx), tx.now

    async def due(self, endpoint_id: str, *, limit: int) -> Sequence[str]:
        """Deliveries that are to be sent to an endpoint now."""
        async with self.db.glance() as tx:
            return await webhook_deliveries.due(tx, endpoint_id, limit=limit)

    async def deliver(self, delivery_id: str) -> None:
        """Try a delivery, unless it is none that waits, and write what came of it."""
        async with self.db.glance() as tx:
            delivery = await webhook_deliveries.get(tx, delivery_id)
            webhook = None if delivery is None else await webhooks.get(tx, delivery.endpoint_id)
        if delivery is None or webhook is None or webhook.disabled_at is not None:
            return
        if delivery.status is DeliveryStatus.PENDING:
            tried = await self.tried(webhook, delivery)
            await self._write(delivery, tried)

    async def tried(self, webhook: Webhook, delivery: Delivery) -> Tried:
        """One try. Whatever is wrong with the receiver, or with what is to be sent, is told in it."""
        at, began = self.clock.now(), self.clock.monotonic()
        answer: Fetched | None = None
        error: str | None = None
        try:
            message = await self._message(delivery, at)
            if message is None:
                error = "the event is there no more"
            else:
                answer = await self._posted(webhook, message)
                error = _refusal(answer)
        except (StorageFull, Unavailable):
            raise
        except AddressRefused as refused:
            # What address a name has inside the operator's network is for the log alone.
            log.warning("a webhook is not sent", webhook_id=webhook.id, error=refused.message)
            error = "the receiver's host has an address that webhooks are not sent to"
        except ToolError as failed:
            error = failed.message
        except ChargehandError as failed:
            log.warning("a webhook cannot be signed", webhook_id=webhook.id, error=failed.message)
            error = "the webhook's secret cannot be opened now; see the service's log"
        self.metrics.webhook_attempts.add("delivered" if error is None else "failed")
        attempt = DeliveryAttempt(
            number=delivery.attempts + 1,
            at=at,
            milliseconds=round((self.clock.monotonic() - began) * 1000),
            response_status=None if answer is None else answer.status,
            error=error,
            answer="" if answer is None else _beginning(answer.body),
        )
        return Tried(attempt=attempt, retry_after=None if answer is None else self._wish(answer))

    async def _message(self, delivery: Delivery, now: datetime) -> WebhookMessage | None:
        async with self.db.glance() as tx:
            return await message_of(tx, self.vault, delivery, now)

    async def _posted(self, webhook: Webhook, message: WebhookMessage) -> Fetched:
        fail_point("webhooks.before_send")
        answer = await self.client.post(webhook.url, message.body, message.headers)
        fail_point("webhooks.sent")
        return answer

    @retried
    async def _write(self, seen: Delivery, tried: Tried) -> None:
        async with self.db.write(seen.tenant) as tx:
            await self.outcomes.write(tx, seen, tried)
            fail_point("webhooks.written")

    def _wish(self, answer: Fetched) -> timedelta | None:
        if answer.status not in _NOT_NOW or not answer.retry_after:
            return None
        text = answer.retry_after.strip()
        if text.isascii() and text.isdecimal():
            return timedelta(seconds=int(text[:9]))
        try:
            return parsedate_to_datetime(text) - self.clock.now()
        except (ValueError, TypeError, OverflowError):
            return None

    async def prune(self) -> bool:
        """Delete ended deliveries that are old, and those whose endpoint is gone; False: there are more."""
        for _ in range(PRUNED_IN_TURN):
            if not await self._prune_some():
                return True
        return False

    @retried
    async def _prune_some(self) -> bool:
        before = self.clock.now() - self.keep
        async with self.db.read() as tx:
            old = await webhook_deliveries.old(tx, before, limit=PRUNED_AT_ONCE)
            found = old or await webhook_deliveries.without_endpoint(tx, limit=PRUNED_AT_ONCE)
        if found:
            async with self.db.write() as tx:
                gone = await webhook_deliveries.hold_no_more_wanted(tx, found, before)
                await webhook_deliveries.delete_all(tx, gone)
        return bool(found)


def _refusal(answer: Fetched) -> str | None:
    """Why an answer does not count as one that took the message."""
    if answer.location is not None:
        return f"the receiver redirects (status {answer.status}), which is not followed; correct the webhook's url"
    if 200 <= answer.status < 300:
        return None
    return f"the receiver answered with status {answer.status}"


def _beginning(body: bytes) -> str:
    return plain_text(body[: ANSWER_CHARACTERS * 4].decode("utf-8", "replace"))[:ANSWER_CHARACTERS]
