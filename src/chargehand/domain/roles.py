"""Roles: named sets of scopes, for the usual kinds of keys; and the short forms that stand for several scopes.

Rule: names are resolved when a key is made. A later version that gives a role more gives nothing to keys that exist.
"""

from collections.abc import Iterable, Mapping

from chargehand.domain.access import Scope
from chargehand.errors import InvalidInput

_VIEWER = frozenset({Scope.TASKS_READ, Scope.AGENTS_READ})
_CLIENT = _VIEWER | {Scope.TASKS_WRITE, Scope.TASKS_CANCEL}

ROLES: Mapping[str, frozenset[Scope]] = {
    "viewer": _VIEWER,
    "client": _CLIENT,
    "approver": _VIEWER | {Scope.APPROVALS_DECIDE},
    "developer": _CLIENT
    | {
        *(Scope.AGENTS_WRITE, Scope.WEBHOOKS_READ, Scope.WEBHOOKS_WRITE),
        *(Scope.SECRETS_READ, Scope.SECRETS_WRITE),
    },
    "operator": _CLIENT
    | {
        *(Scope.APPROVALS_DECIDE, Scope.WEBHOOKS_READ, Scope.SECRETS_READ, Scope.KEYS_READ),
        *(Scope.AUDIT_READ, Scope.METRICS_READ),
    },
    "admin": frozenset({Scope.ADMIN}),
}
"""`viewer` reads; `client` is an application that has work done; `approver` decides what waits for a person;
`developer` makes agents too, with what they need; `operator` runs the tenant from day to day; `admin` is all of it."""

WILDCARD = ":*"


def scopes_named(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes that these names stand for: a scope itself, or such as `tasks:*`. InvalidInput for another name."""
    found: set[Scope] = set()
    for name in names:
        area = name.removesuffix(WILDCARD)
        meant = {
            one
            for one in Scope
            if one.value == name or (area != name and one.value.partition(":")[0] == area)
        }
        if not meant:
            raise InvalidInput(f"there is no scope {name[:64]!r}; there are: {', '.join(Scope)}")
        found |= meant
    return frozenset(found)


def scopes_of_roles(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes of these roles. InvalidInput for a name that is none."""
    found: frozenset[Scope] = frozenset()
    for name in names:
        if name not in ROLES:
            raise InvalidInput(f"there is no role {name[:64]!r}; there are: {', '.join(ROLES)}")
        found |= ROLES[name]
    return found
