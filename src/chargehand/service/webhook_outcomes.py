"""What a try of a delivery leads to: it arrived, it is tried again, or the endpoint is given up.

Rule: one transaction writes the try, the delivery and the endpoint. The endpoint's row is held before the delivery's,
here and everywhere; a second sender of the same try finds another number of tries and writes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from chargehand.clock import Clock
from chargehand.domain.audit import Action
from chargehand.domain.task import FOREVER
from chargehand.domain.values import JsonObject
from chargehand.domain.webhook import (
    DISABLED_KIND,
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    DisabledReason,
    Webhook,
    next_try,
)
from chargehand.service.audit_records import Actor, append
from chargehand.store import webhook_deliveries, webhooks
from chargehand.store.bus import WEBHOOKS, WEBHOOKS_DUE, Bus
from chargehand.store.database import Tx

log = structlog.stdlib.get_logger("chargehand.webhooks")

SUCCESS_NOTED_EVERY = timedelta(minutes=1)
"""An endpoint that works is not written to for each delivery."""
GONE = 410
_SENDER = Actor("webhooks", "service")
"""Who disables an endpoint that nobody disabled by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A try, and when the receiver wants the next one."""

    attempt: DeliveryAttempt
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOutcomes:
    """Writes what came of tries."""

    clock: Clock
    bus: Bus
    give_up_after: timedelta
    """An endpoint at which nothing has arrived for so long is disabled."""

    async def write(self, tx: Tx, seen: Delivery, tried: Tried, *, is_last: bool = False) -> Delivery | None:
        """What the try makes of the delivery; None when somebody else has written of it. `is_last`: no more tries."""
        webhook = await webhooks.get(tx, seen.endpoint_id)
        if webhook is not None and (not tried.attempt.is_success or _is_news(webhook, tx)):
            webhook = await webhooks.hold(tx, seen.endpoint_id)
        held = await webhook_deliveries.hold(tx, seen.id)
        if held is None or held.attempts != seen.attempts:
            return None
        await webhook_deliveries.note(tx, held, tried.attempt)
        again = None
        if not tried.attempt.is_success and not is_last:
            chance = self.clock.random()
            again = next_try(held.tries + 1, tx.now, chance, tried.retry_after)
        status = DeliveryStatus.DELIVERED if tried.attempt.is_success else DeliveryStatus.FAILED
        await webhook_deliveries.change(
            tx,
            held.id,
            {
                "status": status.value if again is None else DeliveryStatus.PENDING.value,
                "attempts": held.attempts + 1,
                "tries": held.tries + 1,
                "next_at": FOREVER if again is None else again,
                "ended_at": tx.now if again is None else None,
                "response_status": tried.attempt.response_status,
                "error": tried.attempt.error,
            },
        )
        if webhook is not None:
            await self._of_endpoint(tx, webhook, tried.attempt)
        return await webhook_deliveries.get(tx, held.id)

    async def _of_endpoint(self, tx: Tx, webhook: Webhook, attempt: DeliveryAttempt) -> None:
        if attempt.is_success:
            if webhook.failing_since is not None:
                # It is back: what waits for it does not wait out its pauses.
                await webhook_deliveries.bring_forward(tx, webhook.id)
                tx.after_commit(lambda: self.bus.publish(WEBHOOKS_DUE, ""))
            if _is_news(webhook, tx):
                noted = {"failing_since": None, "last_success_at": tx.now}
                await webhooks.change(tx, webhook.id, noted)
            return
        if webhook.failing_since is None:
            await webhooks.change(tx, webhook.id, {"failing_since": tx.now})
        if webhook.disabled_at is not None:
            return
        if attempt.response_status == GONE:
            await self.disable(tx, webhook, DisabledReason.GONE)
        elif tx.now - (webhook.failing_since or tx.now) >= self.give_up_after:
            await self.disable(tx, webhook, DisabledReason.FAILING)

    async def disable(self, tx: Tx, webhook: Webhook, reason: DisabledReason) -> None:
        """Send nothing to it; what waits is kept. Unless it was done by hand, the tenant's other endpoints are told."""
        values = {"disabled_at": tx.now, "disabled_reason": reason.value, "updated_at": tx.now}
        await webhooks.change(tx, webhook.id, values)
        await webhook_deliveries.put_off(tx, webhook.id)
        if reason is not DisabledReason.BY_HAND:
            await self._tell_others(tx, webhook, reason)
            tx.after_commit(_logged(webhook, reason))
            told: JsonObject = {"url": webhook.place, "is_enabled": False, "disabled_reason": reason.value}
            await append(tx, webhook.tenant, _SENDER, Action.WEBHOOK_CHANGED, webhook.id, details=told)
        tx.after_commit(lambda: self.bus.publish(WEBHOOKS, ""))

    async def _tell_others(self, tx: Tx, webhook: Webhook, reason: DisabledReason) -> None:
        others = [
            one
            for one in await webhooks.subscriptions(tx, tenant=webhook.tenant)
            if one.id != webhook.id and DISABLED_KIND in one.kinds
        ]
        told = {"webhook_id": webhook.id, "url": webhook.place, "reason": reason.value}
        deliveries = [
            webhook_deliveries.fresh(
                self.clock.new_id(), other.id, other.tenant, DISABLED_KIND, now=tx.now, data={**told}
            )
            for other in others
        ]
        await webhook_deliveries.add(tx, deliveries)
        tx.after_commit(lambda: self.bus.publish(WEBHOOKS_DUE, ""))


def _is_news(webhook: Webhook, tx: Tx) -> bool:
    """Whether the endpoint's row does not say yet that something arrives just now."""
    noted_at = webhook.last_success_at if webhook.failing_since is None else None
    return noted_at is None or noted_at <= tx.now - SUCCESS_NOTED_EVERY


def _logged(webhook: Webhook, reason: DisabledReason) -> Callable[[], None]:
    def tell() -> None:
        log.warning(
            "a webhook is disabled; its deliveries wait until it is enabled again",
            webhook_id=webhook.id,
            tenant=webhook.tenant,
            reason=reason.value,
        )

    return tell
