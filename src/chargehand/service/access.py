"""Who comes in: API keys, verified; and the administrator's own, made at the first start.

Only a keyed hash of a key is stored. No slow hash: 190 random bits cannot be guessed, and slowness would be a lever
for those who want to keep the service busy. What can be done with keys is in service/keys.py.
"""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from chargehand.clock import Clock
from chargehand.domain.access import DEFAULT_TENANT, LOCAL_OPERATOR, Principal, Scope
from chargehand.domain.audit import Action
from chargehand.domain.key import KeyRecord
from chargehand.domain.tenant import Tenant
from chargehand.errors import TenantSuspended, Unauthorized, Unavailable
from chargehand.service.audit_records import actor_of, append
from chargehand.service.audit_records import record as record_done
from chargehand.service.key_format import id_of, new_key
from chargehand.service.key_usage import KeyUsage
from chargehand.store import access, tenants
from chargehand.store.bus import KEYS, Bus
from chargehand.store.database import Database, Tx, retried
from chargehand.store.secret_files import read_secret, write_secret

ADMIN_KEY_NAME = "admin"
RETIRED_MARK = "~"
"""Between the name of a key that was replaced and its id."""
CACHE_SECONDS = 5.0
"""How long a revoked key may still pass in another process than the one that revoked it, when no signal comes."""
MOST_CACHED = 1024
PEPPER_BYTES = 32
_NO_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class _Known:
    """A key that was verified a moment ago."""

    principal: Principal
    fresh_until: float


