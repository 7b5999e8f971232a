"""Appending to the audit.

    async with self._db.write(who.tenant) as tx:
        …
        await record(tx, who, Action.SECRET_DELETED, name)

Rule: an entry is written in the transaction of what it tells, as its last statement (until the commit nobody else can
append for that tenant): what is in the audit happened, and what happened is in the audit.
"""

from dataclasses import dataclass

from chargehand.domain.access import LOCAL_OPERATOR, Principal
from chargehand.domain.audit import BEFORE_THE_FIRST, EMPTY, Action, AuditEntry, Result
from chargehand.domain.known_secrets import taken_out_of
from chargehand.domain.values import JsonObject, plain_text
from chargehand.service.origin import Origin, origin
from chargehand.store import audit
from chargehand.store.database import Tx

LONGEST_ID = 255


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, as an entry names them."""

    id: str
    kind: str
    """`key`, `token`, `local` (the owner of the data folder), `service` (by itself), `anonymous`."""


def actor_of(who: Principal) -> Actor:
    """The holder of a key or of an issuer's token, or the machine's operator."""
    if who.id == LOCAL_OPERATOR.id:
        return Actor(who.id, "local")
    return Actor(who.id, "token" if ":" in who.id else "key")


async def record(
    tx: Tx, who: Principal, action: Action, object_id: str, details: JsonObject | None = None
) -> None:
    """Append what this principal does in this transaction."""
    await append(tx, who.tenant, actor_of(who), action, object_id, details=details)


async def append(
    tx: Tx,
    tenant: str,
    actor: Actor,
    action: Action,
    object_id: str,
    *,
    details: JsonObject | None = None,
    result: Result = Result.DONE,
    came_from: Origin | None = None,
) -> None:
    """Append an entry to a tenant's chain."""
    came = came_from or origin()
    held = await audit.hold_head(tx, tenant)
    last = held or EMPTY
    entry = AuditEntry(
        tenant=tenant,
        number=last.number + 1,
        at=tx.now,
        actor_id=actor.id[:LONGEST_ID],
        actor_kind=actor.kind,
        action=action.value,
        object_kind=action.object_kind,
        object_id=plain_text(object_id)[:LONGEST_ID],
        address=came.address[:64],
        request_id=came.request_id,
        result=result.value,
        details=taken_out_of(details or {}, tenant),
        previous_hash=last.hash,
        hash=BEFORE_THE_FIRST,
    )
    await audit.append(tx, entry.sealed(), is_first=held is None)
