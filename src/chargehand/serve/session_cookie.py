"""The cookie of a session: its name, its attributes, and when a request that brings it counts.

Rule: a cookie alone is no permission. Browsers send it by themselves, so a request that brings it must come from a page
of this service, and one that changes something must show what only such a page can know.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import Scope

from chargehand.errors import Conflict, Forbidden, Unauthorized
from chargehand.service.sessions import LONGEST, csrf_token
from chargehand.settings import LOOPBACK_HOSTS

CSRF_HEADER = "X-CSRF-Token"
_CSRF_BYTES = CSRF_HEADER.lower().encode()
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCookie:
    """How sessions are kept by browsers. `is_behind_tls`: they come by https, and the cookie goes by nothing else."""

    is_behind_tls: bool

    @property
    def name(self) -> str:
        """With the prefix a browser keeps it for this very host, and takes it over https only."""
        return "__Host-sid" if self.is_behind_tls else "chargehand_sid"

    def sent(self, secret: str) -> str:
        """The header that gives it to the browser."""
        return f"{self.name}={secret}; Max-Age={int(LONGEST.total_seconds())}; {self._attributes}"

    def taken_back(self) -> str:
        """The header that makes the browser forget it: the same attributes, or it would keep the old one."""
        return f"{self.name}=; Max-Age=0; {self._attributes}"

    @property
    def _attributes(self) -> str:
        return "Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if self.is_behind_tls else "")

    def brought_by(self, scope: Scope) -> str | None:
        """The secret that a request brings; None without one. Of two, nobody can say whose it is: Unauthorized."""
        found = [
            value
            for cookies in _values(scope, b"cookie")
            for name, _, value in (part.strip().partition("=") for part in cookies.split(";"))
            if name == self.name
        ]
        if len(found) > 1:
            raise Unauthorized(
                f"the cookie {self.name} was sent twice; delete this site's cookies and log in again"
            )
        return found[0] if found else None

    def secret_that_counts(self, scope: Scope) -> str | None:
        """The secret that a request may be let in by. Forbidden when it could be a page elsewhere that sends it."""
        secret = self.brought_by(scope)
        if secret is None:
            return None
        site = _values(scope, b"sec-fetch-site")
        if scope["method"] in SAFE_METHODS:
            # `none`: a person has typed the address. From a page elsewhere the cookie is as good as not sent.
            return secret if not site or site in (["same-origin"], ["none"]) else None
        self.require_own_page(scope)
        shown = _values(scope, _CSRF_BYTES)
        if len(shown) != 1 or not hmac.compare_digest(shown[0].encode(), csrf_token(secret).encode()):
            raise Forbidden("with a session, send the header X-CSRF-Token; GET /session tells its value")
        return secret

    def require_own_page(self, scope: Scope) -> None:
        """Forbidden unless the browser says that a page of this service sends the request."""
        site, origin = _values(scope, b"sec-fetch-site"), _values(scope, b"origin")
        if site == ["same-origin"] or (not site and origin == [self._own_origin(scope)]):
            return
        raise Forbidden(
            "with a session, a request that changes something must come from a page of this service: Sec-Fetch-Site:"
            " same-origin, or its Origin; programs send a key instead"
        )

    def require_not_from_elsewhere(self, scope: Scope) -> None:
        """Forbidden when a browser says that a page elsewhere sends the request; programs say nothing of it."""
        if _values(scope, b"sec-fetch-site") or _values(scope, b"origin"):
            self.require_own_page(scope)

    def require_safe_way(self, scope: Scope) -> None:
        """Conflict where the cookie could be read on its way: by a name of the network, and not over https."""
        if not self.is_behind_tls and _host(scope) not in LOOPBACK_HOSTS:
            raise Conflict(
                "a session's cookie would go over plain http; serve by https through a proxy and set"
                " CHARGEHAND_BEHIND_TLS, or come by http://127.0.0.1"
            )

    def _own_origin(self, scope: Scope) -> str:
        """The Host was checked by Edge: it is a name of this service."""
        scheme = "https" if self.is_behind_tls else "http"
        return f"{scheme}://{''.join(_values(scope, b'host')).lower()}"


def _host(scope: Scope) -> str:
    host = "".join(_values(scope, b"host")).lower()
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).strip("[]")


def _values(scope: Scope, name: bytes) -> list[str]:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value.decode("latin-1").strip() for key, value in headers if key == name]
