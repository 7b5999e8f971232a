"""The rights that go with a task: what its submitter could do, so that what is done for it can do no more.

Rule: a delegated task has its parent's rights, never more, and each delegation is held against them. Who is narrowed to
an agent may have it do its work, with those whom its own definition names; but the word of a definition outside of the
key leads no further. Besides, a definition is only taken from somebody who could have it done (service/agents.py).
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


def delegation_refusal(rights: JsonObject | None, *, by: str, to: str) -> str | None:
    """Why a task of the agent `by`, with these rights, hands nothing to `to`; None: it may."""
    if rights is None:
        return None
    holder = holder_of(rights, id="", tenant="")
    if not holder.has(Scope.TASKS_WRITE):
        return f"who submitted this work may submit no tasks; handing work to {to!r} takes {Scope.TASKS_WRITE.value}"
    if holder.sees(to) or holder.sees(by):
        return None
    own = ", ".join(sorted(holder.agents or ()))
    return (
        f"handing work to {to!r} takes {Scope.TASKS_WRITE.value} for {to!r} or for {by!r}, and who submitted this work"
        f" has it for {own} only"
    )


def _texts(value: JsonValue) -> Iterable[str]:
    return (one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
