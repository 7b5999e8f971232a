"""What is kept of an API key: never the key itself."""

from dataclasses import dataclass, field
from datetime import datetime

from chargehand.domain.access import Scope
from chargehand.domain.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is kept of a key."""

    id: str
    tenant: str
    name: str
    key_hash: bytes = field(repr=False)
    last_four: str
    scopes: frozenset[Scope]
    roles: tuple[str, ...] = ()
    agents: frozenset[str] | None = None
    replaces: str | None = None
    """The key whose place it has taken."""
    created_by: str | None = None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To within a minute."""

    def ended_at(self, now: datetime) -> datetime | None:
        """Since when it opens nothing any more; None: it is live."""
        ends = [one for one in (self.revoked_at, self.expires_at) if one is not None and one <= now]
        return min(ends, default=None)

    def for_audit(self) -> JsonObject:
        """What the audit says of a new key."""
        return {
            "name": self.name,
            "scopes": [*sorted(scope.value for scope in self.scopes)],
            "agents": None if self.agents is None else [*sorted(self.agents)],
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
        }
