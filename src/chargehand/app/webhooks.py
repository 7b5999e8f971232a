"""Wiring of webhooks: the client for what tenants name, the use cases, and who sends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from chargehand.app.engines import EngineDoor
from chargehand.engine.duties import Duty
from chargehand.engine.webhook_sender import WebhookSender
from chargehand.errors import InvalidInput
from chargehand.network.addresses import HostRules
from chargehand.network.guarded_http import GuardedHttp
from chargehand.service.vault import Vault
from chargehand.service.webhook_outcomes import WebhookOutcomes
from chargehand.service.webhook_sending import WebhookSending
from chargehand.service.webhooks import Webhooks
from chargehand.settings import Settings
from chargehand.store.bus import WEBHOOKS, WEBHOOKS_DUE
from chargehand.store.opening import Opened
from chargehand.telemetry.metrics import Metrics

DUTY = "webhooks"
TOTAL_SECONDS = 10.0
"""How long a receiver may take to take a message and to answer."""
MOST_ANSWER_BYTES = 64 * 1024
_LOOKED_EVERY = 1.0
_PRIVATE_HOSTS = "CHARGEHAND_WEBHOOK_PRIVATE_HOSTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookParts:
    """What there is of webhooks in a process."""

    webhooks: Webhooks
    sender: WebhookSender
    sends_alone: bool
    """Whether this process is the only one that sends: then it is no duty, which would cost leases."""

    def start(self) -> None:
        """Begin to send, where this process does it alone."""
        if self.sends_alone:
            self.sender.start()

    def duty(self) -> Duty:
        """Where several processes share the work: one sends for all."""
        return Duty(name=DUTY, do=self.sender.do, every_seconds=_LOOKED_EVERY)


def webhook_client(settings: Settings) -> GuardedHttp:
    """For addresses that tenants name: https to public hosts, whatever the operator lists beside."""
    private = settings.webhook_private_hosts
    return GuardedHttp(
        rules=HostRules(hosts=(*settings.webhook_hosts, *private), private=private),
        total_seconds=TOTAL_SECONDS,
        max_body_bytes=MOST_ANSWER_BYTES,
        needs_https=True,
        tells_hosts=False,
        private_setting=_PRIVATE_HOSTS,
    )


def check_webhooks(settings: Settings) -> None:
    """InvalidInput names the setting that would allow other hosts than it seems to."""
    check_private_hosts(settings.webhook_private_hosts, _PRIVATE_HOSTS)
    check_private_hosts(settings.fetch_private_hosts, "CHARGEHAND_FETCH_PRIVATE_HOSTS")


def check_private_hosts(hosts: Sequence[str], setting: str) -> None:
    """Each is one host with its port: no pattern, and no network."""
    for one in hosts:
        name, colon, port = one.strip().rpartition(":")
        if not (colon and name and port.isascii() and port.isdecimal()) or any(
            mark in one for mark in "*?/@ "
        ):
            raise InvalidInput(
                f"{setting}: {one[:100]!r} is not of the form host:port, such as hooks.internal:8443"
            )


def open_webhooks(
    settings: Settings, opened: Opened, vault: Vault, door: EngineDoor, metrics: Metrics, *, sends: bool
) -> WebhookParts:
    """The parts, and who is told of what. `sends`: this process takes part in sending."""
    db, clock, outbox, bus = opened.db, opened.clock, opened.outbox, door.bus
    outbox.on_stored = lambda: bus.publish(WEBHOOKS_DUE, "")
    bus.hear(WEBHOOKS, lambda _: outbox.changed())
    outcomes = WebhookOutcomes(
        clock=clock, bus=bus, give_up_after=timedelta(days=settings.webhook_give_up_days)
    )
    sending = WebhookSending(
        db=db,
        clock=clock,
        vault=vault,
        outbox=outbox,
        client=webhook_client(settings),
        outcomes=outcomes,
        metrics=metrics,
        keep=timedelta(days=settings.webhook_log_days),
    )
    webhooks = Webhooks(db, clock, vault, bus, sending, is_shared=opened.is_shared)
    sender = WebhookSender(sending, clock)

    def due(nothing: str) -> None:
        del nothing
        sender.wake()
        if door.duties is not None:
            door.duties.wake(clock.now(), only=DUTY)

    bus.hear(WEBHOOKS_DUE, due)
    return WebhookParts(webhooks=webhooks, sender=sender, sends_alone=sends and not opened.is_shared)
