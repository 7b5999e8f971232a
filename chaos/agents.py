"""The work that the fleet under test carries out: playbooks whose every effect is marked in the ledger outside.

Rule: an effect is one line appended to a file that no process of the service ever reads; what a killed process had
written stays.
"""

import asyncio
import os
import time

from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation

LEDGER_VARIABLE = "CHAOS_LEDGER"
"""Where the ledger is; the harness sets it for the processes that it starts."""


def leave(mark: str) -> None:
    """One line, in one write: processes that append at once do not mix their lines."""
    file = os.open(os.environ[LEDGER_VARIABLE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(file, f"{mark} {time.time():.6f}\n".encode())
    finally:
        os.close(file)


async def effect(ctx: PlaybookContext, name: str, seconds: float = 0.0) -> None:
    """A step with an effect that can be counted from outside, and which takes a while after it."""

    async def work() -> JsonValue:
        leave(f"{ctx.task.id} {name} {ctx.task.attempt}")
        await asyncio.sleep(seconds)
        return None

    await ctx.once(name, work)


async def quick(ctx: PlaybookContext) -> JsonValue:
    """A few short steps."""
    for number in range(3):
        await effect(ctx, f"effect-{number}", 0.02)
    return {"echo": ctx.data.get("number")}


async def slow(ctx: PlaybookContext) -> JsonValue:
    """Steps that last, as calls of models do; most kills come into the middle of one."""
    for number in range(4):
        await effect(ctx, f"effect-{number}", 0.3)
    return {"echo": ctx.data.get("number")}


async def timer(ctx: PlaybookContext) -> JsonValue:
    """Two waits that hold no worker."""
    for number in range(2):
        await ctx.sleep(0.3)
        await effect(ctx, f"effect-{number}")
    return {"echo": ctx.data.get("number")}


async def tree(ctx: PlaybookContext) -> JsonValue:
    """A tree of tasks: two leaves, and a tree below while there is depth."""
    await effect(ctx, "effect-before")
    depth = int(str(ctx.data.get("depth", 0)))
    orders = [Delegation(agent_id=name, task_data={"number": 0}, labels={}) for name in ("quick", "timer")]
    if depth:
        orders.append(Delegation(agent_id="tree", task_data={"depth": depth - 1}, labels={}))
    await ctx.must_delegate(*orders)
    await effect(ctx, "effect-after")
    return {"echo": ctx.data.get("number")}


async def branches(ctx: PlaybookContext) -> JsonValue:
    """Branches side by side: one waits for a child, one for a time, one works."""

    async def delegating(own: PlaybookContext) -> None:
        await own.must_delegate(Delegation(agent_id="quick", task_data={"number": 0}, labels={}))

    async def waiting(own: PlaybookContext) -> None:
        await own.sleep(0.2)
        await effect(own, "effect-waited")

    async def working(own: PlaybookContext) -> None:
        await effect(own, "effect-worked", 0.1)

    await ctx.together(delegating, waiting, working)
    return {"echo": ctx.data.get("number")}


async def asker(ctx: PlaybookContext) -> JsonValue:
    """Waits for a person's answer, which a client gives."""
    answer = await ctx.ask("Go on?", choices=["yes"])
    await effect(ctx, "effect-answered")
    return {"echo": ctx.data.get("number"), "answer": answer}


async def held(ctx: PlaybookContext) -> JsonValue:
    """Never ends by itself, nor do its children: a client cancels it."""
    await effect(ctx, "effect-before")

    async def delegating(own: PlaybookContext) -> None:
        await own.delegate(Delegation(agent_id="asker", task_data={}, labels={}))

    async def waiting(own: PlaybookContext) -> None:
        await own.sleep(86_400)

    await ctx.together(delegating, waiting)
    return "nobody canceled"


AGENTS = ("quick", "slow", "timer", "tree", "branches", "asker", "held")
MIX = ("quick", "quick", "quick", "timer", "timer", "slow", "tree", "branches", "asker", "held")
"""What clients choose among: mostly what is short, so that a run carries many tasks and most of them complete."""


def definition(name: str) -> str:
    """An agent's file."""
    delegates = "[quick, timer, tree, asker]"
    return (
        f"---\nname: {name}\ndescription: Does {name} work for the chaos harness.\nchargehand:\n"
        f"  runtime: playbook\n  playbook: chaos-{name}\n  delegates: {delegates}\n---\nDo it.\n"
    )


def playbooks_setting() -> str:
    """What CHARGEHAND_PLAYBOOKS must say."""
    listed = ", ".join(f'"chaos-{name}=chaos.agents:{name}"' for name in AGENTS)
    return f"[{listed}]"


def descendants(agent_id: str, depth: int) -> int | None:
    """How many tasks such a task has below it when it has completed; None: none is promised."""
    if agent_id == "tree":
        return 2 + (1 + (descendants("tree", depth - 1) or 0) if depth else 0)
    return {"branches": 1, "held": None}.get(agent_id, 0)
