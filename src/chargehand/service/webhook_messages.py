"""What a receiver of webhooks is sent: the body of a delivery, and the headers that sign it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chargehand.domain.values import JsonObject
from chargehand.domain.webhook import Delivery
from chargehand.domain.webhook_signature import signed_headers
from chargehand.service.vault import Vault
from chargehand.store import webhook_deliveries, webhooks
from chargehand.store.database import Tx

MOST_EVENT_BYTES = 64 * 1024
"""An event that says more is sent without what it says; the receiver reads it where it stands."""
SEALED_KIND = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookMessage:
    """What is posted."""

    body: bytes
    headers: Mapping[str, str]


async def message_of(tx: Tx, vault: Vault, delivery: Delivery, now: datetime) -> WebhookMessage | None:
    """The signed message of a delivery; None when the endpoint or the event is there no more.

    MasterKeyMissing, ContentDamaged: nothing can be signed now.
    """
    body = await _body(tx, delivery)
    sealed = await webhooks.secrets(tx, delivery.endpoint_id)
    if body is None or sealed is None:
        return None
    opened = [
        await vault.open(tx, delivery.tenant, SEALED_KIND, delivery.endpoint_id, one)
        for one in sealed.signing(now)
    ]
    headers = signed_headers(delivery.id, int(now.timestamp()), body, opened)
    return WebhookMessage(body=body, headers={"content-type": "application/json", **headers})


async def _body(tx: Tx, delivery: Delivery) -> bytes | None:
    if delivery.data is not None:
        return _written(delivery.kind, delivery.created_at, delivery.data)
    event = await webhook_deliveries.event_of(tx, delivery)
    return None if event is None else _written(delivery.kind, event["at"], _told(delivery, event))


def _told(delivery: Delivery, event: Mapping[str, Any]) -> JsonObject:
    data = event["data"]
    is_too_large = len(json.dumps(data)) > MOST_EVENT_BYTES
    return {
        "task_id": delivery.task_id,
        "sequence": delivery.sequence,
        "agent_id": event["agent_id"],
        "labels": event["labels"],
        "parent_id": event["parent_id"],
        "event": None if is_too_large else data,
        "is_cut": is_too_large,
    }


def _written(kind: str, at: datetime, data: JsonObject) -> bytes:
    timestamp = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"type": kind, "timestamp": timestamp, "data": data}, separators=(",", ":")).encode()
