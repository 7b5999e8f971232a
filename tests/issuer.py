"""An OIDC issuer on the loopback: a discovery document, a set of keys, and tokens signed with them."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.listening import listening

Claims = dict[str, Any]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
AUDIENCE = "chargehand"


@cache
def ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    """The same for the same number, as long as the tests run."""
    del number
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Made once: it takes a while."""
    return rsa.generate_private_key(65537, bits)


def jwk_of(key: PrivateKey, key_id: str | None, **more: Any) -> dict[str, Any]:
    """The public half as an issuer publishes it."""
    public = (
        RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        if isinstance(key, rsa.RSAPrivateKey)
        else ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    )
    named = {} if key_id is None else {"kid": key_id}
    return {**public, **named, "use": "sig", **more}


class LocalIssuer:
    """What it publishes is the test's to change; `asked` are the paths that were asked for."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.algorithm = algorithm
        self.keys: dict[str, PrivateKey] = {"one": rsa_key() if algorithm[0] in "RP" else ec_key(1)}
        self.more: list[dict[str, Any]] = []
        self.pages: dict[str, bytes] = {}
        self.is_down = False
        self.asked: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            self.asked.append(path)
            body = b"" if self.is_down else self._page(path)
            head = f"HTTP/1.1 {200 if body else 503} X\r\nContent-Length: {len(body)}\r\n"
            location = "Location: /elsewhere\r\n" if body == b"elsewhere" else ""
            head = head.replace("200", "302") if location else head
            writer.write(f"{head}{location}\r\n".encode() + body)
            await writer.drain()
        finally:
            writer.close()

    def _page(self, path: str) -> bytes:
        if path in self.pages:
            return self.pages[path]
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        published = [jwk_of(key, key_id) for key_id, key in self.keys.items()]
        return json.dumps({"keys": published + self.more}).encode() if path == "/keys" else b""

    def claims(self, now: datetime, **changed: Any) -> Claims:
        """Those of a good token; None takes one out."""
        claims: Claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=10)).timestamp()),
            "scope": "openid read",
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, claims: Claims, *, key_id: str = "one", key: PrivateKey | None = None, **header: Any
    ) -> str:
        """Signed as the issuer signs; `header` changes or takes out parts of the header."""
        named = {"kid": key_id, "typ": "at+jwt", **header}
        named = {name: value for name, value in named.items() if name != "kid" or value is not None}
        signed_with = key or self.keys[key_id]
        return jwt.encode(claims, signed_with, algorithm=self.algorithm, headers=named)

    def file(self, folder: Path, **changed: Any) -> Path:
        """The operator's file, with this issuer alone; None takes a setting out."""
        entry: dict[str, Any] = {
            "issuer": self.url,
            "audience": AUDIENCE,
            "algorithm": self.algorithm,
            "tenant": "default",
            "scopes": {"claim": "scope", "of": {"read": ["tasks:read"], "write": ["tasks:write"]}},
            "private_hosts": [f"127.0.0.1:{self.port}"],
            **changed,
        }
        entry = {name: value for name, value in entry.items() if value is not None}
        path = folder / "issuers.yaml"
        path.write_text(yaml.safe_dump({"issuers": {"corp": entry}}), encoding="utf-8")
        return path


@asynccontextmanager
async def local_issuer(algorithm: str = "ES256") -> AsyncGenerator[LocalIssuer]:
    """Listening for as long as the block."""
    made = LocalIssuer(algorithm)
    async with listening(made.serve) as made.port:
        yield made


def unsigned(header: dict[str, Any], claims: Claims | bytes, signature: bytes = b"") -> str:
    """A token of any parts at all."""
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    parts = (json.dumps(header).encode(), body, signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
