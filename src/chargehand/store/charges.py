"""The ledger of model calls, and the pools that it is taken from: a tree's, a task's own, a tenant's day.

Rule: what a root's row says is spent is the sum of its tree's charges: what is reserved, what was settled and
what was lost. Each change of a charge changes the pools in the same transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, select, update

from chargehand.domain.charge import ChargeStatus, Settlement
from chargehand.store.database import Tx
from chargehand.store.tables import AgentTask, TaskCharge, TenantDay


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A row of `task_charges`."""

    task_id: str
    path: str
    number: int
    root_id: str
    tenant: str
    agent_id: str
    model: str
    day: str
    status: str
    is_priced: bool
    reserved_usd_nanos: int
    reserved_tokens: int
    usd_nanos: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    created_at: datetime
    settled_at: datetime | None


# Built once, like those of store/tasks.py.
_COLUMNS = [getattr(TaskCharge, field.name) for field in fields(Charge)]
_OPEN = select(*_COLUMNS).where(
    TaskCharge.task_id.in_(bindparam("ids", expanding=True)), TaskCharge.status == ChargeStatus.RESERVED.value
)
_ANY_OPEN = (
    select(TaskCharge.number)
    .where(TaskCharge.root_id == bindparam("root"), TaskCharge.status == ChargeStatus.RESERVED.value)
    .limit(1)
)
_OPEN_AT = select(*_COLUMNS).where(
    TaskCharge.task_id == bindparam("id"),
    TaskCharge.path == bindparam("at"),
    TaskCharge.status == ChargeStatus.RESERVED.value,
)
_LAST = select(func.max(TaskCharge.number)).where(
    TaskCharge.task_id == bindparam("id"), TaskCharge.path == bindparam("at")
)
_INSERT = insert(TaskCharge)
_CLOSE = (
    update(TaskCharge)
    .where(
        TaskCharge.task_id == bindparam("seen_id"),
        TaskCharge.path == bindparam("seen_path"),
        TaskCharge.number == bindparam("seen_number"),
        TaskCharge.status == ChargeStatus.RESERVED.value,
    )
    .values(
        {
            name: bindparam(name)
            for name in (
                "status", "model", "is_priced", "usd_nanos", "input_tokens", "output_tokens",
                "cache_read_tokens", "cache_write_tokens", "settled_at",
            )
        }
    )
)  # fmt: skip
_ADD_TO_TASK = (
    update(AgentTask)
    .where(AgentTask.id == bindparam("seen_id"))
    .values(
        usd_nanos_spent=AgentTask.usd_nanos_spent + bindparam("usd"),
        tokens_spent=AgentTask.tokens_spent + bindparam("more"),
    )
)
_SEEN_DAY = select(TenantDay.usd_nanos, TenantDay.tokens).where(
    TenantDay.tenant == bindparam("whose"), TenantDay.day == bindparam("on")
)
_DAY = (
    select(TenantDay.usd_nanos, TenantDay.tokens)
    .where(TenantDay.tenant == bindparam("whose"), TenantDay.day == bindparam("on"))
    .with_for_update()
)
_ADD_TO_DAY = (
    update(TenantDay)
    .where(TenantDay.tenant == bindparam("whose"), TenantDay.day == bindparam("on"))
    .values(usd_nanos=TenantDay.usd_nanos + bindparam("usd"), tokens=TenantDay.tokens + bindparam("more"))
)


async def day(tx: Tx, tenant: str, on: str) -> tuple[int, int]:
    """What a tenant has used on a day, with what is reserved: nano-dollars and tokens; the row is held."""
    found = (await tx.connection.execute(_DAY, {"whose": tenant, "on": on})).first()
    if found is None:
        await tx.connection.execute(
            insert(TenantDay), {"tenant": tenant, "day": on, "usd_nanos": 0, "tokens": 0}
        )
        return (0, 0)
    return (found.usd_nanos, found.tokens)


async def seen_day(tx: Tx, tenant: str, on: str) -> tuple[int, int]:
    """As `day`, only to look."""
    found = (await tx.connection.execute(_SEEN_DAY, {"whose": tenant, "on": on})).first()
    return (0, 0) if found is None else (found.usd_nanos, found.tokens)


