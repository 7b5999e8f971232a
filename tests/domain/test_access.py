"""A scope is had or it is not; `admin` stands for all but what concerns every tenant."""

import pytest

from chargehand.domain.access import Principal, Scope
from chargehand.errors import Forbidden


def holder(*scopes: Scope) -> Principal:
    return Principal(id="x", tenant="t", scopes=frozenset(scopes))


@pytest.mark.parametrize("scope", Scope)
def test_a_key_has_what_it_names_and_nothing_else(scope: Scope) -> None:
    who = holder(scope)

    who.require(scope)
    for other in set(Scope) - {scope}:
        assert who.has(other) is (scope is Scope.ADMIN and other is not Scope.ADMIN_SERVICE)


@pytest.mark.parametrize("scope", Scope)
def test_a_key_without_the_scope_is_forbidden_by_its_name(scope: Scope) -> None:
    with pytest.raises(Forbidden, match=f"lacks the scope '{scope.value}'"):
        holder().require(scope)


@pytest.mark.parametrize("scope", [one for one in Scope if one is not Scope.ADMIN_SERVICE])
def test_admin_stands_for_each(scope: Scope) -> None:
    holder(Scope.ADMIN).require(scope)


def test_admin_does_not_stand_for_the_whole_service() -> None:
    with pytest.raises(Forbidden, match="admin:service"):
        holder(Scope.ADMIN).require(Scope.ADMIN_SERVICE)
    holder(Scope.ADMIN_SERVICE).require(Scope.ADMIN_SERVICE)
