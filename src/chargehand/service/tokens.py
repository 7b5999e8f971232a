"""Tokens of OIDC issuers: who a signed token is about, and until when that may be believed.

Rule: what a token says of itself only picks the issuer; algorithm, audience and keys come from the operator.
Every fault of a token is Unauthorized. Imported only where issuers are configured, for PyJWT and cryptography.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from chargehand.clock import Clock
from chargehand.domain.issuer import LEEWAY, MOST_SUBJECT_CHARACTERS, Issuer
from chargehand.errors import Unauthorized
from chargehand.network.jwks import IssuerKeys
from chargehand.service.ports import VerifiedToken

MAX_TOKEN_CHARACTERS = 8 * 1024
CACHE_SECONDS = 30.0
"""How long a token that was verified is known by its hash; never beyond its end."""
MOST_CACHED = 1024
_REQUIRED = ("exp", "iat", "sub", "iss", "aud")
_OWN_KEYS = ("jwk", "jku", "x5u", "x5c")
"""Headers by which a token brings the key that it wants to be checked with."""
_MALFORMED = "this is no token that can be read; get a new one from its issuer"
_FOREIGN = "the token is not from an issuer that this service takes tokens of"
_FORGED = "the token's signature is not its issuer's; get a new one"


@dataclass(frozen=True, slots=True)
class _Known:
    """A token that was verified a moment ago."""

    token: VerifiedToken
    fresh_until: float


class Tokens:
    """Verifies tokens of the configured issuers."""

    def __init__(self, issuers: Sequence[Issuer], clock: Clock) -> None:
        self._clock = clock
        self._issuers = {issuer.url: (issuer, IssuerKeys(issuer, clock)) for issuer in issuers}
        self._cache: dict[bytes, _Known] = {}

    async def verify(self, token: str) -> VerifiedToken:
        """Who the token is about. Unauthorized when it is not good, Unavailable without its issuer's keys."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise Unauthorized(
                f"the token is longer than {MAX_TOKEN_CHARACTERS} characters; ask for fewer claims"
            )
        fingerprint = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._cache.get(fingerprint)
        if known is not None and self._is_fresh(known):
            return known.token
        verified = await self._verify(token)
        if len(self._cache) >= MOST_CACHED:
            self._cache.clear()
        self._cache[fingerprint] = _Known(verified, self._clock.monotonic() + CACHE_SECONDS)
        return verified

    async def close(self) -> None:
        """End what is being fetched."""
        for _, keys in self._issuers.values():
            await keys.close()

    def _is_fresh(self, known: _Known) -> bool:
        return self._clock.monotonic() < known.fresh_until and self._clock.now() < known.token.expires_at

    async def _verify(self, token: str) -> VerifiedToken:
        header, claimed = _unverified(token)
        issuer, keys = self._issuer_of(claimed)
        _check_header(header, issuer)
        key = await keys.key(header.get("kid"))
        claims = _verified(token, key, issuer)
        subject = claims["sub"]
        if not isinstance(subject, str) or not 1 <= len(subject) <= MOST_SUBJECT_CHARACTERS:
            raise Unauthorized(f"the token's sub is not 1 to {MOST_SUBJECT_CHARACTERS} characters")
        expires_at = self._end_of(claims, issuer)
        return VerifiedToken(principal=issuer.principal(claims, expires_at), expires_at=expires_at)

    def _issuer_of(self, claimed: Mapping[str, Any]) -> tuple[Issuer, IssuerKeys]:
        url = claimed.get("iss")
        found = self._issuers.get(url) if isinstance(url, str) else None
        if found is None:
            raise Unauthorized(_FOREIGN)
        return found

    def _end_of(self, claims: Mapping[str, Any], issuer: Issuer) -> datetime:
        """By this service's clock, which tests move."""
        now, leeway = self._clock.now(), LEEWAY
        issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
        begins_at = _time(claims, "nbf") if "nbf" in claims else issued_at
        if expires_at <= now - leeway:
            raise Unauthorized("the token has expired; get a new one")
        if issued_at > now + leeway or begins_at > now + leeway:
            raise Unauthorized(
                "the token is not valid yet; compare the clocks of its issuer and this service"
            )
        if not timedelta() < expires_at - issued_at <= issuer.max_lifetime:
            raise Unauthorized(
                f"the token is made to live longer than {issuer.max_lifetime.total_seconds():.0f} s, which this"
                " service allows; see max_lifetime_seconds of its issuer"
            )
        return expires_at


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the token says of itself, none of which is to be believed yet; but its `kid` is text, or is not there."""
    try:
        read = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise Unauthorized(_MALFORMED) from None
    return read["header"], read["payload"]


def _check_header(header: Mapping[str, Any], issuer: Issuer) -> None:
    kind = header.get("typ")
    if header.get("alg") != issuer.algorithm:
        raise Unauthorized(
            f"the token is not signed with {issuer.algorithm}, the one algorithm taken of its issuer"
        )
    if _plain_type(kind) not in issuer.types:
        raise Unauthorized(
            f"the token's typ is not {' or '.join(sorted(issuer.types))}; send an access token"
        )
    # With `b64` and other extensions what is signed is not what is read here.
    if any(name in header for name in (*_OWN_KEYS, "crit", "b64")):
        raise Unauthorized(
            "the token's header brings its own key, or an extension; this service takes neither"
        )


def _plain_type(kind: object) -> str:
    if kind is None:
        return "absent"
    return kind.lower().removeprefix("application/") if isinstance(kind, str) and kind != "absent" else ""


def _verified(token: str, key: jwt.PyJWK, issuer: Issuer) -> dict[str, Any]:
    """The claims of a token that the issuer signed, for this audience. Times are looked at by our own clock."""
    times: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": list(_REQUIRED)}
    try:
        return jwt.decode(
            token,
            key.key,
            algorithms=[issuer.algorithm],
            audience=issuer.audience,
            issuer=issuer.url,
            options=times,
        )
    except jwt.InvalidAudienceError:
        raise Unauthorized("the token is for another audience than this service") from None
    except jwt.MissingRequiredClaimError as error:
        raise Unauthorized(f"the token lacks the claim {error.claim!r}") from None
    except jwt.InvalidSignatureError:
        raise Unauthorized(_FORGED) from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise Unauthorized(_MALFORMED) from None


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unauthorized(f"the token's {name} is no time")
    try:
        # Infinity is an OverflowError here, and NaN a ValueError.
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        raise Unauthorized(f"the token's {name} is no time") from None
