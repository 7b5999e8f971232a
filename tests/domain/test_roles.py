"""Roles and the short forms of scopes."""

import pytest

from chargehand.domain.access import Principal, Scope
from chargehand.domain.roles import ROLES, scopes_named, scopes_of_roles
from chargehand.errors import InvalidInput


def test_a_wildcard_stands_for_all_scopes_of_its_area() -> None:
    assert scopes_named(["tasks:*"]) == {Scope.TASKS_READ, Scope.TASKS_WRITE, Scope.TASKS_CANCEL}
    assert scopes_named(["webhooks:*", "audit:read"]) == {
        *(Scope.WEBHOOKS_READ, Scope.WEBHOOKS_WRITE, Scope.AUDIT_READ)
    }
    assert scopes_named(["admin:*"]) == {Scope.ADMIN, Scope.ADMIN_SERVICE}


@pytest.mark.parametrize(
    "name", ["", "*", ":*", "tasks", "tasks:", "tasks:delete", "TASKS:READ", "tasks:*:*"]
)
def test_a_name_that_is_no_scope_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(InvalidInput, match="there are: tasks:read, "):
        scopes_named([name])


def test_a_name_that_is_no_role_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidInput, match="there are: viewer, client, "):
        scopes_of_roles(["viewer", "root"])


def test_no_role_but_the_administrators_is_beyond_the_administrator_of_a_tenant() -> None:
    admin = Principal(id="a", tenant="t", scopes=ROLES["admin"])

    assert all(admin.covers(scopes, None) for scopes in ROLES.values())
    assert not any(Scope.ADMIN in scopes for name, scopes in ROLES.items() if name != "admin")
    assert not any(Scope.ADMIN_SERVICE in scopes for scopes in ROLES.values())


def test_only_who_is_not_narrowed_covers_who_is_not() -> None:
    wide = Principal(id="w", tenant="t", scopes=frozenset({Scope.ADMIN}))
    narrow = Principal(id="n", tenant="t", scopes=frozenset({Scope.TASKS_READ}), agents=frozenset({"a", "b"}))

    assert wide.covers({Scope.TASKS_READ}, None)
    assert narrow.covers({Scope.TASKS_READ}, frozenset({"a"}))
    assert not narrow.covers({Scope.TASKS_READ}, None)
    assert not narrow.covers({Scope.TASKS_READ}, frozenset({"a", "c"}))
    assert not narrow.covers({Scope.TASKS_WRITE}, frozenset({"a"}))
