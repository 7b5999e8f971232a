"""API keys: made, verified, revoked. Only a keyed hash of a key is stored.

A key is `chg_live_` + 8 characters of id + 32 of secret + 6 of checksum, base62. The checksum lets a typing
error be told, and scanners for leaked secrets be exact, without a query. No slow hash: 190 random bits cannot
be guessed, and slowness would be a lever for those who want to keep the service busy.
"""

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from chargehand.clock import Clock
from chargehand.domain.access import DEFAULT_TENANT, LOCAL_OPERATOR, Principal, Scope
from chargehand.errors import Conflict, InvalidInput, NotFound, Unauthorized, Unavailable
from chargehand.store import access
from chargehand.store.access import KeyRecord
from chargehand.store.bus import KEYS, Bus
from chargehand.store.database import Database, retried
from chargehand.store.secret_files import read_secret, write_secret

PREFIX = "chg_live_"
ADMIN_KEY_NAME = "admin"
CACHE_SECONDS = 5.0
"""How long a revoked key may still pass in another process than the one that revoked it, when no signal comes."""
MOST_CACHED = 1024
PEPPER_BYTES = 32
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY = re.compile(rf"{PREFIX}([0-9A-Za-z]{{8}})([0-9A-Za-z]{{32}})([0-9A-Za-z]{{6}})")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
_NO_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class _Known:
    """A key that was verified a moment ago."""

    principal: Principal
    fresh_until: float
    expires_at: datetime | None


