"""What the service's operator can do with tenants: make, read, rename, suspend and resume them.

Rule: a suspended tenant's keys are refused and nothing of it begins; what is stored goes on when it is resumed.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.domain.audit import Action
from chargehand.domain.key import KeyRecord
from chargehand.domain.tenant import DISPLAY_NAME, MAX_DISPLAY_NAME, TENANT_ID, TENANT_ID_FORM, Tenant
from chargehand.domain.values import JsonObject
from chargehand.errors import Conflict, InvalidInput, TenantNotFound
from chargehand.service.access import ADMIN_KEY_NAME, Access
from chargehand.service.audit_records import actor_of, append
from chargehand.service.audit_records import record as record_done
from chargehand.service.endings import Hints
from chargehand.service.pages import Page, check_limit, page_of
from chargehand.store import access, tenants
from chargehand.store.bus import KEYS
from chargehand.store.database import retried


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A tenant that was made, and its first key, which is told this once."""

    tenant: Tenant
    key: str | None
    record: KeyRecord | None


async def no_equipment(tenant: str) -> None:
    """For a service that ships no agents."""
    del tenant


class Tenants:
    """The use cases of who runs the service for others."""

    def __init__(
        self, who_comes_in: Access, hints: Hints, equip: Callable[[str], Awaitable[None]] = no_equipment
    ) -> None:
        """`equip`: gives a new tenant the agents that ship. A start does so too, where a kill came in between."""
        self._access = who_comes_in
        self._db = who_comes_in.db
        self._bus = who_comes_in.bus
        self._hints = hints
        self._equip = equip

    async def create(
        self, who: Principal, tenant_id: str, display_name: str | None = None, *, with_key: bool = True
    ) -> NewTenant:
        """A new tenant with the agents that ship and, if wanted, an administrator's key of its own."""
        who.require(Scope.ADMIN_SERVICE)
        if not TENANT_ID.fullmatch(tenant_id):
            raise InvalidInput(f"a tenant's id is {TENANT_ID_FORM}")
        name = _checked_name(tenant_id if display_name is None else display_name)
        made = await self._store(who, tenant_id, name, with_key=with_key)
        await self._equip(tenant_id)
        return made

    @retried
    async def _store(self, who: Principal, tenant_id: str, name: str, *, with_key: bool) -> NewTenant:
        key, record = None, None
        async with self._db.write() as tx:
            if await tenants.get(tx, tenant_id) is not None:
                raise Conflict(f"there is a tenant {tenant_id!r} already")
            tenant = Tenant(
                id=tenant_id, display_name=name, created_by=who.id, created_at=tx.now, suspended_at=None
            )
            await tenants.add(tx, tenant)
            details: JsonObject = {"with_key": with_key}
            if with_key:
                key, record = self._access.new_record(
                    tenant_id, ADMIN_KEY_NAME, frozenset({Scope.ADMIN}), created_by=who.id
                )
                await access.insert_key(tx, record)
                details["key"] = record.id
                told = record.for_audit()
                await append(tx, tenant_id, actor_of(who), Action.KEY_ISSUED, record.id, details=told)
            await record_done(tx, who, Action.TENANT_CREATED, tenant_id, details)
        return NewTenant(tenant, key, record)

    async def get(self, who: Principal, tenant_id: str) -> Tenant:
        """One tenant."""
        who.require(Scope.ADMIN_SERVICE)
        async with self._db.read() as tx:
            return _found(await tenants.get(tx, tenant_id), tenant_id)

    async def page(self, who: Principal, *, after: str | None = None, limit: int = 50) -> Page[Tenant, str]:
        """All tenants, by id."""
        who.require(Scope.ADMIN_SERVICE)
        check_limit(limit)
        async with self._db.read() as tx:
            found = await tenants.page(tx, after=after, limit=limit + 1)
        return page_of(found, limit, lambda one: one.id)

    @retried
    async def change(
        self,
        who: Principal,
        tenant_id: str,
        *,
        display_name: str | None = None,
        is_suspended: bool | None = None,
    ) -> Tenant:
        """Give a tenant another name, suspend it or resume it; None leaves things as they are."""
        who.require(Scope.ADMIN_SERVICE)
        values: dict[str, Any] = {}
        if display_name is not None:
            values["display_name"] = _checked_name(display_name)
        if is_suspended and tenant_id == DEFAULT_TENANT:
            raise Conflict(f"{DEFAULT_TENANT!r} is the operator's own tenant; it cannot be suspended")
        async with self._db.write() as tx:
            held = _found(await tenants.hold(tx, tenant_id), tenant_id)
            if is_suspended is not None and is_suspended != (held.suspended_at is not None):
                values["suspended_at"] = tx.now if is_suspended else None
                tx.after_commit(lambda: self._bus.publish(KEYS, tenant_id))
                # What waited meanwhile is due now.
                self._hints.ready(tx, due=tx.now)
            if values:
                await tenants.change(tx, tenant_id, values)
                await record_done(tx, who, Action.TENANT_CHANGED, tenant_id, _told(values))
            return _found(await tenants.get(tx, tenant_id), tenant_id)


def _told(values: Mapping[str, object]) -> JsonObject:
    """What the audit says of a change."""
    told: JsonObject = {}
    if "display_name" in values:
        told["display_name"] = str(values["display_name"])
    if "suspended_at" in values:
        told["is_suspended"] = values["suspended_at"] is not None
    return told


def _checked_name(text: str) -> str:
    if not DISPLAY_NAME.fullmatch(text) or not text.strip():
        raise InvalidInput(
            f"a tenant's name is 1 to {MAX_DISPLAY_NAME} characters, none of them a control character"
        )
    return text


def _found(tenant: Tenant | None, tenant_id: str) -> Tenant:
    if tenant is None:
        raise TenantNotFound(f"there is no tenant {tenant_id[:64]!r}")
    return tenant
