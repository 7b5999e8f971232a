"""A step that a test holds open."""

import asyncio

from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext
from tests import given


class Gate:
    """Lets a playbook's step begin, and holds it until it is let go."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.may_go = asyncio.Event()
        self.calls = 0

    async def step(self) -> str:
        self.calls += 1
        self.entered.set()
        await self.may_go.wait()
        return "through"

    async def playbook(self, ctx: PlaybookContext) -> JsonValue:
        first = await ctx.once("first", lambda: "before")
        return [first, await ctx.once("gate", self.step), await ctx.once("last", lambda: "after")]


async def until_entered(gate: Gate) -> None:
    async with asyncio.timeout(given.LIMIT_SECONDS):
        await gate.entered.wait()
