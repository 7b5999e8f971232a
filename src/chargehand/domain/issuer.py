"""Who else may say who somebody is: OIDC issuers, and what the claims of their tokens are worth here.

Rule: nothing that a token claims is taken as it stands. A tenant and a scope come out of the operator's tables, and a
value that is in no table is worth nothing.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from chargehand.domain.access import Principal, Scope
from chargehand.errors import Unauthorized

ALGORITHMS = {
    "RS256": ("RSA", None), "RS384": ("RSA", None), "RS512": ("RSA", None),
    "PS256": ("RSA", None), "PS384": ("RSA", None), "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}  # fmt: skip
"""Signatures that only the issuer can make, with key type and curve. No HMAC: whoever can check it could sign."""
LEEWAY = timedelta(seconds=30)
"""How far the issuer's clock may be from this one."""
MOST_SUBJECT_CHARACTERS = 255
_ID_CHARACTERS = 64
_PLAIN_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@|+-]*")

Claims = Mapping[str, Any]
ClaimPath = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRule:
    """The tenant of a token: `fixed`, or by what a claim says."""

    fixed: str | None = None
    claim: ClaimPath = ()
    of: Mapping[str, str] = field(default_factory=dict[str, str])

    def tenant(self, claims: Claims) -> str:
        """Unauthorized when the token names none that is in the table, or more than one."""
        if self.fixed is not None:
            return self.fixed
        found = {self.of[value] for value in texts_at(claims, self.claim) if value in self.of}
        if len(found) != 1:
            raise Unauthorized(
                "the token names no tenant of this service, or several; ask for one that names one"
            )
        return found.pop()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRule:
    """The scopes of a token: what a claim's values stand for. A text is split at spaces, as in the claim `scope`."""

    claim: ClaimPath
    of: Mapping[str, frozenset[Scope]]

    def scopes(self, claims: Claims) -> frozenset[Scope]:
        """Those of every value that is in the table."""
        words = [word for text in texts_at(claims, self.claim) for word in (text, *text.split())]
        return frozenset(scope for word in words for scope in self.of.get(word, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An issuer of tokens, as the operator wrote it down."""

    name: str
    url: str
    audience: str
    algorithm: str
    jwks_url: str | None
    """None: told by the issuer's own discovery document."""
    types: frozenset[str]
    """What `typ` may be, in lower case, without `application/`; `absent`: there may be none."""
    max_lifetime: timedelta
    tenant: TenantRule
    scopes: ScopeRule
    required: Mapping[str, frozenset[str]]
    """Claims that must have one of these values; booleans as `true` and `false`."""
    private_hosts: tuple[str, ...]
    """Of this issuer, as exact `host:port`: those in a private network, which may be asked over plain http too."""

    def principal(self, claims: Claims, expires_at: datetime) -> Principal:
        """Who a verified token is about, and what they may do here."""
        for claim, allowed in self.required.items():
            if not allowed.intersection(texts_at(claims, (claim,))):
                raise Unauthorized(f"the token's claim {claim!r} is not what this service asks for")
        return Principal(
            id=principal_id(self.name, claims["sub"]),
            tenant=self.tenant.tenant(claims),
            scopes=self.scopes.scopes(claims),
            expires_at=expires_at,
        )


def principal_id(issuer: str, subject: str) -> str:
    """`issuer:subject`, and for a subject that is long or strange its hash: never two subjects with one id."""
    plain = f"{issuer}:{subject}"
    if len(plain) <= _ID_CHARACTERS and _PLAIN_SUBJECT.fullmatch(subject):
        return plain
    # No plain subject begins with this sign.
    return f"{issuer}:~{hashlib.sha256(subject.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def texts_at(claims: Claims, path: ClaimPath) -> list[str]:
    """The values of a claim as texts: one, or those of a list. What is neither text nor boolean is none."""
    node: object = claims
    for part in path:
        node = cast("dict[str, object]", node).get(part) if isinstance(node, dict) else None
    values = cast("list[object]", node) if isinstance(node, list) else [node]
    booleans = {True: "true", False: "false"}
    return [
        booleans[value] if isinstance(value, bool) else value
        for value in values
        if isinstance(value, str | bool)
    ]
