"""Which web pages elsewhere may call the API, and what of an answer they may read. None may, unless it is listed.

Rule: an origin is named whole, and no answer ever allows credentials: a page elsewhere calls with a key that it was
given, never with the cookie of whoever looks at it.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from chargehand.errors import InvalidInput
from chargehand.settings import LOOPBACK_HOSTS, Settings

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "Prefer",
    "X-Request-ID",
)
ANSWER_HEADERS = (
    "Content-Disposition",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-ID",
)
MAX_AGE_SECONDS = 600
"""How long a browser may remember what it was told before a request."""

_HOST = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def cors_options(settings: Settings) -> dict[str, Any]:
    """What Starlette's CORSMiddleware is made with."""
    return {
        "allow_origins": settings.cors_origins,
        "allow_credentials": False,
        "allow_methods": METHODS,
        "allow_headers": REQUEST_HEADERS,
        "expose_headers": ANSWER_HEADERS,
        "max_age": MAX_AGE_SECONDS,
    }


def check_origins(settings: Settings) -> None:
    """InvalidInput for an origin that would open the API to more than it names, or that no browser ever sends."""
    for origin in settings.cors_origins:
        wrong = _wrong_with(origin, is_behind_tls=settings.behind_tls)
        if wrong is not None:
            raise InvalidInput(f"cors_origins cannot hold {origin[:200]!r}: {wrong}")


def _wrong_with(origin: str, *, is_behind_tls: bool) -> str | None:
    if "*" in origin:
        return (
            "any page that somebody with a key looks at could then call the API and read what it answers; list the"
            " origins that may, or none"
        )
    if origin == "null":
        return "files, sandboxed frames and redirects all send it, so it names nobody; list an origin"
    scheme, separator, place = origin.partition("://")
    if scheme not in _DEFAULT_PORTS or not separator:
        return "an origin is scheme://host or scheme://host:port, of http or https, in lower case"
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return "its port is no number"
    if place != parts.netloc or "@" in place:
        return "browsers send scheme://host:port alone; leave out the path, the last /, names and passwords"
    host = place if port is None else place.rpartition(":")[0]
    if not _HOST.fullmatch(host):
        return "its host is none that browsers send: lower case, names of other alphabets as xn--…"
    if port == _DEFAULT_PORTS[scheme]:
        return f"browsers leave out the port {port}; write {scheme}://{host}"
    if scheme == "http" and is_behind_tls and host.strip("[]") not in LOOPBACK_HOSTS:
        return (
            "with behind_tls clients are told to come by https only, and a page that came over plain http can be"
            " changed on its way; use its https address"
        )
    return None
