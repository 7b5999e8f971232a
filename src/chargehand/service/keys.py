"""What can be done with keys: make, read, replace and revoke them.

Rule: nobody makes, replaces or ends a key that can do more than their own. A key is told once, when it is made.
"""

import re
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from chargehand.domain.access import OF_AGENTS, Principal, Scope
from chargehand.domain.agent import AGENT_ID
from chargehand.domain.audit import Action
from chargehand.domain.key import KeyRecord
from chargehand.domain.values import JsonObject
from chargehand.errors import Conflict, Forbidden, InvalidInput, KeyNotFound
from chargehand.service.access import RETIRED_MARK, Access
from chargehand.service.audit_records import record as record_done
from chargehand.service.pages import Page, check_limit, page_of
from chargehand.store import access, tenants
from chargehand.store.bus import KEYS
from chargehand.store.database import Tx, retried

MAX_LIVE_KEYS = 1_000
"""How many a tenant may have that open something."""
MAX_AGENTS = 100
KEPT_FOR = timedelta(hours=24)
"""How long a key that was replaced still opens what it did, unless the call says otherwise."""
MOST_KEPT_FOR = timedelta(days=90)
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
_MAX_NAME = 128


class Keys:
    """The use cases of those who see to keys."""

    def __init__(self, who_comes_in: Access) -> None:
        self._access = who_comes_in
        self._db = who_comes_in.db
        self._clock = who_comes_in.clock
        self._bus = who_comes_in.bus

    @retried
    async def issue(
        self,
        who: Principal,
        name: str,
        scopes: frozenset[Scope],
        expires_at: datetime | None = None,
        *,
        roles: Collection[str] = (),
        agents: Collection[str] | None = None,
    ) -> tuple[str, KeyRecord]:
        """Make a key in the caller's tenant. What is not said of agents and end is as of the caller's own key.

        Forbidden: it could do more than the caller's. InvalidInput. Conflict: the name is taken, or too many are live.
        """
        who.require(Scope.KEYS_WRITE)
        if not _NAME.fullmatch(name):
            raise InvalidInput("a key's name is 1 to 128 characters, none of them a control character")
        if RETIRED_MARK in name:
            # Else a small key could take the name that another one is to get when it is replaced.
            raise InvalidInput(f"a key's name has no {RETIRED_MARK!r}: that marks keys that were replaced")
        narrowed = who.agents if agents is None else frozenset(agents)
        _check_agents(narrowed, scopes)
        _require_covered(who, scopes, narrowed, "a key can make only keys that do no more than itself")
        ends_at = self._end(who, expires_at)
        key, record = self._access.new_record(
            who.tenant,
            name,
            scopes,
            created_by=who.id,
            expires_at=ends_at,
            roles=roles,
            agents=narrowed,
        )
        async with self._db.write(who.tenant) as tx:
            await tenants.hold_count(tx, who.tenant)
            if await access.find_by_name(tx, who.tenant, name) is not None:
                raise Conflict(f"there is a key named {name!r} already, live or revoked; use another name")
            if await access.count_live(tx, who.tenant) >= MAX_LIVE_KEYS:
                raise Conflict(f"there are {MAX_LIVE_KEYS} live keys, as many as there may be; revoke one")
            await access.insert_key(tx, record)
            await record_done(tx, who, Action.KEY_ISSUED, record.id, record.for_audit())
        return key, record

    async def get(self, who: Principal, key_id: str) -> KeyRecord:
        """One key. KeyNotFound for another tenant's, and for one that is not narrowed to the caller's agents."""
        who.require(Scope.KEYS_READ)
        async with self._db.read(who.tenant) as tx:
            return _visible(await access.get(tx, who.tenant, key_id), who, key_id)

    async def page(
        self, who: Principal, *, name: str | None = None, after: str | None = None, limit: int = 50
    ) -> Page[KeyRecord, str]:
        """The tenant's keys by name, also those that have ended."""
        who.require(Scope.KEYS_READ)
        check_limit(limit)
        async with self._db.read(who.tenant) as tx:
            found = await access.page(tx, who.tenant, name=name, after=after, limit=limit + 1)
        page = page_of(found, limit, lambda one: one.name)
        return replace(page, items=[one for one in page.items if who.covers((), one.agents)])

    async def list(self, who: Principal) -> list[KeyRecord]:
        """All keys of the caller's tenant, the oldest first."""
        who.require(Scope.KEYS_READ)
        async with self._db.read(who.tenant) as tx:
            found = await access.of_tenant(tx, who.tenant)
        return [one for one in found if who.covers((), one.agents)]

    @retried
    async def revoke(self, who: Principal, key_id: str) -> KeyRecord:
        """End a key: at once in this process and where signals come, else within CACHE_SECONDS."""
        who.require(Scope.KEYS_WRITE)
        async with self._db.write(who.tenant) as tx:
            record = _visible(await access.hold(tx, who.tenant, key_id), who, key_id)
            _require_covered(
                who, record.scopes, record.agents, "a key ends only keys that do no more than itself"
            )
            await access.revoke(tx, who.tenant, key_id)
            self._tell(tx, key_id)
            await record_done(tx, who, Action.KEY_REVOKED, key_id, {"name": record.name})
            return _visible(await access.get(tx, who.tenant, key_id), who, key_id)

    @retried
    async def rotate(
        self,
        who: Principal,
        key_id: str,
        *,
        kept_for: timedelta = KEPT_FOR,
        expires_at: datetime | None = None,
    ) -> tuple[str, KeyRecord, KeyRecord]:
        """Replace a key: the new one, its record, and the old one's, which ends after `kept_for`.

        The new one has the old one's name and rights, and lasts as long as it did unless `expires_at` is given. Of a
        key and those that it has replaced two are live at most: what the old one had replaced ends now.
        """
        who.require(Scope.KEYS_WRITE)
        if not timedelta(0) <= kept_for <= MOST_KEPT_FOR:
            raise InvalidInput(f"the old key can be kept for 0 s to {MOST_KEPT_FOR.days} days")
        async with self._db.write(who.tenant) as tx:
            old = _visible(await access.hold(tx, who.tenant, key_id), who, key_id)
            _require_covered(
                who, old.scopes, old.agents, "a key replaces only keys that do no more than itself"
            )
            if old.ended_at(tx.now) is not None:
                raise Conflict(f"the key {old.name!r} has ended; make a new one")
            if (next_one := await access.successor(tx, who.tenant, key_id)) is not None:
                raise Conflict(f"the key {key_id} was replaced by {next_one.id} already; replace that one")
            if expires_at is None and old.expires_at is not None:
                expires_at = self._clock.now() + (old.expires_at - old.created_at)
                if who.expires_at is not None:
                    expires_at = min(expires_at, who.expires_at)
            key, record = self._access.new_record(
                who.tenant,
                old.name,
                old.scopes,
                created_by=who.id,
                expires_at=self._end(who, expires_at),
                roles=old.roles,
                agents=old.agents,
                replaces=old.id,
            )
            ends_at = min(one for one in (tx.now + kept_for, old.expires_at) if one is not None)
            name = old.name[: _MAX_NAME - 1 - len(old.id)] + RETIRED_MARK + old.id
            await access.retire(tx, who.tenant, old.id, name=name, expires_at=ends_at)
            if old.replaces is not None:
                await access.revoke(tx, who.tenant, old.replaces)
            await access.insert_key(tx, record)
            self._tell(tx, key_id)
            details: JsonObject = {**record.for_audit(), "by": record.id}
            await record_done(tx, who, Action.KEY_ROTATED, old.id, details)
            return key, record, _visible(await access.get(tx, who.tenant, old.id), who, old.id)

    def _end(self, who: Principal, wanted: datetime | None) -> datetime | None:
        """When a new key ends; no later than the key that makes it."""
        if wanted is None:
            return who.expires_at
        if wanted.tzinfo is None:
            raise InvalidInput("expires_at has no offset from UTC; end it with Z or with one such as +02:00")
        if wanted <= self._clock.now():
            raise InvalidInput("expires_at is in the past; give a later time, or none")
        if who.expires_at is not None and wanted > who.expires_at:
            ends = who.expires_at.isoformat(timespec="seconds")
            raise Forbidden(f"this key ends at {ends}, and no key that it makes lasts longer")
        return wanted

    def _tell(self, tx: Tx, key_id: str) -> None:
        tx.after_commit(lambda: self._bus.publish(KEYS, key_id))


