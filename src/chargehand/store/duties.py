"""Rows that say which process sees to a duty, and until when."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from chargehand.store.database import Tx
from chargehand.store.tables import Duty


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Who holds a duty; after `lease_until` anybody may take it."""

    holder: str
    lease_until: datetime


async def get(tx: Tx, name: str, *, held: bool = False) -> Held | None:
    """Who has the duty; None: nobody ever had it. `held`: no other transaction changes it before this one ends."""
    statement = select(Duty.holder, Duty.lease_until).where(Duty.name == name)
    row = (await tx.connection.execute(statement.with_for_update() if held else statement)).first()
    return Held(holder=row[0], lease_until=row[1]) if row is not None else None


async def put(tx: Tx, name: str, now_held: Held, *, seen: Held | None) -> None:
    """Write who has it; the caller holds the row, or saw that there is none."""
    if seen is None:
        row = {"name": name, "holder": now_held.holder, "lease_until": now_held.lease_until}
        await tx.connection.execute(insert(Duty), [row])
        return
    await tx.connection.execute(
        update(Duty)
        .where(Duty.name == name, Duty.holder == seen.holder)
        .values(holder=now_held.holder, lease_until=now_held.lease_until)
    )


async def give_up(tx: Tx, holder: str) -> None:
    """All that this process holds may be taken at once."""
    await tx.connection.execute(update(Duty).where(Duty.holder == holder).values(lease_until=tx.now))
