"""What is taken from a tree's pool before it is used: steps, children, tool calls, and the price of model calls.

Rule: all of it happens inside the transaction in which the step begins or ends, over rows that it holds; so
however many ask at once, what is reserved and spent together is never more than the limit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from chargehand.domain.charge import (
    MIN_OUTPUT_TOKENS,
    ChargeStatus,
    DayLimits,
    Estimate,
    Grant,
    Settlement,
    UnknownPrice,
)
from chargehand.domain.history import Step
from chargehand.domain.money import share_of, usd_text
from chargehand.domain.task import Task
from chargehand.errors import BudgetExhausted, BudgetReserved, PriceUnknown
from chargehand.store import charges, tasks
from chargehand.store.charges import Charge
from chargehand.store.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """One thing that a call draws from. Limits that are None are none."""

    whose: str
    is_tree: bool = False
    usd_limit: int | None
    usd_used: int
    tokens_limit: int | None
    tokens_used: int
    remedy: Callable[[str], str]
    """How to raise a limit."""

    def most_output(self, estimate: Estimate) -> tuple[int, str]:
        """How long the answer may be at most, and which limit says so."""
        found = (estimate.max_output_tokens, "")
        if self.tokens_limit is not None:
            left = self.tokens_limit - self.tokens_used - estimate.input_tokens
            found = min(found, (left, "tokens"))
        if self.usd_limit is not None and estimate.input_usd_nanos is not None:
            left = self.usd_limit - self.usd_used - estimate.input_usd_nanos
            rate = estimate.output_nanos_per_million
            affordable = (
                left * 1_000_000 // rate if rate else (estimate.max_output_tokens if left >= 0 else -1)
            )
            found = min(found, (affordable, "usd"))
        return found

    def exhausted(self, limit: str, estimate: Estimate) -> BudgetExhausted:
        if limit == "usd":
            most, used = usd_text(self.usd_limit or 0), usd_text(self.usd_used)
            needed = usd_text(
                (estimate.input_usd_nanos or 0)
                + share_of(estimate.output_nanos_per_million, _shortest(estimate))
            )
            amounts = f"{most} USD, of which {used} are spent or reserved; the next call needs {needed}"
        else:
            most, used = str(self.tokens_limit), str(self.tokens_used)
            needed = str(estimate.input_tokens + _shortest(estimate))
            amounts = f"{most} tokens, of which {used} are spent or reserved; the next call needs {needed}"
        return BudgetExhausted(
            f"{self.whose} has used its budget of {amounts} with {estimate.model}. {self.remedy(limit)}",
            details={"limit": limit, "budget": most, "used": used, "needed": needed},
        )


def _shortest(estimate: Estimate) -> int:
    return min(MIN_OUTPUT_TOKENS, estimate.max_output_tokens)


async def spend(
    tx: Tx, task: Task, *, steps: int = 0, children: int = 0, tool_calls: int = 0, root: Task | None = None
) -> int:
    """Take from the tree's pool, whose limits are the root's; how deep the tree may be. BudgetExhausted.

    `root`: its row, when this transaction holds it.
    """
    if root is None:
        root = (await tasks.get(tx, [task.root_id]))[task.root_id]
    limits = root.limits
    most = {"steps": limits.steps, "children": limits.children, "tool_calls": limits.tool_calls}
    wanted = {"steps": steps, "children": children, "tool_calls": tool_calls}
    if not await tasks.spend(tx, task.root_id, wanted, most):
        root = (await tasks.get(tx, [task.root_id]))[task.root_id]
        used = {
            "steps": root.steps_spent,
            "children": root.children_spent,
            "tool_calls": root.tool_calls_spent,
        }
        name = next(
            (one for one, limit in most.items() if limit is not None and used[one] + wanted[one] > limit),
            "steps",
        )
        raise BudgetExhausted(
            f"the tree of task {root.id} has used its budget of {most[name]} {name.replace('_', ' ')}"
            f" ({used[name]} used, {wanted[name]} more needed). {_remedy(root, name)}",
            details={"limit": name, "budget": str(most[name]), "used": str(used[name])},
        )
    return limits.depth


def _remedy(root: Task, limit: str) -> str:
    return (
        f"To go on, raise `budget` in the definition of {root.agent_id!r} if that sets the limit, then"
        f" `chargehand tasks retry {root.id} --budget {limit}=AMOUNT`"
    )


async def reserve(
    tx: Tx, held: dict[str, Task], task: Task, step: Step, estimate: Estimate, limits: DayLimits
) -> Grant:
    """Take the most that a model call may cost out of its pools. BudgetExhausted, BudgetReserved, PriceUnknown.

    Where less is left than the longest answer may cost, a shorter one is allowed, down to MIN_OUTPUT_TOKENS; but
    while other calls of the tree are under way, which will give most of theirs back, it is BudgetReserved.
    `held`: the task and its root, as their rows say; they are kept so.
    """
    pools = await _pools(tx, held, task, limits)
    _require_price(estimate, pools)
    output, name, tightest = min(
        ((*pool.most_output(estimate), pool) for pool in pools), key=lambda found: found[0]
    )
    if (
        output < estimate.max_output_tokens
        and tightest.is_tree
        and await charges.is_any_reserved(tx, task.root_id)
    ):
        raise BudgetReserved(
            f"what is left of the budget of task {task.root_id} is reserved for calls under way"
        )
    if output < _shortest(estimate):
        raise tightest.exhausted(name, estimate)
    charge = Charge(
        task_id=task.id,
        path=step.path,
        number=await charges.next_number(tx, task.id, step.path),
        root_id=task.root_id,
        tenant=task.tenant,
        agent_id=task.agent_id,
        model=estimate.model[:192],
        day=_day(tx),
        status=ChargeStatus.RESERVED.value,
        is_priced=estimate.is_priced,
        reserved_usd_nanos=(estimate.input_usd_nanos or 0)
        + share_of(estimate.output_nanos_per_million, output),
        reserved_tokens=estimate.input_tokens + output,
        usd_nanos=0,
        input_tokens=0,
        output_tokens=0,
        cache_read_tokens=0,
        cache_write_tokens=0,
        created_at=tx.now,
        settled_at=None,
    )
    await charges.reserve(tx, charge)
    _note(held, charge, charge.reserved_usd_nanos, charge.reserved_tokens)
    return Grant(max_output_tokens=output, is_cut=output < estimate.max_output_tokens)


def _day(tx: Tx) -> str:
    return tx.now.date().isoformat()


async def lose_interrupted(tx: Tx, task: Task, path: str) -> None:
    """A call that was under way at this place when its worker died may have been paid: it is lost, at full price."""
    await charges.lose(tx, await charges.reserved_at(tx, task.id, path))


async def _pools(tx: Tx, held: Mapping[str, Task], task: Task, limits: DayLimits) -> list[_Pool]:
    """The tree's, the tenant's day, and of a delegated task its own agent's budget for its own calls."""
    root, own = held[task.root_id], held[task.id]
    pools = [
        _Pool(
            whose=f"the tree of task {root.id}",
            is_tree=True,
            usd_limit=root.limits.usd_nanos,
            usd_used=root.usd_nanos_spent,
            tokens_limit=root.limits.tokens,
            tokens_used=root.tokens_spent,
            remedy=lambda limit: _remedy(root, limit),
        ),
        await _day_pool(tx, task.tenant, limits),
    ]
    if own.id != root.id:
        pools.append(
            _Pool(
                whose=f"delegated task {own.id}",
                usd_limit=own.limits.usd_nanos,
                usd_used=own.usd_nanos_spent,
                tokens_limit=own.limits.tokens,
                tokens_used=own.tokens_spent,
                remedy=lambda limit: (
                    f"To go on, raise `budget.{limit}` in the definition of {own.agent_id!r} and retry the root"
                ),
            )
        )
    return pools