class Access:
    """Who may come in."""

    def __init__(self, db: Database, clock: Clock, pepper_file: Path, bus: Bus | None = None) -> None:
        self._db = db
        self._clock = clock
        self._pepper_file = pepper_file
        self._pepper: bytes | None = None
        self._cache: dict[bytes, _Known] = {}
        self._bus = bus or Bus()
        self._bus.hear(KEYS, lambda _: self._cache.clear())

    @retried
    async def bootstrap(self, key_file: Path) -> bool:
        """Make the pepper and the administrator's key when they are not there; whether a key was made.

        Deleting `key_file` and starting again gives a new administrator's key and ends the old one.
        """
        await self._load_pepper(may_forget_keys=read_secret(key_file) is None)
        content = read_secret(key_file)
        if content is not None and await self._is_issued(content):
            return False
        now = self._clock.now()
        key, record = self._new_key(DEFAULT_TENANT, ADMIN_KEY_NAME, LOCAL_OPERATOR.scopes, now, None)
        async with self._db.write() as tx:
            await access.forget(tx, DEFAULT_TENANT, ADMIN_KEY_NAME)
            await access.insert_key(tx, record)
        # After the commit: a crash between the two leaves no file, and the next start makes a new key.
        write_secret(key_file, key.encode() + b"\n")
        return True

    async def fits(self, key_file: Path) -> bool:
        """Whether `bootstrap` would end no key: the database knows none yet, or it is this folder's own."""
        async with self._db.read() as tx:
            if not await access.any_key(tx):
                return True
        content = read_secret(key_file)
        if content is None or read_secret(self._pepper_file) is None:
            return False
        await self._load_pepper(may_forget_keys=False)
        return await self._is_issued(content)

    @retried
    async def issue(
        self, who: Principal, name: str, scopes: frozenset[Scope], expires_at: datetime | None = None
    ) -> tuple[str, KeyRecord]:
        """Make a key in the caller's tenant. The key itself is told this once and cannot be had again."""
        who.require(Scope.ADMIN)
        if not _NAME.fullmatch(name):
            raise InvalidInput("a key's name is 1 to 128 characters, none of them a control character")
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("expires_at is in the past; give a later time, or none")
        key, record = self._new_key(who.tenant, name, scopes, now, expires_at)
        async with self._db.write(who.tenant) as tx:
            if await access.find_by_name(tx, who.tenant, name) is not None:
                raise Conflict(f"there is a key named {name!r} already, live or revoked; use another name")
            await access.insert_key(tx, record)
        return key, record

    async def verify(self, token: str) -> Principal:
        """Who holds this key. Unauthorized when it is none of ours, revoked or expired."""
        fingerprint = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._cache.get(fingerprint)
        if known is not None and self._is_fresh(known):
            return known.principal
        parts = _KEY.fullmatch(token)
        if parts is None or _checksum(token[:-6]) != parts[3]:
            raise Unauthorized("this is not a key of this service; compare it with the one that was issued")
        # From before the row is read: a key that is revoked meanwhile passes no longer than it says.
        fresh_until = self._clock.monotonic() + CACHE_SECONDS
        record = await self._find(parts[1], token)
        principal = Principal(id=record.id, tenant=record.tenant, scopes=record.scopes)
        if len(self._cache) >= MOST_CACHED:
            self._cache.clear()
        self._cache[fingerprint] = _Known(principal, fresh_until, record.expires_at)
        return principal

    def _is_fresh(self, known: _Known) -> bool:
        expired = known.expires_at is not None and known.expires_at <= self._clock.now()
        return not expired and self._clock.monotonic() < known.fresh_until

    @retried
    async def revoke(self, who: Principal, key_id: str) -> None:
        """End a key: at once in this process and where signals come, else within CACHE_SECONDS."""
        who.require(Scope.ADMIN)
        async with self._db.write(who.tenant) as tx:
            record = await access.find(tx, key_id)
            if record is None or record.tenant != who.tenant:
                raise NotFound(f"there is no key {key_id[:16]!r}")
            await access.revoke(tx, who.tenant, key_id)
            tx.after_commit(lambda: self._bus.publish(KEYS, key_id))

    async def list(self, who: Principal) -> list[KeyRecord]:
        """The keys of the caller's tenant, the oldest first."""
        who.require(Scope.ADMIN)
        async with self._db.read(who.tenant) as tx:
            return await access.of_tenant(tx, who.tenant)

    async def _find(self, key_id: str, token: str) -> KeyRecord:
        digest = await self._hash_with_stored_pepper(token)
        async with self._db.read() as tx:
            record = await access.find(tx, key_id)
        # An unknown id costs the same comparison as a wrong secret.
        matches = hmac.compare_digest(digest, record.key_hash if record else _NO_HASH)
        if record is None or not matches:
            raise Unauthorized("this key was not issued by this service; use one that was")
        if record.revoked_at is not None:
            raise Unauthorized("this key was revoked; use another")
        if record.expires_at is not None and record.expires_at <= self._clock.now():
            raise Unauthorized(f"this key expired at {record.expires_at.isoformat()}; use another")
        return record

    def _new_key(
        self, tenant: str, name: str, scopes: frozenset[Scope], now: datetime, expires_at: datetime | None
    ) -> tuple[str, KeyRecord]:
        key_id = _base62(int.from_bytes(self._clock.token_bytes(16)), 8)
        body = PREFIX + key_id + _base62(int.from_bytes(self._clock.token_bytes(40)), 32)
        key = body + _checksum(body)
        record = KeyRecord(
            id=key_id,
            tenant=tenant,
            name=name,
            key_hash=self._hash(key),
            last_four=key[-4:],
            scopes=scopes,
            created_at=now,
            expires_at=expires_at,
            revoked_at=None,
        )
        return key, record

    async def _is_issued(self, content: bytes) -> bool:
        """Whether the key in the file was issued here; a revoked one was, and is not replaced."""
        parts = _KEY.fullmatch(content.decode("ascii", "replace").strip())
        if parts is None:
            return False
        async with self._db.read() as tx:
            record = await access.find(tx, parts[1])
        return record is not None and hmac.compare_digest(record.key_hash, self._hash(parts[0]))

    async def _hash_with_stored_pepper(self, token: str) -> bytes:
        if self._pepper is None:
            await self._load_pepper(may_forget_keys=False)
        return self._hash(token)

    def _hash(self, token: str) -> bytes:
        if self._pepper is None:
            raise Unavailable("the service has not read its pepper yet; call bootstrap first")
        return hmac.digest(self._pepper, token.encode(), "sha256")

    @retried
    async def _load_pepper(self, *, may_forget_keys: bool) -> None:
        """Read the pepper, or make it when no key depends on it."""
        pepper = read_secret(self._pepper_file)
        if pepper is None:
            async with self._db.write() as tx:
                if await access.any_key(tx):
                    if not may_forget_keys:
                        raise Unavailable(
                            f"{self._pepper_file} is gone, and without it no issued key can be verified;"
                            f" restore it, or delete {ADMIN_KEY_NAME}.key beside it to start with new keys"
                        )
                    await access.forget_all(tx)
            pepper = self._clock.token_bytes(PEPPER_BYTES)
            write_secret(self._pepper_file, pepper)
        if len(pepper) < PEPPER_BYTES:
            raise Unavailable(
                f"{self._pepper_file} holds {len(pepper)} bytes instead of {PEPPER_BYTES}; restore it"
            )
        self._pepper = pepper


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), 6)


def _base62(number: int, length: int) -> str:
    """The last `length` digits; with 64 spare bits the bias of a modulus cannot be measured."""
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
