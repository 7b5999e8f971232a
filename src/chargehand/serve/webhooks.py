"""Webhooks over HTTP: made, read, changed, removed, tested, given new secrets; and what became of deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.domain.webhook import DeliveryStatus, WebhookOrder
from chargehand.serve import queries
from chargehand.serve.auth import principal_of
from chargehand.serve.body import read_json
from chargehand.serve.pages import ID_CURSOR, page_answer, page_of
from chargehand.serve.path_ids import delivery_id_of, webhook_id_of
from chargehand.serve.queries import Query
from chargehand.serve.routes import Answer, JsonResponse, Parameter, Route
from chargehand.service.services import Services
from chargehand.service.webhooks import Made
from chargehand.wire.webhooks import (
    SecretRotation,
    WebhookBody,
    WebhookChange,
    WebhookDeliveryBody,
    WebhookDeliveryDetail,
    WebhookDeliveryPage,
    WebhookMade,
    WebhookPage,
    WebhookSubmission,
    delivery_body,
    delivery_detail,
    webhook_body,
)

STATUS = Parameter(
    name="status",
    description="Only deliveries that stand so.",
    schema={"type": "string", "enum": [status.value for status in DeliveryStatus]},
)
_LIST = (ID_CURSOR, queries.LIMIT)
_DELIVERIES = (STATUS, ID_CURSOR, queries.LIMIT)
_PATH = "/webhooks/{webhook_id}"
_OF_WEBHOOK: dict[str, tuple[str, str]] = dict.fromkeys(
    ("get_webhook", "change_webhook", "rotate_webhook_secret", "list_webhook_deliveries", "remove_webhook"),
    ("webhook_id", "/id"),
)


@dataclass(frozen=True, slots=True)
class WebhookRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def create_webhook(self, request: Request) -> Response:
        """Have events sent to an address: all that happen after this has answered.

        The secret of the answer is shown this once; with it a receiver verifies that a message is genuine. The key
        needs `tasks:read` too, because events tell of tasks.
        """
        sent = await read_json(request, WebhookSubmission)
        made = await self.services.webhooks.create(principal_of(request), WebhookOrder(**sent.values()))
        return JsonResponse(_made(made), 201, {"Location": f"/webhooks/{made.webhook.id}"})

    async def list_webhooks(self, request: Request) -> Response:
        """Webhooks, newest first."""
        query = Query(request, _LIST)
        page = await self.services.webhooks.page(
            principal_of(request), before=query.text(ID_CURSOR), limit=query.number(queries.LIMIT)
        )
        return page_answer(request, map(webhook_body, page.items), page.next_cursor)

    async def get_webhook(self, request: Request) -> Response:
        """One webhook, and whether its receiver takes what is sent."""
        found = await self.services.webhooks.get(principal_of(request), webhook_id_of(request))
        return JsonResponse(webhook_body(found))

    async def change_webhook(self, request: Request) -> Response:
        """Change what is sent, leave the rest as it is; `is_enabled` stops it and lets it go on."""
        webhook_id = webhook_id_of(request)
        sent = await read_json(request, WebhookChange)
        changed = await self.services.webhooks.change(principal_of(request), webhook_id, sent.values())
        return JsonResponse(webhook_body(changed))

    async def remove_webhook(self, request: Request) -> Response:
        """End a webhook. What waits for it is not sent."""
        await self.services.webhooks.remove(principal_of(request), webhook_id_of(request))
        return Response(status_code=204)

    async def rotate_webhook_secret(self, request: Request) -> Response:
        """A new secret, shown this once. For `overlap_seconds` the one before it signs too."""
        webhook_id = webhook_id_of(request)
        sent = await read_json(request, SecretRotation)
        overlap = timedelta(seconds=sent.overlap_seconds)
        return JsonResponse(
            _made(await self.services.webhooks.rotate_secret(principal_of(request), webhook_id, overlap))
        )

    async def test_webhook(self, request: Request) -> Response:
        """Send a message of kind `webhook.test`, once and now, and answer with what came of it."""
        sent = await self.services.webhooks.test(principal_of(request), webhook_id_of(request))
        return JsonResponse(delivery_body(sent))

    async def list_webhook_deliveries(self, request: Request) -> Response:
        """What was or is to be sent, newest first."""
        query = Query(request, _DELIVERIES)
        page = await self.services.webhooks.deliveries(
            principal_of(request),
            webhook_id_of(request),
            status=query.choice(STATUS),
            before=query.text(ID_CURSOR),
            limit=query.number(queries.LIMIT),
        )
        return page_answer(request, map(delivery_body, page.items), page.next_cursor)

    async def get_webhook_delivery(self, request: Request) -> Response:
        """One delivery with its tries."""
        webhook_id, delivery_id = webhook_id_of(request), delivery_id_of(request)
        found, tries = await self.services.webhooks.delivery(principal_of(request), webhook_id, delivery_id)
        return JsonResponse(delivery_detail(found, tries))

    async def redeliver_webhook(self, request: Request) -> Response:
        """Send it again, now, with the same `webhook-id` and as many tries as a new one."""
        webhook_id, delivery_id = webhook_id_of(request), delivery_id_of(request)
        again = await self.services.webhooks.redeliver(principal_of(request), webhook_id, delivery_id)
        return JsonResponse(delivery_body(again), 202)

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return [*self._of_all(), *self._of_one(), *self._of_its_secret(), *self._of_deliveries()]

    def _of_all(self) -> Sequence[Route]:
        made = Answer(
            description="Made.",
            model=WebhookMade,
            headers={"Location": "Where the webhook is."},
            leads_to=_OF_WEBHOOK,
        )
        return [
            Route(
                method="POST",
                path="/webhooks",
                endpoint=self.create_webhook,
                needs=Scope.WEBHOOKS_WRITE,
                tag="webhooks",
                body=WebhookSubmission,
                answers={201: made},
                problems=(409,),
            ),
            Route(
                method="GET",
                path="/webhooks",
                endpoint=self.list_webhooks,
                needs=Scope.WEBHOOKS_READ,
                tag="webhooks",
                parameters=_LIST,
                answers={200: page_of(WebhookPage)},
            ),
        ]

    def _of_one(self) -> Sequence[Route]:
        stands = Answer(description="The webhook.", model=WebhookBody)
        return [
            Route(
                method="GET",
                path=_PATH,
                endpoint=self.get_webhook,
                needs=Scope.WEBHOOKS_READ,
                tag="webhooks",
                answers={200: stands},
                problems=(404,),
            ),
            Route(
                method="PATCH",
                path=_PATH,
                endpoint=self.change_webhook,
                needs=Scope.WEBHOOKS_WRITE,
                tag="webhooks",
                body=WebhookChange,
                answers={200: stands},
                problems=(404,),
            ),
            Route(
                method="DELETE",
                path=_PATH,
                endpoint=self.remove_webhook,
                needs=Scope.WEBHOOKS_WRITE,
                tag="webhooks",
                answers={204: Answer(description="Gone.")},
                problems=(404,),
            ),
        ]

    def _of_its_secret(self) -> Sequence[Route]:
        return [
            Route(
                method="POST",
                path=f"{_PATH}/rotate-secret",
                endpoint=self.rotate_webhook_secret,
                needs=Scope.WEBHOOKS_WRITE,
                tag="webhooks",
                body=SecretRotation,
                answers={200: Answer(description="The webhook and its new secret.", model=WebhookMade)},
                problems=(404,),
            ),
            Route(
                method="POST",
                path=f"{_PATH}/test",
                endpoint=self.test_webhook,
                needs=Scope.WEBHOOKS_WRITE,
                tag="webhooks",
                answers={200: Answer(description="What came of it.", model=WebhookDeliveryBody)},
                problems=(404,),
            ),
        ]

    def _of_deliveries(self) -> Sequence[Route]:
        one = f"{_PATH}/deliveries/{{delivery_id}}"
        return [
            Route(
                method="GET",
                path=f"{_PATH}/deliveries",
                endpoint=self.list_webhook_deliveries,
                needs=Scope.WEBHOOKS_READ,
                tag="webhooks",
                parameters=_DELIVERIES,
                answers={200: page_of(WebhookDeliveryPage)},
                problems=(404,),
            ),
            Route(
                method="GET",
                path=one,
                endpoint=self.get_webhook_delivery,
                needs=Scope.WEBHOOKS_READ,
                tag="webhooks",
                answers={200: Answer(description="The delivery.", model=WebhookDeliveryDetail)},
                problems=(404,),
            ),
            Route(
                method="POST",
                path=f"{one}/redeliver",
                endpoint=self.redeliver_webhook,
                needs=Scope.WEBHOOKS_WRITE,
                tag="webhooks",
                answers={202: Answer(description="To be sent again.", model=WebhookDeliveryBody)},
                problems=(404, 409),
            ),
        ]


def _made(made: Made) -> dict[str, object]:
    return {**webhook_body(made.webhook), "secret": made.secret}