async def _day_pool(tx: Tx, tenant: str, limits: DayLimits) -> _Pool:
    day = _day(tx)
    usd_used, tokens_used = await charges.day(tx, tenant, day)
    return _Pool(
        whose=f"tenant {tenant!r} on {day} (UTC)",
        usd_limit=limits.usd_nanos,
        usd_used=usd_used,
        tokens_limit=limits.tokens,
        tokens_used=tokens_used,
        remedy=lambda limit: (
            "Retry the task on another day, or have the operator raise"
            f" CHARGEHAND_TENANT_{limit.upper()}_PER_DAY, or the tenant's own limit"
        ),
    )


@dataclass(frozen=True, slots=True)
class DayShare:
    """What was taken out of a tenant's day for a request of no task."""

    day: str
    usd_nanos: int
    tokens: int


async def reserve_of_day(tx: Tx, tenant: str, estimate: Estimate, limits: DayLimits) -> DayShare | None:
    """Take the most that a request of no task may cost out of the day; None when that cannot be."""
    pool = await _day_pool(tx, tenant, limits)
    try:
        _require_price(estimate, [pool])
    except PriceUnknown:
        return None
    output, _ = pool.most_output(estimate)
    if output < estimate.max_output_tokens:
        return None
    usd = (estimate.input_usd_nanos or 0) + share_of(estimate.output_nanos_per_million, output)
    taken = DayShare(_day(tx), usd, estimate.input_tokens + output)
    await charges.add_to_day(tx, tenant, taken.day, taken.usd_nanos, taken.tokens)
    return taken


