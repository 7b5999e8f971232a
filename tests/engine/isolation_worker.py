"""The program that test_isolation.py kills: a parent hands work to a child with a workspace of its own.

It opens a core on the folder of its argument, takes the one task (key `it`), waits until the child's copy is gone,
and says what the task came to.
"""

import asyncio
import json
import sys
from pathlib import Path

from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from tests import given


async def parent(ctx: PlaybookContext) -> JsonValue:
    await ctx.must("Write", file_path="kept.txt", content="kept\n")
    await ctx.must("Write", file_path="edited.txt", content="before\n")
    [told] = await ctx.delegate(Delegation(agent_id="child", task_data={}, labels={}, isolated=True))
    return told["changes"]


async def child(ctx: PlaybookContext) -> JsonValue:
    await ctx.must("Write", file_path="edited.txt", content="after\n")
    await ctx.must("Write", file_path="new/made.txt", content="made\n")
    return "done"


async def main() -> None:
    playbooks = {"parent": parent, "child": child}
    async with given.a_core(Path(sys.argv[1]), playbooks=playbooks, lease_seconds=1) as core:
        task = await given.a_task(core, "parent", idempotency_key="it")
        ended = await given.ended(core, task)
        # The copy goes when it is of no use any more, a little later.
        workspaces = core.settings.workspaces_dir
        while [path.name for path in workspaces.iterdir()] != [ended.id]:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)
        sys.stdout.write(
            json.dumps({"id": ended.id, "status": ended.status.value, "result": ended.result}) + "\n"
        )


asyncio.run(main())
