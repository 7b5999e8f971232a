"""The layer that counts requests: what is left is told with every answer, and one too many is answered 429.

The fields are those of the IETF's draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers).
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from chargehand.errors import TooManyRequests
from chargehand.serve.client_address import address_of, limited_as
from chargehand.serve.problems import problem_of
from chargehand.service.request_rates import SETTING_OF, Counted, RequestRates

UNCOUNTED_PATHS = frozenset({"/health", "/health/live"})
"""What supervisors ask again and again, from the address of many; it costs no more than a refusal."""


class CountedRequests:
    """Counts a request behind authentication, and refuses it or lets it pass (pure ASGI)."""

    def __init__(self, app: ASGIApp, rates: RequestRates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNCOUNTED_PATHS:
            await self._app(scope, receive, send)
            return
        counted = await self._rates.take(scope.get("principal"), limited_as(address_of(scope)))
        if counted is None:
            await self._app(scope, receive, send)
            return
        # For whoever answers, which may be a layer further out: an error's answer is made there.
        scope["rate_fields"] = (
            (b"ratelimit-policy", counted.policy()),
            (b"ratelimit", counted.standing()),
        )
        if counted.wait_seconds:
            await problem_of(_refusal(counted), scope["request_id"])(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _refusal(counted: Counted) -> TooManyRequests:
    name, rate = counted.exhausted()
    return TooManyRequests(
        f"more than {rate.per_second:g} requests a second ({rate.burst} at once) came of this {name}"
        f" ({SETTING_OF[name]}); try again in {counted.wait_seconds} s",
        retry_after_seconds=counted.wait_seconds,
    )
