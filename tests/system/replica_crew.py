"""A playbook that the replicas of a test carry out; they import this file."""

import asyncio

from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext

STEPS = 40
STEP_SECONDS = 0.05


async def count(ctx: PlaybookContext) -> JsonValue:
    """Many short steps, each with its events."""

    async def wait() -> JsonValue:
        await asyncio.sleep(STEP_SECONDS)
        return None

    for number in range(STEPS):
        await ctx.once(f"step {number}", wait)
    return STEPS
