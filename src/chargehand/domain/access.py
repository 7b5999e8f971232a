"""Who asks, and what they may do."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chargehand.errors import Forbidden

DEFAULT_TENANT = "default"


class Scope(StrEnum):
    """What a key may be allowed to do. Deny is the default."""

    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    TASKS_CANCEL = "tasks:cancel"
    APPROVALS_DECIDE = "approvals:decide"
    """Approve or deny the calls that wait for a person."""
    AGENTS_READ = "agents:read"
    AGENTS_WRITE = "agents:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    SECRETS_READ = "secrets:read"
    """The names of secrets; nothing ever tells their values."""
    SECRETS_WRITE = "secrets:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    """Make and revoke keys that can do no more than this one."""
    AUDIT_READ = "audit:read"
    METRICS_READ = "metrics:read"
    """The numbers of the whole service, over all tenants; they name nobody."""
    ADMIN = "admin"
    """Everything, in the key's own tenant."""
    ADMIN_SERVICE = "admin:service"
    """What concerns all tenants: which there are, their limits, master keys, MCP servers, what lies unused in storage.

    `admin` does not include it.
    """


_BY_NAME = {scope.value: scope for scope in Scope}


def known_scopes(names: Iterable[object]) -> frozenset[Scope]:
    """The scopes of stored names. One that only a newer version knows, at work on the same rows, opens nothing here."""
    return frozenset(_BY_NAME[name] for name in names if isinstance(name, str) and name in _BY_NAME)


OF_AGENTS = frozenset(
    {
        *(Scope.TASKS_READ, Scope.TASKS_WRITE, Scope.TASKS_CANCEL, Scope.APPROVALS_DECIDE),
        *(Scope.AGENTS_READ, Scope.AGENTS_WRITE, Scope.KEYS_READ, Scope.KEYS_WRITE),
    }
)
"""What can be narrowed to some agents; every other scope is about the whole tenant, or about all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The holder of a verified key. The tenant comes from the key, never from a request."""

    id: str
    tenant: str
    scopes: frozenset[Scope]
    agents: frozenset[str] | None = None
    """Narrowed to trees of tasks whose root is one of these agents'; None: not narrowed."""
    roles: tuple[str, ...] = ()
    """The names of the sets that some of the scopes came from; nothing is decided by them."""
    expires_at: datetime | None = None

    def has(self, scope: Scope) -> bool:
        """Whether the key carries the scope; `admin` stands for all but `admin:service`."""
        return scope in self.scopes or (scope is not Scope.ADMIN_SERVICE and Scope.ADMIN in self.scopes)

    def require(self, scope: Scope) -> None:
        """Forbidden unless the key carries the scope (or `admin`)."""
        if not self.has(scope):
            raise Forbidden(f"this key lacks the scope {scope.value!r}; use a key that has it")

    def sees(self, agent_id: str) -> bool:
        """Whether the key is for this agent."""
        return self.agents is None or agent_id in self.agents

    def covers(self, scopes: Iterable[Scope], agents: frozenset[str] | None) -> bool:
        """Whether who may do this, with these agents, may do no more than this key."""
        is_within = self.agents is None or (agents is not None and agents <= self.agents)
        return is_within and all(map(self.has, scopes))


LOCAL_OPERATOR = Principal(
    id="local", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.ADMIN, Scope.ADMIN_SERVICE})
)
"""Who the command line is when it runs the service inside its own process: the owner of the data folder."""
