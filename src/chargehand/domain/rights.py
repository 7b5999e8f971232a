"""The rights that go with a task: what its submitter could do, so that what is done for it can do no more.

Rule: a delegated task has its parent's rights, never more. What an agent may do besides is its definition's word: whom
it delegates to, with which tools; and that word is only taken from somebody who could have it done (service/agents.py).
"""

from collections.abc import Iterable

from chargehand.domain.access import Principal, Scope, known_scopes
from chargehand.domain.values import JsonObject, JsonValue


def rights_of(who: Principal) -> JsonObject | None:
    """What is stored of a submitter's rights; None for an administrator who is not narrowed."""
    if Scope.ADMIN in who.scopes and who.agents is None:
        return None
    scopes: list[JsonValue] = [*sorted(who.scopes)]
    agents: list[JsonValue] | None = None if who.agents is None else [*sorted(who.agents)]
    return {"scopes": scopes, "agents": agents}


def holder_of(rights: JsonObject | None, *, id: str, tenant: str) -> Principal:
    """Who acts with rights that were stored."""
    if rights is None:
        return Principal(id=id, tenant=tenant, scopes=frozenset({Scope.ADMIN}))
    agents = rights.get("agents")
    return Principal(
        id=id,
        tenant=tenant,
        scopes=known_scopes(_texts(rights.get("scopes"))),
        agents=None if agents is None else frozenset(_texts(agents)),
    )


def _texts(value: JsonValue) -> Iterable[str]:
    return (one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