class Access:
    """Who may come in."""

    def __init__(self, db: Database, clock: Clock, pepper_file: Path, bus: Bus | None = None) -> None:
        self.db = db
        self.clock = clock
        self.bus = bus or Bus()
        self._pepper_file = pepper_file
        self._pepper: bytes | None = None
        self._cache: dict[bytes, _Known] = {}
        self._usage = KeyUsage(db, clock)
        self._active: dict[str, float] = {}
        self.bus.hear(KEYS, lambda _: self._forget_known())

    async def close(self) -> None:
        """Let what goes on beside the requests end."""
        await self._usage.close()

    def _forget_known(self) -> None:
        self._cache.clear()
        self._active.clear()

    @retried
    async def bootstrap(self, key_file: Path) -> bool:
        """Make the pepper and the administrator's key when they are not there; whether a key was made.

        Deleting `key_file` and starting again gives a new administrator's key and ends the old one.
        """
        await self._load_pepper(may_forget_keys=read_secret(key_file) is None)
        content = read_secret(key_file)
        if content is not None and await self._is_issued(content):
            return False
        key, record = self.new_record(
            DEFAULT_TENANT,
            ADMIN_KEY_NAME,
            LOCAL_OPERATOR.scopes,
            created_by=LOCAL_OPERATOR.id,
        )
        async with self.db.write() as tx:
            retired = ADMIN_KEY_NAME + RETIRED_MARK
            gone = await access.forget(tx, DEFAULT_TENANT, ADMIN_KEY_NAME, retired=retired)
            await access.insert_key(tx, record)
            if await tenants.get(tx, DEFAULT_TENANT) is None:
                await tenants.add(tx, _operators_tenant(tx.now))
            await self._tell_ended(tx, gone)
            await record_done(tx, LOCAL_OPERATOR, Action.KEY_ISSUED, record.id, record.for_audit())
        # After the commit: a crash between the two leaves no file, and the next start makes a new key.
        write_secret(key_file, key.encode() + b"\n")
        return True

    async def fits(self, key_file: Path) -> bool:
        """Whether `bootstrap` would end no key: the database knows none yet, or it is this folder's own."""
        async with self.db.read() as tx:
            if not await access.any_key(tx):
                return True
        content = read_secret(key_file)
        if content is None or read_secret(self._pepper_file) is None:
            return False
        await self._load_pepper(may_forget_keys=False)
        return await self._is_issued(content)

    async def verify(self, token: str) -> Principal:
        """Who holds this key. Unauthorized when it is none of ours, revoked or expired; TenantSuspended."""
        fingerprint = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._cache.get(fingerprint)
        if known is not None and self._is_fresh(known):
            self._usage.note(known.principal.id)
            return known.principal
        key_id = id_of(token)
        if key_id is None:
            raise Unauthorized("this is not a key of this service; compare it with the one that was issued")
        # From before the row is read: a key that is revoked meanwhile passes no longer than it says.
        fresh_until = self.clock.monotonic() + CACHE_SECONDS
        record = await self._find(key_id, token)
        principal = _holder_of(record)
        if len(self._cache) >= MOST_CACHED:
            self._cache.clear()
        self._cache[fingerprint] = _Known(principal, fresh_until)
        self._usage.note(record.id)
        return principal

    async def holder(self, key_id: str) -> Principal:
        """Who holds this key now, for what was begun with it, such as a session. Unauthorized as `verify` is."""
        async with self.db.glance() as tx:
            found = await access.find_standing(tx, key_id)
        if found is None:
            raise Unauthorized("the key that this was begun with is gone; use another")
        self._require_live(*found)
        return _holder_of(found[0])

    async def require_active(self, tenant: str) -> None:
        """For the holders of issuers' tokens. Unauthorized without such a tenant; TenantSuspended; known for 5 s."""
        if self.clock.monotonic() < self._active.get(tenant, 0.0):
            return
        fresh_until = self.clock.monotonic() + CACHE_SECONDS
        async with self.db.glance() as tx:
            found = await tenants.get(tx, tenant)
        if found is None:
            raise Unauthorized(
                f"there is no tenant {tenant!r} here; the operator makes it, or corrects the issuers' file"
            )
        if found.suspended_at is not None:
            raise suspended(tenant, found.suspended_at)
        self._active[tenant] = fresh_until

    def _is_fresh(self, known: _Known) -> bool:
        ends_at = known.principal.expires_at
        expired = ends_at is not None and ends_at <= self.clock.now()
        return not expired and self.clock.monotonic() < known.fresh_until

    async def _find(self, key_id: str, token: str) -> KeyRecord:
        digest = await self._hash_with_stored_pepper(token)
        async with self.db.glance() as tx:
            found = await access.find_standing(tx, key_id)
        record, suspended_at = found or (None, None)
        # An unknown id costs the same comparison as a wrong secret.
        matches = hmac.compare_digest(digest, record.key_hash if record else _NO_HASH)
        if record is None or not matches:
            raise Unauthorized("this key was not issued by this service; use one that was")
        self._require_live(record, suspended_at)
        return record

    def _require_live(self, record: KeyRecord, suspended_at: datetime | None) -> None:
        if record.revoked_at is not None:
            raise Unauthorized("this key was revoked; use another")
        if record.expires_at is not None and record.expires_at <= self.clock.now():
            raise Unauthorized(f"this key expired at {record.expires_at.isoformat()}; use another")
        if suspended_at is not None:
            raise suspended(record.tenant, suspended_at)

    def new_record(
        self,
        tenant: str,
        name: str,
        scopes: frozenset[Scope],
        *,
        created_by: str,
        expires_at: datetime | None = None,
        roles: Collection[str] = (),
        agents: frozenset[str] | None = None,
        replaces: str | None = None,
    ) -> tuple[str, KeyRecord]:
        """A new key, and what is to be stored of it. Unavailable before `bootstrap`."""
        key, key_id = new_key(self.clock)
        record = KeyRecord(
            id=key_id,
            tenant=tenant,
            name=name,
            key_hash=self._hash(key),
            last_four=key[-4:],
            scopes=scopes,
            roles=tuple(roles),
            agents=agents,
            replaces=replaces,
            created_by=created_by,
            created_at=self.clock.now(),
            expires_at=expires_at,
        )
        return key, record

    async def _is_issued(self, content: bytes) -> bool:
        """Whether the key in the file was issued here; a revoked one was, and is not replaced."""
        token = content.decode("ascii", "replace").strip()
        key_id = id_of(token)
        if key_id is None:
            return False
        async with self.db.glance() as tx:
            record = await access.find(tx, key_id)
        return record is not None and hmac.compare_digest(record.key_hash, self._hash(token))

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
            async with self.db.write() as tx:
                if await access.any_key(tx):
                    if not may_forget_keys:
                        raise Unavailable(
                            f"{self._pepper_file} is gone, and without it no issued key can be verified;"
                            f" restore it, or delete {ADMIN_KEY_NAME}.key beside it to start with new keys"
                        )
                    await self._tell_ended(tx, await access.forget_all(tx))
            pepper = self.clock.token_bytes(PEPPER_BYTES)
            write_secret(self._pepper_file, pepper)
        if len(pepper) < PEPPER_BYTES:
            raise Unavailable(
                f"{self._pepper_file} holds {len(pepper)} bytes instead of {PEPPER_BYTES}; restore it"
            )
        self._pepper = pepper

    async def _tell_ended(self, tx: Tx, gone: Sequence[KeyRecord]) -> None:
        """Who starts the service has ended these: into the audit of their tenants, and to all processes."""
        for one in gone:
            if one.ended_at(tx.now) is None:
                actor = actor_of(LOCAL_OPERATOR)
                await append(tx, one.tenant, actor, Action.KEY_REVOKED, one.id, details={"name": one.name})
                tx.after_commit(partial(self.bus.publish, KEYS, one.id))


def suspended(tenant: str, since: datetime) -> TenantSuspended:
    """What a caller of a suspended tenant is told, however it has shown who it is."""
    when = since.isoformat(timespec="seconds")
    return TenantSuspended(f"the tenant {tenant!r} is suspended since {when}; ask the service's operator")


def _holder_of(record: KeyRecord) -> Principal:
    """What a key allows, in the one place where that is read out of its row."""
    return Principal(
        id=record.id,
        tenant=record.tenant,
        scopes=record.scopes,
        agents=record.agents,
        roles=record.roles,
        expires_at=record.expires_at,
    )


def _operators_tenant(now: datetime) -> Tenant:
    return Tenant(
        id=DEFAULT_TENANT,
        display_name=DEFAULT_TENANT,
        created_by=LOCAL_OPERATOR.id,
        created_at=now,
        suspended_at=None,
    )
