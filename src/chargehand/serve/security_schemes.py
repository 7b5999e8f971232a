"""The ways to show who one is, as the OpenAPI document names them: a key or token, or a browser's session."""

from enum import StrEnum
from typing import Any

from chargehand.serve.session_cookie import CSRF_HEADER, SAFE_METHODS, SessionCookie

Schema = dict[str, Any]


class Way(StrEnum):
    """By what a request may be let in; the value is the scheme's name in the document."""

    KEY = "key"
    SESSION = "session"


BOTH = (Way.KEY, Way.SESSION)
_CSRF = "csrf"


def security_schemes(cookie: SessionCookie) -> dict[str, Schema]:
    """What `components.securitySchemes` holds, for a service that keeps sessions in that cookie."""
    return {
        Way.KEY.value: {
            "type": "http",
            "scheme": "bearer",
            "description": "A key, or a token of a trusted issuer. Where it is sent, it alone decides.",
        },
        Way.SESSION.value: {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie.name,
            "description": (
                "A browser's session, begun by `POST /session`. A request that changes something must also come from"
                " a page of this service (`Sec-Fetch-Site: same-origin`, or its `Origin`)."
            ),
        },
        _CSRF: {
            "type": "apiKey",
            "in": "header",
            "name": CSRF_HEADER,
            "description": "The `csrf_token` of the session, with every request of it that changes something.",
        },
    }


def security_of(method: str, ways: tuple[Way, ...]) -> list[dict[str, list[str]]]:
    """What one operation asks for: one of these, each with all that it names."""
    needs_token = method not in SAFE_METHODS
    of_way: dict[Way, dict[str, list[str]]] = {
        Way.KEY: {Way.KEY.value: []},
        Way.SESSION: {Way.SESSION.value: []} | ({_CSRF: []} if needs_token else {}),
    }
    return [of_way[way] for way in ways]
