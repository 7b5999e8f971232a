"""Sessions of browsers as rows; of a session's secret there is only a hash."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select, update

from chargehand.domain.access import Scope, known_scopes
from chargehand.store.database import Tx
from chargehand.store.session_tables import BrowserSession


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """What is kept of a session."""

    id_hash: str = field(repr=False)
    tenant: str
    principal_id: str
    key_id: str | None
    scopes: frozenset[Scope]
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


async def insert_session(tx: Tx, record: SessionRecord) -> None:
    """Store a new session."""
    values = {
        "id_hash": record.id_hash,
        "tenant": record.tenant,
        "principal_id": record.principal_id,
        "key_id": record.key_id,
        "scopes": sorted(scope.value for scope in record.scopes),
        "created_at": record.created_at,
        "seen_at": record.seen_at,
        "expires_at": record.expires_at,
    }
    await tx.connection.execute(insert(BrowserSession).values(values))


async def find(tx: Tx, id_hash: str) -> SessionRecord | None:
    """The session of this hash, whoever's it is and however it stands: the tenant is what it tells."""
    statement = select(BrowserSession.__table__).where(BrowserSession.id_hash == id_hash)
    found = (await tx.connection.execute(statement)).first()
    return None if found is None else _as_record(found)


async def touch(tx: Tx, record: SessionRecord, at: datetime) -> None:
    """Note that it was used; an earlier time changes nothing."""
    await tx.connection.execute(
        update(BrowserSession)
        .where(
            BrowserSession.tenant == record.tenant,
            BrowserSession.id_hash == record.id_hash,
            BrowserSession.seen_at < at,
        )
        .values(seen_at=at)
    )


async def remove(tx: Tx, id_hash: str) -> bool:
    """End a session by its secret's hash, which only its holder can know; whether there was one."""
    done = await tx.connection.execute(delete(BrowserSession).where(BrowserSession.id_hash == id_hash))
    return done.rowcount > 0


async def remove_ended(tx: Tx, *, now: datetime, unused_since: datetime, limit: int) -> int:
    """Drop so many of all tenants' sessions that can be used no more."""
    statement = select(BrowserSession.id_hash).where(
        or_(BrowserSession.expires_at <= now, BrowserSession.seen_at <= unused_since)
    )
    return await _remove_all(tx, list(await tx.connection.scalars(statement.limit(limit))))


async def remove_oldest(tx: Tx, tenant: str, principal_id: str, *, but: int) -> int:
    """Of a principal's sessions leave so many, the newest."""
    statement = (
        select(BrowserSession.id_hash)
        .where(BrowserSession.tenant == tenant, BrowserSession.principal_id == principal_id)
        .order_by(BrowserSession.created_at.desc(), BrowserSession.id_hash)
    )
    return await _remove_all(tx, list(await tx.connection.scalars(statement))[but:])


async def _remove_all(tx: Tx, hashes: list[str]) -> int:
    if hashes:
        await tx.connection.execute(delete(BrowserSession).where(BrowserSession.id_hash.in_(hashes)))
    return len(hashes)


def _as_record(row: Row[Any]) -> SessionRecord:
    return SessionRecord(
        id_hash=row.id_hash,
        tenant=row.tenant,
        principal_id=row.principal_id,
        key_id=row.key_id,
        scopes=known_scopes(row.scopes),
        created_at=row.created_at,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
    )
