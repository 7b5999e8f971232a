"""Sessions over HTTP: a browser shows a key or a token once, and goes on with a cookie that no script can read."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from chargehand.errors import Conflict, NotFound
from chargehand.serve.auth import principal_of, shown_by
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.serve.security_schemes import Way
from chargehand.serve.session_cookie import SessionCookie
from chargehand.service.services import Services
from chargehand.service.sessions import IDLE, Session
from chargehand.wire.answers import Body
from chargehand.wire.sessions import SessionBody

_TAG = "session"
_COOKIE = "The session's cookie: HttpOnly, SameSite=Strict, and Secure behind TLS."


@dataclass(frozen=True, slots=True)
class SessionRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services
    cookie: SessionCookie

    async def begin_session(self, request: Request) -> Response:
        """Begin a session of a browser with the key or token of this request, in the place of one that it had.

        It ends after 12 hours, after 30 minutes without use, at a logout, and with what it was begun with.
        """
        who, shown = principal_of(request), shown_by(request)
        if shown.session is not None:
            raise Conflict("a session begins with a key or a token; send one as Authorization: Bearer …")
        self.cookie.require_not_from_elsewhere(request.scope)
        self.cookie.require_safe_way(request.scope)
        session = await self.services.sessions.begin(
            who,
            key_id=shown.key_id,
            until=shown.expires_at,
            replaces=self.cookie.brought_by(request.scope),
        )
        headers = {"Set-Cookie": self.cookie.sent(session.secret), "Location": "/session"}
        return JsonResponse(_body(session), 201, headers)

    async def get_session(self, request: Request) -> Response:
        """The session of this request's cookie, with the token that its changes need."""
        return JsonResponse(_body(_session_of(request)))

    async def end_session(self, request: Request) -> Response:
        """Log out: the session ends, and the browser forgets its cookie."""
        session = _session_of(request)
        await self.services.sessions.end(session.principal, session.secret)
        return Response(status_code=204, headers={"Set-Cookie": self.cookie.taken_back()})

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        stands = Answer(description="The session.", model=SessionBody)
        begun = Answer(
            description="Begun.",
            model=SessionBody,
            headers={"Set-Cookie": _COOKIE, "Location": "Where the session is."},
        )
        over = Answer(description="Ended.", headers={"Set-Cookie": "Makes the browser forget the cookie."})
        return [
            Route(
                method=method,
                path="/session",
                endpoint=endpoint,
                needs=None,
                tag=_TAG,
                answers=answers,
                problems=problems,
                ways=(way,),
            )
            for method, way, endpoint, answers, problems in (
                ("POST", Way.KEY, self.begin_session, {201: begun}, (403, 409)),
                ("GET", Way.SESSION, self.get_session, {200: stands}, (404,)),
                ("DELETE", Way.SESSION, self.end_session, {204: over}, (403, 404)),
            )
        ]


def _session_of(request: Request) -> Session:
    session = shown_by(request).session
    if session is None:
        raise NotFound("this request has no session: it came with a key or a token; POST /session begins one")
    return session


def _body(session: Session) -> Body:
    return {
        "id": session.principal.id,
        "tenant": session.principal.tenant,
        "scopes": sorted(scope.value for scope in session.principal.scopes),
        "csrf_token": session.csrf_token,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "idle_seconds": int(IDLE.total_seconds()),
    }
