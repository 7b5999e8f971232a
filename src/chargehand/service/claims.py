"""Who is next: the tasks that a worker gets when it has slots free.

Rule: limits hold however many workers claim at once: where one applies, claims take turns, and each counts what runs
before it takes anything. Without a limit nobody waits for anybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from chargehand.domain.fairness import Concurrency, Head, Lane, Turns
from chargehand.domain.queues import EVERY_AGENT, AgentScope
from chargehand.domain.task import Task
from chargehand.store import claims
from chargehand.store.database import Tx

MOST_REMEMBERED = 10_000
"""Tenants whose last turn is remembered."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim came to. `is_held_back`: more is due, and may begin when some task that runs has ended."""

    tasks: list[Task]
    is_held_back: bool


async def take(
    tx: Tx,
    *,
    worker: str,
    lease: timedelta,
    most: int,
    limits: Concurrency,
    served: dict[str, int],
    scope: AgentScope = EVERY_AGENT,
) -> Claimed:
    """Claim up to `most` due tasks of agents in the scope, in the order of their turns.

    `served`: which tenants this process has given slots to, as Turns keeps it.
    """
    if len(served) > MOST_REMEMBERED:
        served.clear()
    taken: list[Task] = []
    is_held_back = False
    exhausted: set[Lane] = set()
    while len(taken) < most:
        heads = [head for head in await claims.heads(tx, scope) if head.lane not in exhausted]
        if not heads:
            break
        shares, is_held_back = await _shares(tx, heads, limits, most - len(taken), served)
        for lane, count in shares.items():
            found = await claims.take(tx, lane, most=count, worker=worker, lease=lease)
            taken += found
            if len(found) < count:
                exhausted.add(lane)
        # What another worker was quicker to take leaves slots free: they are shared out among the other lanes.
        if len(heads) == 1 or not exhausted.intersection(shares):
            break
    return Claimed(taken, is_held_back)


async def _shares(
    tx: Tx, heads: Sequence[Head], limits: Concurrency, most: int, served: dict[str, int]
) -> tuple[dict[Lane, int], bool]:
    """How many slots each lane gets, in the order in which their first tasks come to their turns.

    And whether a limit holds something back.
    """
    if _is_limited(heads, limits):
        await claims.hold_turn(tx)
    elif len(heads) == 1:
        return {heads[0].lane: most}, False
    turns = Turns(heads, await claims.running(tx), limits, served)
    shares: dict[Lane, int] = {}
    looked_up: dict[Lane, list[int]] = {}
    corrected: dict[Lane, int] = {}
    given = 0
    while given < most and (lane := turns.next()):
        count = shares.get(lane, 0)
        if count and corrected.get(lane) != count:
            # Only now, for most lanes are given one slot and need not be asked for more than their first task.
            if lane not in looked_up:
                looked_up[lane] = await claims.due_times(tx, lane, most=most)
            dues = looked_up[lane]
            corrected[lane] = count
            turns.correct(lane, dues[count] if count < len(dues) else None)
            continue
        turns.begin(lane)
        shares[lane] = count + 1
        given += 1
    return shares, turns.is_held_back


def _is_limited(heads: Sequence[Head], limits: Concurrency) -> bool:
    return limits.whole is not None or any(
        head.most_running is not None or limits.most_of(head.lane.tenant) is not None for head in heads
    )
