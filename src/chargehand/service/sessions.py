"""Sessions of browsers: begun with a key or a token, carried on with a cookie, ended by a logout or by themselves.

Rule: a session is never good for longer, or for more, than what it was begun with. Its secret is 256 random bits that
only the browser keeps; the token against forged requests is made of that secret, so it needs no row.
"""

import base64
import hashlib
import hmac
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chargehand.clock import Clock
from chargehand.domain.access import Principal
from chargehand.domain.audit import Action
from chargehand.errors import StorageFull, Unauthorized, Unavailable
from chargehand.service.access import Access
from chargehand.service.audit_records import record as record_done
from chargehand.store import sessions
from chargehand.store.bus import KEYS, SESSIONS, Bus
from chargehand.store.database import Database, retried
from chargehand.store.sessions import SessionRecord

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
CACHE_SECONDS = 5.0
"""How long an ended session may still pass in another process than the one that ended it, when no signal comes."""
SEEN_EVERY = timedelta(minutes=1)
"""How exactly is known when a session was last used; each note of it is a write."""
MOST_OF_PRINCIPAL = 50
"""Beyond that the oldest end, so that whoever begins sessions without end fills no table."""
MOST_CACHED = 1024
_ENDED_AT_ONCE = 200
SHOWN_OF_HASH = 16
"""How much of the hash of a session's secret the audit names it by."""
_SECRET_BYTES = 32
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_OVER = "this session has ended, or never was; begin another with POST /session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as its holder sees it."""

    secret: str = field(repr=False)
    principal: Principal
    created_at: datetime
    expires_at: datetime

    @property
    def csrf_token(self) -> str:
        """What a page of this service shows besides the cookie; a page elsewhere cannot know it."""
        return csrf_token(self.secret)


@dataclass(frozen=True, slots=True)
class _Known:
    """A session that was looked up a moment ago."""

    session: Session
    fresh_until: float


class Sessions:
    """Begins, verifies and ends sessions."""

    def __init__(self, db: Database, clock: Clock, access: Access, bus: Bus | None = None) -> None:
        self._db = db
        self._clock = clock
        self._access = access
        self._cache: dict[str, _Known] = {}
        self._bus = bus or Bus()
        for topic in (KEYS, SESSIONS):
            self._bus.hear(topic, lambda _: self._cache.clear())

    @retried
    async def begin(
        self, who: Principal, *, key_id: str | None, until: datetime | None, replaces: str | None = None
    ) -> Session:
        """A new session with a new secret, in the place of the one that the browser had.

        `key_id`: the key that was shown, with which the session ends; `until`: the end of the token that was.
        """
        now = self._clock.now()
        secret = _text(self._clock.token_bytes(_SECRET_BYTES))
        expires_at = now + LONGEST if until is None else min(now + LONGEST, until)
        if expires_at <= now:
            # A token is taken for a moment beyond its end, for clocks that differ; a session would begin ended.
            raise Unauthorized("the token has expired; get a new one")
        record = SessionRecord(
            id_hash=_hash(secret),
            tenant=who.tenant,
            principal_id=who.id,
            key_id=key_id,
            scopes=who.scopes,
            created_at=now,
            seen_at=now,
            expires_at=expires_at,
        )
        async with self._db.write() as tx:
            if replaces is not None and await sessions.remove(tx, _hash(replaces)):
                tx.after_commit(lambda: self._bus.publish(SESSIONS, ""))
            # Whoever brings a row takes away those that are over: so the table needs nobody to keep it small.
            await sessions.remove_ended(tx, now=now, unused_since=now - IDLE, limit=_ENDED_AT_ONCE)
            await sessions.remove_oldest(tx, who.tenant, who.id, but=MOST_OF_PRINCIPAL - 1)
            await sessions.insert_session(tx, record)
            await record_done(tx, who, Action.SESSION_OPENED, record.id_hash[:SHOWN_OF_HASH])
        return Session(secret=secret, principal=who, created_at=now, expires_at=expires_at)

    async def verify(self, secret: str) -> Session:
        """Whose session it is, and what they may do now. Unauthorized when it has ended, or its key has."""
        if not _SECRET.fullmatch(secret):
            raise Unauthorized(_OVER)
        id_hash = _hash(secret)
        known = self._cache.get(id_hash)
        if known is not None and self._is_fresh(known):
            return known.session
        # From before the row is read: a session that is ended meanwhile passes no longer than it says.
        fresh_until = self._clock.monotonic() + CACHE_SECONDS
        async with self._db.glance() as tx:
            record = await sessions.find(tx, id_hash)
        now = self._clock.now()
        if record is None or now >= record.expires_at or now - record.seen_at >= IDLE:
            raise Unauthorized(_OVER)
        session = Session(
            secret=secret,
            principal=await self._holder(record),
            created_at=record.created_at,
            expires_at=record.expires_at,
        )
        if now - record.seen_at >= SEEN_EVERY:
            await self._note_seen(record, now)
        if len(self._cache) >= MOST_CACHED:
            self._cache.clear()
        self._cache[id_hash] = _Known(session, fresh_until)
        return session

    @retried
    async def end(self, who: Principal, secret: str) -> None:
        """Log out: at once in this process and where signals come, else within CACHE_SECONDS. Twice is no fault."""
        async with self._db.write() as tx:
            if await sessions.remove(tx, _hash(secret)):
                await record_done(tx, who, Action.SESSION_ENDED, _hash(secret)[:SHOWN_OF_HASH])
            tx.after_commit(lambda: self._bus.publish(SESSIONS, ""))

    def _is_fresh(self, known: _Known) -> bool:
        return self._clock.monotonic() < known.fresh_until and self._clock.now() < known.session.expires_at

    async def _holder(self, record: SessionRecord) -> Principal:
        """Of a key, as the key stands now: revoked, expired or narrowed, the session is too."""
        if record.key_id is not None:
            return await self._access.holder(record.key_id)
        await self._access.require_active(record.tenant)
        return Principal(
            id=record.principal_id, tenant=record.tenant, scopes=record.scopes, expires_at=record.expires_at
        )

    async def _note_seen(self, record: SessionRecord, now: datetime) -> None:
        # A full disk must not log people out who only want to look.
        with suppress(StorageFull, Unavailable):
            await self._touch(record, now)

    @retried
    async def _touch(self, record: SessionRecord, now: datetime) -> None:
        async with self._db.write() as tx:
            await sessions.touch(tx, record, now)


def csrf_token(secret: str) -> str:
    """Made of the session's secret, which cannot be found from it."""
    return _text(hmac.digest(secret.encode(), b"chargehand csrf token", "sha256"))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
