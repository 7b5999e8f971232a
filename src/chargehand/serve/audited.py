"""What the audit needs of requests: where they come from, and which of them were refused.

Rule: what a use case changes it notes itself, in its own transaction. Here only refusals are noted, beside the request:
a key that is none, a scope that is missing.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from chargehand.domain.access import Principal
from chargehand.errors import Forbidden, Unauthorized
from chargehand.serve.client_address import address_of
from chargehand.serve.requests import method_and_route
from chargehand.service.denials import Denials
from chargehand.service.origin import coming_from


class AuditedRequests:
    """Stands around authentication and the routes (pure ASGI); what is refused goes on to whoever answers it."""

    def __init__(self, app: ASGIApp, denials: Denials) -> None:
        self._app = app
        self._denials = denials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with coming_from(address_of(scope), scope["request_id"]):
            try:
                await self._app(scope, receive, send)
            except Unauthorized:
                await self._denials.unauthenticated()
                raise
            except Forbidden:
                who: Principal | None = scope.get("principal")
                if who is not None:
                    await self._denials.forbidden(who, " ".join(method_and_route(scope)))
                raise
