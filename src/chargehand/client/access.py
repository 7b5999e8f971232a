"""Keys and tenants as the SDK's calls, and the part of the client that sends them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

import httpx2

from chargehand.client.answers import answer_of
from chargehand.client.calls import Call, fields_of, path_of, query_of, sending
from chargehand.wire.access import (
    KeyBody,
    KeyMade,
    KeyPage,
    KeyRotated,
    TenantBody,
    TenantMade,
    TenantPage,
)


class AccessCalls(ABC):
    """What the client can do with keys and tenants."""

    @abstractmethod
    async def send(self, call: Call) -> httpx2.Response:
        """Send a call."""

    async def keys(self, *, name: str | None = None, cursor: str | None = None, limit: int = 50) -> KeyPage:
        """A page of the tenant's keys, by name."""
        query = query_of({"name": name, "cursor": cursor, "limit": limit})
        return answer_of(KeyPage, await self.send(Call(method="GET", path="/keys", query=query)))

    async def key(self, key_id: str) -> KeyBody:
        """One key."""
        return answer_of(KeyBody, await self.send(Call(method="GET", path=path_of("keys", key_id))))

    async def create_key(
        self,
        name: str,
        *,
        scopes: Sequence[str] = (),
        roles: Sequence[str] = (),
        agents: Sequence[str] | None = None,
        expires_at: datetime | None = None,
    ) -> KeyMade:
        """Make a key. A lost answer is not asked for again: nobody would know the key that was made."""
        body = {
            "name": name,
            "scopes": list(scopes),
            "roles": list(roles),
            "agents": None if agents is None else list(agents),
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        }
        return answer_of(KeyMade, await self.send(sending("POST", "/keys", body)))

    async def rotate_key(
        self, key_id: str, *, keep_seconds: int | None = None, expires_at: datetime | None = None
    ) -> KeyRotated:
        """Replace a key."""
        given = {
            "keep_seconds": keep_seconds,
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        }
        call = sending("POST", path_of("keys", key_id, "rotate"), fields_of(given))
        return answer_of(KeyRotated, await self.send(call))

    async def revoke_key(self, key_id: str) -> KeyBody:
        """End a key; sent twice it does the same as once."""
        return answer_of(KeyBody, await self.send(Call(method="DELETE", path=path_of("keys", key_id))))

    async def tenants(self, *, cursor: str | None = None, limit: int = 50) -> TenantPage:
        """A page of all tenants, by id."""
        query = query_of({"cursor": cursor, "limit": limit})
        return answer_of(TenantPage, await self.send(Call(method="GET", path="/tenants", query=query)))

    async def tenant(self, tenant_id: str) -> TenantBody:
        """One tenant."""
        return answer_of(TenantBody, await self.send(Call(method="GET", path=path_of("tenants", tenant_id))))

    async def create_tenant(
        self, tenant_id: str, *, display_name: str | None = None, with_key: bool = True
    ) -> TenantMade:
        """Make a tenant."""
        body = {"id": tenant_id, "display_name": display_name, "with_key": with_key}
        return answer_of(TenantMade, await self.send(sending("POST", "/tenants", body)))

    async def change_tenant(
        self, tenant_id: str, *, display_name: str | None = None, is_suspended: bool | None = None
    ) -> TenantBody:
        """Rename, suspend or resume a tenant; sent twice it does the same as once."""
        body = fields_of({"display_name": display_name, "is_suspended": is_suspended})
        call = sending("PATCH", path_of("tenants", tenant_id), body, repeatable=True)
        return answer_of(TenantBody, await self.send(call))
