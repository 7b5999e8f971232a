"""What the workers under test can do; they load it by CHARGEHAND_PLAYBOOKS. Each leaves lines in a file."""

import asyncio
import os
from pathlib import Path

from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext
from tests.given import Effects


async def quick(ctx: PlaybookContext) -> JsonValue:
    """One step."""
    folder = Path(str(ctx.data["folder"]))
    await ctx.once("step", lambda: Effects(folder / "effects").leave(f"{ctx.task.id} {os.getpid()}"))
    return ctx.task.attempt


async def gated(ctx: PlaybookContext) -> JsonValue:
    """Says that it entered and waits for the file `go`; what was once done is not done again."""
    folder = Path(str(ctx.data["folder"]))
    effects = Effects(folder / "effects")
    await ctx.once("before", lambda: effects.leave(f"before {ctx.task.id}"))

    async def wait() -> None:
        effects.leave(f"entered {ctx.task.id} {ctx.task.attempt} {os.getpid()}")
        while not (folder / "go").exists():  # noqa: ASYNC110 - the test, another process, tells by the file
            await asyncio.sleep(0.02)
        effects.leave(f"left {ctx.task.id} {ctx.task.attempt} {os.getpid()}")

    await ctx.once("gate", wait)
    return ctx.task.attempt


async def short(ctx: PlaybookContext) -> JsonValue:
    """Takes a moment, and tells when it begins and ends."""
    effects = Effects(Path(str(ctx.data["folder"])) / "effects")

    async def work() -> None:
        effects.leave("begin")
        await asyncio.sleep(0.05)
        effects.leave("end")

    await ctx.once("work", work)
    return "done"