def _check_agents(agents: frozenset[str] | None, scopes: frozenset[Scope]) -> None:
    if agents is None:
        return
    if not 1 <= len(agents) <= MAX_AGENTS:
        raise InvalidInput(f"a key is narrowed to 1 to {MAX_AGENTS} agents; leave `agents` out for all")
    if bad := [one for one in sorted(agents) if not AGENT_ID.fullmatch(one)]:
        raise InvalidInput(f"{bad[0][:128]!r} cannot be an agent's id")
    if beyond := sorted(one.value for one in scopes - OF_AGENTS):
        raise InvalidInput(
            f"a key that is narrowed to agents cannot have {', '.join(beyond)}: that is about the whole tenant"
        )


def _require_covered(
    who: Principal, scopes: frozenset[Scope], agents: frozenset[str] | None, why: str
) -> None:
    if who.covers(scopes, agents):
        return
    beyond = sorted(one.value for one in scopes if not who.has(one))
    what = (
        f"has not {', '.join(beyond)}" if beyond else f"is narrowed to {', '.join(sorted(who.agents or ()))}"
    )
    raise Forbidden(f"{why}, and this one {what}")


def _visible(record: KeyRecord | None, who: Principal, key_id: str) -> KeyRecord:
    if record is None or not who.covers((), record.agents):
        raise KeyNotFound(f"there is no key {key_id[:16]!r}")
    return record
