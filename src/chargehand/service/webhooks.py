"""What callers can do with webhooks: make, read, change, remove, test, change the secret, see and repeat deliveries.

Rule: a secret is shown when it is made and never again. Whoever has events sent must be allowed to read tasks, since
that is what events tell.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

from chargehand.clock import Clock
from chargehand.domain.access import Principal, Scope
from chargehand.domain.audit import Action
from chargehand.domain.task import FOREVER
from chargehand.domain.values import JsonObject
from chargehand.domain.webhook import (
    KINDS,
    TEST_KIND,
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    DisabledReason,
    Webhook,
    WebhookOrder,
)
from chargehand.domain.webhook_signature import SECRET_BYTES, secret_text
from chargehand.errors import (
    Conflict,
    Finding,
    InvalidInput,
    ToolError,
    WebhookDeliveryNotFound,
    WebhookNotFound,
    WebhookUrlRefused,
)
from chargehand.network.guarded_http import GuardedHttp
from chargehand.service.audit_records import record
from chargehand.service.pages import Page, check_limit, check_status, page_of
from chargehand.service.vault import Vault
from chargehand.service.webhook_messages import SEALED_KIND
from chargehand.service.webhook_outcomes import Tried
from chargehand.service.webhook_sending import WebhookSending
from chargehand.store import tenants, webhook_deliveries, webhooks
from chargehand.store.bus import WEBHOOKS, WEBHOOKS_DUE, Bus
from chargehand.store.database import Database, Tx, retried
from chargehand.store.outbox import MOST_AGE_SECONDS

MAX_WEBHOOKS = 50
"""How many a tenant may have."""
OVERLAP = timedelta(days=1)
"""For so long the secret before the new one signs too, unless the caller says otherwise."""
MOST_OVERLAP = timedelta(days=30)
SETTLED_SECONDS = 2 * MOST_AGE_SECONDS
"""After so long every other process goes by the change, with a second for transactions that had begun before."""


@dataclass(frozen=True, slots=True)
class Made:
    """A webhook and its secret, as the caller is shown it once."""

    webhook: Webhook
    secret: str


class Webhooks:
    """The use cases."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        bus: Bus,
        sending: WebhookSending,
        *,
        is_shared: bool,
    ) -> None:
        """`is_shared`: other processes write events on the same database."""
        self._db = db
        self._clock = clock
        self._vault = vault
        self._bus = bus
        self.sending = sending
        self._is_shared = is_shared

    @property
    def client(self) -> GuardedHttp:
        """What dials the addresses."""
        return self.sending.client

    async def create(self, who: Principal, order: WebhookOrder) -> Made:
        """Have events sent: those of every transaction that begins after this has answered.

        Forbidden, WebhookUrlRefused, InvalidInput, Conflict (too many), MasterKeyMissing.
        """
        _may_send(who)
        self._check(order)
        made = await self._create(who, order)
        await self._take_effect()
        return made

    @retried
    async def _create(self, who: Principal, order: WebhookOrder) -> Made:
        webhook_id, secret = self._clock.new_id(), self._clock.token_bytes(SECRET_BYTES)
        async with self._db.write(who.tenant) as tx:
            await tenants.hold_count(tx, who.tenant)
            if await webhooks.count(tx, who.tenant) >= MAX_WEBHOOKS:
                raise Conflict(f"there are {MAX_WEBHOOKS} webhooks, as many as there may be; remove one")
            webhook = Webhook(
                **{one.name: getattr(order, one.name) for one in fields(WebhookOrder)},
                id=webhook_id,
                tenant=who.tenant,
                previous_secret_until=None,
                failing_since=None,
                last_success_at=None,
                disabled_at=None,
                disabled_reason=None,
                created_by=who.id,
                created_at=tx.now,
                updated_at=tx.now,
            )
            sealed = await self._vault.seal(tx, who.tenant, SEALED_KIND, webhook_id, secret)
            await webhooks.add(tx, webhook, sealed)
            tx.after_commit(self._tell_changed)
            await record(tx, who, Action.WEBHOOK_CREATED, webhook_id, _told(webhook))
        return Made(webhook, secret_text(secret))

    async def get(self, who: Principal, webhook_id: str) -> Webhook:
        """One webhook. WebhookNotFound for another tenant's."""
        who.require(Scope.WEBHOOKS_READ)
        return await self._found(who, webhook_id)

    async def page(self, who: Principal, *, before: str | None = None, limit: int = 50) -> Page[Webhook, str]:
        """The tenant's webhooks, newest first."""
        who.require(Scope.WEBHOOKS_READ)
        check_limit(limit)
        async with self._db.read(who.tenant) as tx:
            found = await webhooks.page(tx, tenant=who.tenant, before=before, limit=limit + 1)
        return page_of(found, limit, lambda one: one.id)

    async def change(self, who: Principal, webhook_id: str, changes: Mapping[str, Any]) -> Webhook:
        """Give fields of the order other values; `is_enabled` stops it, or lets it go on with all that waits."""
        _may_send(who)
        changed = await self._change(who, webhook_id, changes)
        await self._take_effect()
        return changed

    @retried
    async def _change(self, who: Principal, webhook_id: str, changes: Mapping[str, Any]) -> Webhook:
        values = {**changes}
        is_enabled = values.pop("is_enabled", None)
        async with self._db.write(who.tenant) as tx:
            held = _mine(await webhooks.hold(tx, webhook_id), who, webhook_id)
            self._check(replace(held, **values))
            for name in ("kinds", "agents"):
                if name in values:
                    values[name] = list(values[name])
            await webhooks.change(tx, webhook_id, {**values, "updated_at": tx.now})
            if is_enabled is True and held.disabled_at is not None:
                await self._enable(tx, webhook_id)
            elif is_enabled is False and held.disabled_at is None:
                await self.sending.outcomes.disable(tx, held, DisabledReason.BY_HAND)
            tx.after_commit(self._tell_changed)
            changed = _mine(await webhooks.get(tx, webhook_id), who, webhook_id)
            told: JsonObject = {**_told(changed), "fields": [*sorted(changes)]}
            await record(tx, who, Action.WEBHOOK_CHANGED, webhook_id, told)
            return changed

    async def _enable(self, tx: Tx, webhook_id: str) -> None:
        values = {"disabled_at": None, "disabled_reason": None, "failing_since": None}
        await webhooks.change(tx, webhook_id, values)
        await webhook_deliveries.bring_forward(tx, webhook_id)
        tx.after_commit(self._tell_due)

    @retried
    async def remove(self, who: Principal, webhook_id: str) -> None:
        """End a webhook; its deliveries go soon after."""
        who.require(Scope.WEBHOOKS_WRITE)
        async with self._db.write(who.tenant) as tx:
            removed = _mine(await webhooks.hold(tx, webhook_id), who, webhook_id)
            await webhooks.remove(tx, webhook_id)
            tx.after_commit(self._tell_changed)
            await record(tx, who, Action.WEBHOOK_REMOVED, webhook_id, _told(removed))

    @retried
    async def rotate_secret(self, who: Principal, webhook_id: str, overlap: timedelta = OVERLAP) -> Made:
        """A new secret; for so long the one before it signs too."""
        who.require(Scope.WEBHOOKS_WRITE)
        if not timedelta(0) <= overlap <= MOST_OVERLAP:
            raise InvalidInput(f"the overlap is 0 to {MOST_OVERLAP.days * 86_400} seconds")
        secret = self._clock.token_bytes(SECRET_BYTES)
        async with self._db.write(who.tenant) as tx:
            _mine(await webhooks.hold(tx, webhook_id), who, webhook_id)
            before = await webhooks.secrets(tx, webhook_id)
            sealed = await self._vault.seal(tx, who.tenant, SEALED_KIND, webhook_id, secret)
            values = {
                "secret": sealed,
                "previous_secret": before.secret if before is not None and overlap else None,
                "previous_secret_until": tx.now + overlap if overlap else None,
                "updated_at": tx.now,
            }
            await webhooks.change(tx, webhook_id, values)
            webhook = _mine(await webhooks.get(tx, webhook_id), who, webhook_id)
            told = {"overlap_seconds": int(overlap.total_seconds())}
            await record(tx, who, Action.WEBHOOK_ROTATED, webhook_id, {**told})
        return Made(webhook, secret_text(secret))

    async def test(self, who: Principal, webhook_id: str) -> Delivery:
        """Send a message of kind `webhook.test`, once and now, also to a disabled one; what came of it."""
        who.require(Scope.WEBHOOKS_WRITE)
        webhook = await self._found(who, webhook_id)
        delivery = webhook_deliveries.fresh(
            self._clock.new_id(),
            webhook.id,
            webhook.tenant,
            TEST_KIND,
            now=self._clock.now(),
            data={"webhook_id": webhook.id, "sent_by": who.id},
        )
        return await self._note_test(who, delivery, await self.sending.tried(webhook, delivery))

    @retried
    async def _note_test(self, who: Principal, delivery: Delivery, tried: Tried) -> Delivery:
        """Begun anew after a lost race without sending again."""
        async with self._db.write(who.tenant) as tx:
            _mine(await webhooks.hold(tx, delivery.endpoint_id), who, delivery.endpoint_id)
            # It is never seen as one that waits: this transaction ends it too.
            await webhook_deliveries.add(tx, [replace(delivery, next_at=FOREVER)])
            written = await self.sending.outcomes.write(tx, delivery, tried, is_last=True)
            details: JsonObject = {"delivery_id": delivery.id}
            await record(tx, who, Action.WEBHOOK_TESTED, delivery.endpoint_id, details)
        return _known(written, delivery.id)

    async def deliveries(
        self,
        who: Principal,
        webhook_id: str,
        *,
        status: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Page[Delivery, str]:
        """A webhook's deliveries, newest first."""
        who.require(Scope.WEBHOOKS_READ)
        check_limit(limit)
        check_status(status, DeliveryStatus)
        async with self._db.read(who.tenant) as tx:
            _mine(await webhooks.get(tx, webhook_id), who, webhook_id)
            found = await webhook_deliveries.page(
                tx,
                tenant=who.tenant,
                endpoint_id=webhook_id,
                status=status,
                before=before,
                limit=limit + 1,
            )
        return page_of(found, limit, lambda one: one.id)

    async def delivery(
        self, who: Principal, webhook_id: str, delivery_id: str
    ) -> tuple[Delivery, list[DeliveryAttempt]]:
        """One delivery with its tries."""
        who.require(Scope.WEBHOOKS_READ)
        async with self._db.read(who.tenant) as tx:
            webhook = _mine(await webhooks.get(tx, webhook_id), who, webhook_id)
            found = _of(webhook, await webhook_deliveries.get(tx, delivery_id), delivery_id)
            return found, await webhook_deliveries.attempts(tx, found)

    @retried
    async def redeliver(self, who: Principal, webhook_id: str, delivery_id: str) -> Delivery:
        """Send it again, now, with all its tries; with the same id. Conflict while the webhook is disabled."""
        who.require(Scope.WEBHOOKS_WRITE)
        async with self._db.write(who.tenant) as tx:
            webhook = _mine(await webhooks.hold(tx, webhook_id), who, webhook_id)
            _of(webhook, await webhook_deliveries.hold(tx, delivery_id), delivery_id)
            if webhook.disabled_at is not None:
                raise Conflict("the webhook is disabled; enable it, then what waits is sent")
            status = DeliveryStatus.PENDING.value
            values = {"status": status, "tries": 0, "next_at": tx.now, "ended_at": None}
            await webhook_deliveries.change(tx, delivery_id, values)
            tx.after_commit(self._tell_due)
            again = _known(await webhook_deliveries.get(tx, delivery_id), delivery_id)
            await record(tx, who, Action.WEBHOOK_REDELIVERED, webhook_id, {"delivery_id": delivery_id})
            return again

    async def _found(self, who: Principal, webhook_id: str) -> Webhook:
        async with self._db.read(who.tenant) as tx:
            return _mine(await webhooks.get(tx, webhook_id), who, webhook_id)

    def _check(self, order: WebhookOrder) -> None:
        """InvalidInput says what is wrong. No name is looked up: where it leads is checked whenever it is dialled."""
        try:
            self.sending.client.checked(order.url)
        except ToolError as error:
            finding = Finding(where="url", message=error.message)
            raise WebhookUrlRefused(
                f"webhooks are not sent there: {error.message}", findings=[finding]
            ) from None
        if not order.kinds:
            raise InvalidInput("kinds names at least one kind of event; leave it out for the usual ones")
        if unknown := set(order.kinds) - set(KINDS):
            raise InvalidInput(f"kinds: {min(unknown)[:64]!r} cannot be sent; known: {', '.join(KINDS)}")

    async def _take_effect(self) -> None:
        if self._is_shared:
            await asyncio.sleep(SETTLED_SECONDS)

    def _tell_changed(self) -> None:
        self._bus.publish(WEBHOOKS, "")

    def _tell_due(self) -> None:
        self._bus.publish(WEBHOOKS_DUE, "")


def _may_send(who: Principal) -> None:
    who.require(Scope.WEBHOOKS_WRITE)
    who.require(Scope.TASKS_READ)


def _told(webhook: Webhook) -> JsonObject:
    """What the audit keeps of one."""
    return {"url": webhook.place, "kinds": list(webhook.kinds), "is_enabled": webhook.disabled_at is None}


def _mine(webhook: Webhook | None, who: Principal, webhook_id: str) -> Webhook:
    if webhook is None or webhook.tenant != who.tenant:
        raise WebhookNotFound(f"there is no webhook {webhook_id[:64]!r}")
    return webhook


def _of(webhook: Webhook, delivery: Delivery | None, delivery_id: str) -> Delivery:
    found = _known(delivery, delivery_id)
    if (found.endpoint_id, found.tenant) != (webhook.id, webhook.tenant):
        raise WebhookDeliveryNotFound(f"the webhook has no delivery {delivery_id[:64]!r}")
    return found


def _known(delivery: Delivery | None, delivery_id: str) -> Delivery:
    if delivery is None:
        raise WebhookDeliveryNotFound(f"the webhook has no delivery {delivery_id[:64]!r}")
    return delivery