async def next_number(tx: Tx, task_id: str, path: str) -> int:
    """How many requests there were at this place, which is the next one's number."""
    last: int | None = await tx.connection.scalar(_LAST, {"id": task_id, "at": path})
    return 0 if last is None else last + 1


async def reserve(tx: Tx, charge: Charge) -> None:
    """Write a charge and take it out of its pools; the day's row must be there (`day` made it)."""
    values = {field.name: getattr(charge, field.name) for field in fields(Charge)}
    await tx.connection.execute(_INSERT, values)
    await _add(tx, charge, charge.reserved_usd_nanos, charge.reserved_tokens)


async def reserved(tx: Tx, task_ids: Sequence[str]) -> list[Charge]:
    """The charges of these tasks whose calls are under way, as far as the rows know."""
    return [_charge(one) for one in await tx.connection.execute(_OPEN, {"ids": list(task_ids)})]


async def reserved_at(tx: Tx, task_id: str, path: str) -> list[Charge]:
    """As `reserved`, at one place of a task's journal."""
    return [_charge(one) for one in await tx.connection.execute(_OPEN_AT, {"id": task_id, "at": path})]


def _charge(row: Row[*tuple[Any, ...]]) -> Charge:
    return Charge(**row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name


async def is_any_reserved(tx: Tx, root_id: str) -> bool:
    """Whether a call of this tree is under way, as far as the rows know."""
    return await tx.connection.scalar(_ANY_OPEN, {"root": root_id}) is not None


async def settle(tx: Tx, charge: Charge, used: Settlement) -> None:
    """Write what a call cost, and give back to its pools what it did not need (or take what it overran)."""
    usd_nanos = used.usd_nanos or 0
    await _close(
        tx,
        charge,
        ChargeStatus.SETTLED,
        usd_nanos,
        model=used.model,
        is_priced=used.usd_nanos is not None,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cache_read_tokens=used.cache_read_tokens,
        cache_write_tokens=used.cache_write_tokens,
    )
    tokens = used.input_tokens + used.output_tokens
    await _add(tx, charge, usd_nanos - charge.reserved_usd_nanos, tokens - charge.reserved_tokens)


async def lose(tx: Tx, charges: Sequence[Charge]) -> None:
    """Nobody knows what came of these calls: what was reserved for them stays spent."""
    for charge in charges:
        await _close(tx, charge, ChargeStatus.LOST, charge.reserved_usd_nanos)


async def release(tx: Tx, charges: Sequence[Charge]) -> None:
    """These calls cost nothing: give back all that was reserved for them."""
    for charge in charges:
        await _close(tx, charge, ChargeStatus.RELEASED, 0)
        await _add(tx, charge, -charge.reserved_usd_nanos, -charge.reserved_tokens)


async def _close(tx: Tx, charge: Charge, status: ChargeStatus, usd_nanos: int, **changed: Any) -> None:
    values = {
        "seen_id": charge.task_id,
        "seen_path": charge.path,
        "seen_number": charge.number,
        "status": status.value,
        "model": charge.model,
        "is_priced": charge.is_priced,
        "usd_nanos": usd_nanos,
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "settled_at": tx.now,
        **changed,
    }
    await tx.connection.execute(_CLOSE, values)


async def _add(tx: Tx, charge: Charge, usd_nanos: int, tokens: int) -> None:
    """Change the pools: the tree's on its root's row, the task's own, the tenant's day of the reservation."""
    if not (usd_nanos or tokens):
        return
    amounts = {"usd": usd_nanos, "more": tokens}
    for task_id in {charge.root_id, charge.task_id}:
        await tx.connection.execute(_ADD_TO_TASK, {"seen_id": task_id, **amounts})
    await add_to_day(tx, charge.tenant, charge.day, usd_nanos, tokens)


async def add_to_day(tx: Tx, tenant: str, on: str, usd_nanos: int, tokens: int) -> None:
    """Change what a tenant has used on a day; its row must be there (`day` made it)."""
    amounts = {"usd": usd_nanos, "more": tokens}
    await tx.connection.execute(_ADD_TO_DAY, {"whose": tenant, "on": on, **amounts})
