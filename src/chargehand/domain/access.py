"""Who asks, and what they may do."""

from dataclasses import dataclass
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
    METRICS_READ = "metrics:read"
    """The numbers of the whole service, over all tenants; they name nobody."""
    ADMIN = "admin"
    """Everything, in the key's own tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The holder of a verified key. The tenant comes from the key, never from a request."""

    id: str
    tenant: str
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Forbidden unless the key carries the scope (or `admin`)."""
        if scope not in self.scopes and Scope.ADMIN not in self.scopes:
            raise Forbidden(f"this key lacks the scope {scope.value!r}; use a key that has it")


LOCAL_OPERATOR = Principal(id="local", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.ADMIN}))
"""Who the command line is when it runs the service inside its own process: the owner of the data folder."""
