"""Webhooks in the SDK: `client.webhooks` makes, lists, changes, tests and removes them, and shows deliveries."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import httpx2
from pydantic import BaseModel

from chargehand.client.answers import answer_of, require_success
from chargehand.client.calls import Call, path_of, query_of, sending
from chargehand.domain.values import JsonObject
from chargehand.wire.webhooks import (
    WebhookBody,
    WebhookDeliveryBody,
    WebhookDeliveryDetail,
    WebhookDeliveryPage,
    WebhookMade,
    WebhookPage,
)

_Answer = TypeVar("_Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class WebhookCalls:
    """The calls about webhooks, as they are sent by `send`."""

    send: Callable[[Call], Awaitable[httpx2.Response]]

    async def create(
        self,
        url: str,
        *,
        kinds: Sequence[str] = (),
        agents: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        with_children: bool = False,
        description: str = "",
    ) -> WebhookMade:
        """Have events sent; without `kinds` the usual ones. The secret is in this answer and in no later one."""
        body: dict[str, object] = {"url": url, "with_children": with_children, "description": description}
        extras = {"kinds": list(kinds), "agents": list(agents), "labels": dict(labels or {})}
        body |= {name: value for name, value in extras.items() if value}
        return await self._asked(WebhookMade, sending("POST", "/webhooks", body))

    async def list(self, *, cursor: str | None = None, limit: int = 50) -> WebhookPage:
        """A page of webhooks, newest first."""
        call = Call(method="GET", path="/webhooks", query=query_of({"cursor": cursor, "limit": limit}))
        return await self._asked(WebhookPage, call)

    async def get(self, webhook_id: str) -> WebhookBody:
        """One webhook."""
        return await self._asked(WebhookBody, Call(method="GET", path=path_of("webhooks", webhook_id)))

    async def change(self, webhook_id: str, changes: JsonObject) -> WebhookBody:
        """Give fields other values; `is_enabled` stops it and lets it go on."""
        call = sending("PATCH", path_of("webhooks", webhook_id), changes, repeatable=True)
        return await self._asked(WebhookBody, call)

    async def remove(self, webhook_id: str) -> None:
        """End a webhook."""
        call = Call(method="DELETE", path=path_of("webhooks", webhook_id), repeatable=False)
        require_success(await self.send(call))

    async def rotate_secret(self, webhook_id: str, *, overlap_seconds: int = 86_400) -> WebhookMade:
        """A new secret; for so long the one before it signs too."""
        body = {"overlap_seconds": overlap_seconds}
        call = sending("POST", path_of("webhooks", webhook_id, "rotate-secret"), body)
        return await self._asked(WebhookMade, call)

    async def test(self, webhook_id: str) -> WebhookDeliveryBody:
        """Send a message now, once; what came of it."""
        call = Call(method="POST", path=path_of("webhooks", webhook_id, "test"), repeatable=False)
        return await self._asked(WebhookDeliveryBody, call)

    async def deliveries(
        self, webhook_id: str, *, status: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> WebhookDeliveryPage:
        """A page of what was or is to be sent, newest first."""
        query = query_of({"status": status, "cursor": cursor, "limit": limit})
        call = Call(method="GET", path=path_of("webhooks", webhook_id, "deliveries"), query=query)
        return await self._asked(WebhookDeliveryPage, call)

    async def delivery(self, webhook_id: str, delivery_id: str) -> WebhookDeliveryDetail:
        """One delivery with its tries."""
        path = path_of("webhooks", webhook_id, "deliveries", delivery_id)
        return await self._asked(WebhookDeliveryDetail, Call(method="GET", path=path))

    async def redeliver(self, webhook_id: str, delivery_id: str) -> WebhookDeliveryBody:
        """Send it again, with the same id."""
        path = path_of("webhooks", webhook_id, "deliveries", delivery_id, "redeliver")
        return await self._asked(WebhookDeliveryBody, Call(method="POST", path=path))

    async def _asked(self, model: type[_Answer], call: Call) -> _Answer:
        return answer_of(model, await self.send(call))
