"""What can be done with secrets: name them, give them a value, delete them. Nothing ever tells a value again.

Rule: values are opened where a call needs them, by the service itself, and only for the tenant whose call it is.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from chargehand.domain.access import Principal, Scope
from chargehand.domain.audit import Action
from chargehand.domain.known_secrets import know
from chargehand.domain.secret import Secret, check_name, check_value, is_name
from chargehand.errors import Conflict, SecretNotFound
from chargehand.service.audit_records import record
from chargehand.service.vault import Vault
from chargehand.store import secrets, tenants
from chargehand.store.database import Database, Tx, retried

KIND = "secret"
MOST = 1_000
"""How many a tenant may have."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The use cases."""

    db: Database
    vault: Vault

    async def all(self, who: Principal) -> list[Secret]:
        """The tenant's secrets by name, without their values."""
        who.require(Scope.SECRETS_READ)
        async with self.db.read(who.tenant) as tx:
            return await secrets.of_tenant(tx, who.tenant)

    @retried
    async def put(self, who: Principal, name: str, value: str) -> tuple[Secret, bool]:
        """Give a secret a value; also whether it is a new one. InvalidInput, Conflict, MasterKeyMissing."""
        who.require(Scope.SECRETS_WRITE)
        check_name(name)
        content = check_value(value)
        know([value], who.tenant)
        async with self.db.write(who.tenant) as tx:
            held = await secrets.hold(tx, who.tenant, name)
            stored = await self._first(tx, who, name) if held is None else _next(tx, who, held)
            sealed = await self.vault.seal(tx, who.tenant, KIND, name, content, version=stored.version)
            if held is None:
                await secrets.add(tx, who.tenant, stored, sealed)
            else:
                await secrets.replace(tx, who.tenant, stored, sealed)
            await record(tx, who, Action.SECRET_PUT, name, {"version": stored.version})
        return stored, held is None

    async def _first(self, tx: Tx, who: Principal, name: str) -> Secret:
        await tenants.hold_count(tx, who.tenant)
        if await secrets.count(tx, who.tenant) >= MOST:
            raise Conflict(f"there are {MOST:,} secrets, as many as there may be; delete one")
        return Secret(
            name=name, version=1, created_at=tx.now, created_by=who.id, updated_at=tx.now, updated_by=who.id
        )

    @retried
    async def delete(self, who: Principal, name: str) -> None:
        """Delete a secret: from now on nothing is given its value. SecretNotFound."""
        who.require(Scope.SECRETS_WRITE)
        async with self.db.write(who.tenant) as tx:
            if not is_name(name) or not await secrets.remove(tx, who.tenant, name):
                raise _not_found(name)
            await record(tx, who, Action.SECRET_DELETED, name)

    async def values(self, tenant: str, names: Collection[str]) -> dict[str, str]:
        """The values of those of these secrets that there are, as the service itself needs them for a call."""
        if not names:
            return {}
        async with self.db.glance(tenant) as tx:
            found = await secrets.sealed(tx, tenant, names)
            opened = {
                name: await self.vault.open(tx, tenant, KIND, name, sealed, version=version)
                for name, (version, sealed) in found.items()
            }
        values = {name: content.decode() for name, content in opened.items()}
        know(values.values(), tenant)
        return values


def _next(tx: Tx, who: Principal, held: Secret) -> Secret:
    return replace(held, version=held.version + 1, updated_at=tx.now, updated_by=who.id)


def _not_found(name: str) -> SecretNotFound:
    return SecretNotFound(f"there is no secret {name[:128]!r}; `chargehand secrets list` shows them")
