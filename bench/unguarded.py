"""`chargehand serve` with nobody at the door: what bench.guards compares the guarded service with. For nothing else.

Each request is the administrator's, unseen; nothing is counted. All other layers and checks are there.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from chargehand.cli.main import main
from chargehand.domain.access import LOCAL_OPERATOR
from chargehand.serve import http


class Everyone:
    """In the place of authentication: every request is the operator's."""

    def __init__(self, app: ASGIApp, **_: object) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["principal"] = LOCAL_OPERATOR
        await self._app(scope, receive, send)


class Uncounted:
    """In the place of the layers that find the client's address and count requests."""

    def __init__(self, app: ASGIApp, **_: object) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


if __name__ == "__main__":
    http.Authentication = Everyone  # type: ignore[misc, assignment]  # pyright: ignore[reportAttributeAccessIssue] - see above
    http.CountedRequests = http.ClientAddress = Uncounted  # type: ignore[misc, assignment]  # pyright: ignore[reportAttributeAccessIssue] - see above
    main()
