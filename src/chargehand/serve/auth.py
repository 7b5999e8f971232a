"""Who asks: every request shows a valid key before it is routed, except to the few public paths.

Rule: deny by default. A route that is added is closed until its path is put on the list below, on purpose.
"""

from collections.abc import Collection
from dataclasses import replace

from starlette import types
from starlette.requests import Request

from chargehand.domain.access import Principal, Scope
from chargehand.errors import TooManyRequests, Unauthorized
from chargehand.serve.client_address import address_of, limited_as
from chargehand.service.access import Access
from chargehand.service.authentication_tries import AuthenticationTries

PUBLIC_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/openapi.json", "/docs"})
"""What may be read without a key."""

MAX_TOKEN_BYTES = 512
_HOW = "send one header `Authorization: Bearer chg_live_…`"


class Authentication:
    """Puts the key's holder into the scope, or refuses (pure ASGI)."""

    def __init__(
        self,
        app: types.ASGIApp,
        access: Access,
        tries: AuthenticationTries,
        *,
        also_public: Collection[str] = (),
    ) -> None:
        self._app = app
        self._access = access
        self._tries = tries
        self._public = PUBLIC_PATHS.union(also_public)

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            source = limited_as(address_of(scope))
            scope["principal"] = await self._tries.verified(source, _bearer_token(scope), self._access.verify)
        except (Unauthorized, TooManyRequests):
            if scope["path"] not in self._public:
                raise
        await self._app(scope, receive, send)


def principal_of(request: Request) -> Principal:
    """The holder of the request's key."""
    principal = known_principal(request)
    if principal is None:
        raise Unauthorized(_HOW)
    return principal


def reader_of(request: Request) -> Principal:
    """As `principal_of`, also with the right to read: who changed a task is told how it then stands."""
    who = principal_of(request)
    return replace(who, scopes=who.scopes | {Scope.TASKS_READ})


def known_principal(request: Request) -> Principal | None:
    """As `principal_of`, on public routes that tell more to those with a key."""
    return request.scope.get("principal")


def _bearer_token(scope: types.Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, token = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
    if scheme.lower() != b"bearer" or len(token) > MAX_TOKEN_BYTES:
        raise Unauthorized(_HOW)
    return token.strip().decode("ascii", "replace")
