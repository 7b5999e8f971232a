"""The public keys of an OIDC issuer: fetched through the guarded client, kept, and fetched again when they are old.

Rule: what a token says never decides where keys come from, and no number of tokens makes this service fetch more often
than once in a cooldown. Imported only where issuers are configured, for PyJWT and cryptography.
"""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol, cast

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from chargehand.domain.issuer import ALGORITHMS, Issuer
from chargehand.errors import ChargehandError, InvalidInput, Unauthorized, Unavailable
from chargehand.network.addresses import HostRules, Resolve
from chargehand.network.guarded_http import GuardedHttp
from chargehand.network.operators_places import checked_place, host_port
from chargehand.network.resolving import system_resolve

log = structlog.stdlib.get_logger("chargehand.issuers")

FRESH_SECONDS = 600.0
"""After so long the keys are fetched anew, beside the requests that still use the old ones."""
STALE_SECONDS = 24 * 3600.0
"""So long the keys are good for when the issuer cannot be reached."""
COOLDOWN_SECONDS = 30.0
FETCH_SECONDS = 10.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 100
MIN_RSA_BITS = 2048
_DISCOVERY = "/.well-known/openid-configuration"


class Monotonic(Protocol):
    """The clock, as far as it is needed here."""

    def monotonic(self) -> float:
        """Seconds for measuring intervals."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    by_id: dict[str | None, PyJWK]
    fetched_at: float


class IssuerKeys:
    """The keys of one issuer, by the id that they were published under."""

    def __init__(self, issuer: Issuer, clock: Monotonic, resolve: Resolve = system_resolve) -> None:
        self._issuer = issuer
        self._clock = clock
        self._resolve = resolve
        self._keys: _Keys | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None) -> PyJWK:
        """The key of this id; None: the issuer's only one. Unauthorized without one, Unavailable without any."""
        keys = self._usable()
        if keys is None:
            await self._fetch_unless_tried()
            keys = self._usable()
        elif key_id not in keys.by_id:
            # The issuer may have begun to use a new key; an id that was made up looks the same.
            await self._fetch_unless_tried()
            keys = self._usable() or keys
        elif self._clock.monotonic() - keys.fetched_at > FRESH_SECONDS:
            self._begin_unless_tried()
        if keys is None:
            raise Unavailable(
                f"the keys of the issuer {self._issuer.name!r} cannot be fetched; try again, or use a key from here",
                retry_after_seconds=int(COOLDOWN_SECONDS),
            )
        found = keys.by_id.get(key_id)
        if found is None:
            raise Unauthorized(
                "the token is signed with a key that its issuer does not publish; get a new token"
            )
        return found

    async def close(self) -> None:
        """End a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _usable(self) -> _Keys | None:
        keys = self._keys
        if keys is None or self._clock.monotonic() - keys.fetched_at > STALE_SECONDS:
            return None
        return keys

    async def _fetch_unless_tried(self) -> None:
        self._begin_unless_tried()
        if self._fetching is not None:
            # Shielded: one caller that goes away must not end what others wait for.
            await asyncio.shield(self._fetching)

    def _begin_unless_tried(self) -> None:
        now = self._clock.monotonic()
        tried = self._tried_at is not None and now - self._tried_at < COOLDOWN_SECONDS
        if self._fetching is None and not tried:
            self._tried_at = now
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            found = usable_keys(await self._key_set(), self._issuer.algorithm)
            if not found:
                raise InvalidInput(f"no key for {self._issuer.algorithm} is published")
            self._keys = _Keys(by_id=found, fetched_at=self._clock.monotonic())
        except (ChargehandError, OSError) as error:
            log.warning("the keys of an issuer cannot be fetched", issuer=self._issuer.name, error=str(error))
        finally:
            self._fetching = None

    async def _key_set(self) -> dict[str, Any]:
        url = self._issuer.jwks_url
        if url is None:
            document = await self._get(self._issuer.url.rstrip("/") + _DISCOVERY)
            url = document.get("jwks_uri")
            if document.get("issuer") != self._issuer.url or not isinstance(url, str):
                raise InvalidInput("the discovery document is not this issuer's, or names no jwks_uri")
        return await self._get(url)

    async def _get(self, url: str) -> dict[str, Any]:
        place = checked_place(url, self._issuer.private_hosts)
        rules = HostRules(hosts=(host_port(place),), private=self._issuer.private_hosts)
        client = GuardedHttp(
            rules=rules, total_seconds=FETCH_SECONDS, max_body_bytes=MAX_BYTES, resolve=self._resolve
        )
        answer = await client.get(url, leaves_host=False)
        if answer.status != 200 or answer.is_cut or answer.url != place.geturl():
            raise InvalidInput(f"{url[:200]!r} answered {answer.status}, or too much, or sent elsewhere")
        try:
            found: object = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise InvalidInput(f"{url[:200]!r} did not answer with JSON") from None
        if not isinstance(found, dict):
            raise InvalidInput(f"{url[:200]!r} did not answer with a JSON object")
        return cast("dict[str, Any]", found)


def usable_keys(key_set: dict[str, Any], algorithm: str) -> dict[str | None, PyJWK]:
    """Of a JWK set, the keys that this algorithm's signatures can be checked with, by id.

    An id that stands twice is left out. A single key is found without an id as well.
    """
    listed = key_set.get("keys")
    items = cast("list[object]", listed)[:MAX_KEYS] if isinstance(listed, list) else []
    fitting: list[tuple[str | None, PyJWK]] = []
    for item in items:
        key = _key(cast("dict[str, Any]", item), algorithm) if isinstance(item, dict) else None
        if key is not None:
            fitting.append((key.key_id if isinstance(key.key_id, str) else None, key))
    times = Counter(key_id for key_id, _ in fitting)
    found = {key_id: key for key_id, key in fitting if key_id is not None and times[key_id] == 1}
    return found | ({None: fitting[0][1]} if len(fitting) == 1 else {})


def _key(data: dict[str, Any], algorithm: str) -> PyJWK | None:
    kind, curve = ALGORITHMS[algorithm]
    operations = data.get("key_ops")
    if (
        data.get("kty") != kind
        or data.get("crv") != curve
        or data.get("use", "sig") != "sig"
        or data.get("alg", algorithm) != algorithm
        or (isinstance(operations, list) and "verify" not in operations)
    ):
        return None
    public = {
        name: value for name, value in data.items() if name in ("kty", "kid", "crv", "n", "e", "x", "y")
    }
    try:
        key = PyJWK(public, algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS:
        return None
    return key
