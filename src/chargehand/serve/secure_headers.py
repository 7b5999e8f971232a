"""What every answer tells browsers to refuse, made once at the start.

Rule: an answer that brings a header of its own keeps it, such as the page of the documents with its style sheet.
"""

from collections.abc import Collection

from secure import (
    CacheControl,
    ContentSecurityPolicy,
    CrossOriginOpenerPolicy,
    CrossOriginResourcePolicy,
    PermissionsPolicy,
    ReferrerPolicy,
    Secure,
    StrictTransportSecurity,
    XContentTypeOptions,
    XFrameOptions,
)

HSTS_SECONDS = 365 * 86_400
_FEATURES = ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
"""What a page could ask a person for; no answer of this service may."""

Headers = tuple[tuple[bytes, bytes], ...]


class SecureHeaders:
    """The headers as bytes. `is_behind_tls`: browsers are told to come by https only, for a year."""

    def __init__(self, *, is_behind_tls: bool = False) -> None:
        chosen = Secure(
            cache=CacheControl().no_store(),
            xcto=XContentTypeOptions().nosniff(),
            csp=policy(),
            referrer=ReferrerPolicy().no_referrer(),
            corp=CrossOriginResourcePolicy().same_origin(),
            coop=CrossOriginOpenerPolicy().same_origin(),
            permissions=_permissions(),
            xfo=XFrameOptions().deny(),
            hsts=StrictTransportSecurity().max_age(HSTS_SECONDS) if is_behind_tls else None,
        ).validate_and_normalize_headers(on_invalid="raise", strict=True)
        self._headers: Headers = tuple(
            (name.lower().encode(), value.encode()) for name, value in chosen.headers.items()
        )
        self._names = frozenset(name for name, _ in self._headers)

    def dress(self, headers: Collection[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
        """An answer's headers with ours; one that it brings itself stands."""
        ours = self._headers
        own = self._names.intersection([name for name, _ in headers])
        if own:
            ours = tuple(header for header in ours if header[0] not in own)
        return [*headers, *ours, (b"x-request-id", request_id.encode())]


def policy(*, style: str | None = None) -> ContentSecurityPolicy:
    """Nothing is loaded, run, sent or framed; `style` is the hash of the one style sheet that is."""
    allowed = ContentSecurityPolicy().default_src("'none'")
    if style is not None:
        allowed = allowed.style_src(style)
    return allowed.frame_ancestors("'none'").base_uri("'none'").form_action("'none'")


def _permissions() -> PermissionsPolicy:
    none = PermissionsPolicy()
    for feature in _FEATURES:
        none = none.add_directive(feature)
    return none