def _require_price(estimate: Estimate, pools: list[_Pool]) -> None:
    if estimate.is_priced or estimate.unknown_price is UnknownPrice.COUNT_TOKENS:
        return
    limited = next((pool for pool in pools if pool.usd_limit is not None), None)
    if limited is None and estimate.unknown_price is UnknownPrice.AUTO:
        return
    why = (
        f"{limited.whose} has a budget in USD"
        if limited is not None
        else "calls of unknown price are refused here"
    )
    raise PriceUnknown(
        f"the price of {estimate.model} is unknown, and {why}; the operator can give its price in"
        " CHARGEHAND_MODEL_PRICES, or set CHARGEHAND_UNKNOWN_PRICE=count_tokens to count only its tokens"
    )


async def settle(tx: Tx, held: dict[str, Task], task: Task, path: str, used: Settlement) -> Settlement | None:
    """Write what the call under way at this place cost; None when there is none. `held`: as for `reserve`.

    A provider that does not tell what was used, or tells what its prices cannot be applied to (more was read from
    its cache than was read at all), is taken to have used all that was reserved.
    """
    found = await charges.reserved_at(tx, task.id, path)
    if not found:
        return None
    [charge] = found
    if not used.is_told:
        used = Settlement(
            model=used.model,
            usd_nanos=charge.reserved_usd_nanos if charge.is_priced else None,
            input_tokens=charge.reserved_tokens,
            output_tokens=0,
            cache_read_tokens=0,
            cache_write_tokens=0,
        )
    elif used.usd_nanos is None and charge.is_priced:
        used = replace(used, usd_nanos=charge.reserved_usd_nanos)
    await charges.settle(tx, charge, used)
    tokens = used.input_tokens + used.output_tokens
    _note(held, charge, (used.usd_nanos or 0) - charge.reserved_usd_nanos, tokens - charge.reserved_tokens)
    return used


def _note(held: dict[str, Task], charge: Charge, usd_nanos: int, tokens: int) -> None:
    """What the rows of a task and its root say now, without another look."""
    for task_id in {charge.root_id, charge.task_id}:
        seen = held[task_id]
        held[task_id] = replace(
            seen, usd_nanos_spent=seen.usd_nanos_spent + usd_nanos, tokens_spent=seen.tokens_spent + tokens
        )


async def give_back(tx: Tx, task: Task, path: str, *, may_be_paid: bool) -> None:
    """The call at this place got no answer: what was reserved is free again, unless it may have been paid."""
    found = await charges.reserved_at(tx, task.id, path)
    await (charges.lose if may_be_paid else charges.release)(tx, found)
