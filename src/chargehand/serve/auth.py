"""Who asks: every request shows a valid key, token or session before it is routed, except to the few public paths.

Rule: deny by default. A route that is added is closed until its path is put on the list below, on purpose. What is sent
as `Authorization` decides alone; a cookie is looked at where there is none.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from starlette import types
from starlette.requests import Request

from chargehand.domain.access import Principal, Scope
from chargehand.domain.known_secrets import working_for
from chargehand.errors import TenantSuspended, TooManyRequests, Unauthorized, Unavailable
from chargehand.serve.client_address import address_of, limited_as
from chargehand.serve.session_cookie import SessionCookie
from chargehand.service.access import Access
from chargehand.service.authentication_tries import AuthenticationTries
from chargehand.service.ports import TokenVerifier
from chargehand.service.sessions import Session, Sessions

PUBLIC_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/openapi.json", "/docs"})
"""What may be read without a key."""

MAX_KEY_BYTES = 512
MAX_TOKEN_BYTES = 8 * 1024
_HOW = "send one header `Authorization: Bearer chg_live_…`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a request was let in by: a key's id, a token and its end, or a session."""

    key_id: str | None = None
    expires_at: datetime | None = None
    session: Session | None = None


class Authentication:
    """Puts who asks into the scope, or refuses (pure ASGI)."""

    def __init__(
        self,
        app: types.ASGIApp,
        access: Access,
        sessions: Sessions,
        cookie: SessionCookie,
        tries: AuthenticationTries,
        tokens: TokenVerifier | None = None,
        *,
        also_public: Collection[str] = (),
    ) -> None:
        self._app = app
        self._access = access
        self._sessions = sessions
        self._cookie = cookie
        self._tokens = tokens
        self._tries = tries
        self._public = PUBLIC_PATHS.union(also_public)

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            values = [value for name, value in scope["headers"] if name == b"authorization"]
            if values:
                await self._enter_by_token(scope, values)
            else:
                await self._enter_by_cookie(scope)
        except (Unauthorized, TenantSuspended, TooManyRequests, Unavailable):
            # A public path needs nobody's key, nor that the key can be looked up.
            if scope["path"] not in self._public:
                raise
        who: Principal | None = scope.get("principal")
        if who is None:
            await self._app(scope, receive, send)
            return
        with working_for(who.tenant):
            await self._app(scope, receive, send)

    async def _enter_by_token(self, scope: types.Scope, values: list[bytes]) -> None:
        token, source = _bearer_token(values), limited_as(address_of(scope))
        try:
            if self._tokens is not None and token.count(".") == 2:
                verify = partial(self._holder_of_token, self._tokens)
                scope["principal"] = principal = await self._tries.verified(source, token, verify)
                scope["shown"] = Shown(expires_at=principal.expires_at)
                scope["verify_again"] = partial(verify, token)
            else:
                principal = await self._tries.verified(source, token, self._access.verify)
                scope["principal"] = principal
                scope["verify_again"] = partial(self._access.verify, token)
                scope["shown"] = Shown(key_id=principal.id)
        except Unauthorized as error:
            error.is_of_token = True
            raise

    async def _enter_by_cookie(self, scope: types.Scope) -> None:
        secret = self._cookie.secret_that_counts(scope)
        if secret is None:
            raise Unauthorized(_HOW)
        source = limited_as(address_of(scope))
        session = await self._tries.verified(source, secret, self._sessions.verify)
        scope["principal"] = session.principal
        scope["verify_again"] = partial(self._sessions.verify, secret)
        scope["shown"] = Shown(session=session)

    async def _holder_of_token(self, tokens: TokenVerifier, token: str) -> Principal:
        verified = await tokens.verify(token)
        await self._access.require_active(verified.principal.tenant)
        return verified.principal


def principal_of(request: Request) -> Principal:
    """Who sent the request."""
    principal = known_principal(request)
    if principal is None:
        raise Unauthorized(_HOW)
    return principal


def shown_by(request: Request) -> Shown:
    """What the request was let in by."""
    shown: Shown | None = request.scope.get("shown")
    if shown is None:
        raise Unauthorized(_HOW)
    return shown


def reader_of(request: Request) -> Principal:
    """As `principal_of`, also with the right to read: who changed a task is told how it then stands."""
    who = principal_of(request)
    return replace(who, scopes=who.scopes | {Scope.TASKS_READ})


async def verify_again(scope: types.Scope) -> None:
    """For answers that take long: raise what a key that has ended meanwhile is told."""
    again = scope.get("verify_again")
    if again is not None:
        await again()


def known_principal(request: Request) -> Principal | None:
    """As `principal_of`, on public routes that tell more to those with a key."""
    return request.scope.get("principal")


def _bearer_token(values: list[bytes]) -> str:
    scheme, _, token = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
    token = token.strip()
    most = MAX_TOKEN_BYTES if b"." in token else MAX_KEY_BYTES
    if scheme.lower() != b"bearer":
        raise Unauthorized(_HOW)
    if len(token) > most:
        raise Unauthorized(f"what was sent as a key or token is longer than {most} bytes, so it is neither")
    return token.decode("ascii", "replace")
