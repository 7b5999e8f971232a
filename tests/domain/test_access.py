"""A scope is had or it is not; `admin` stands for all but what concerns every tenant."""

from dataclasses import replace

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


@pytest.mark.parametrize(
    ("agents", "seen"),
    [(None, {"a", "b"}), (frozenset({"a"}), {"a"}), (frozenset[str](), set[str]())],
)
def test_a_key_that_is_narrowed_sees_its_agents_alone(agents: frozenset[str] | None, seen: set[str]) -> None:
    who = replace(holder(), agents=agents)

    assert {one for one in ("a", "b") if who.sees(one)} == seen


READ, WRITE = Scope.TASKS_READ, Scope.TASKS_WRITE
A, AB = frozenset({"a"}), frozenset({"a", "b"})


@pytest.mark.parametrize(
    ("scopes", "agents", "is_covered"),
    [
        ([READ], A, True),
        ([READ], AB, True),
        ([], A, True),
        ([READ, WRITE], AB, False),
        ([READ], AB | {"c"}, False),
        ([READ], frozenset({"c"}), False),
        ([READ], None, False),
        ([WRITE], None, False),
    ],
)
def test_a_key_covers_no_more_than_it_has(
    scopes: list[Scope], agents: frozenset[str] | None, is_covered: bool
) -> None:
    assert replace(holder(READ), agents=AB).covers(scopes, agents) is is_covered


def test_a_key_that_is_not_narrowed_covers_every_agent() -> None:
    assert holder(READ).covers([READ], None)
    assert holder(READ).covers([READ], A)
    assert not holder(READ).covers([WRITE], A)
