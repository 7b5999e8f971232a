"""A worker on one host: the program that test_snapshot_crashes.py kills, stops and lets go on.

Arguments: a folder for its data, a folder outside every host, and as JSON what more it is told. It prints a line when
it is ready, and carries tasks until its standard input ends.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from chargehand.tools.sandbox.base import SandboxLevel
from chargehand.tools.sandbox.probe import open_sandbox
from tests import given

OUTSIDE = Path(sys.argv[2])
LIMIT_SECONDS = 100.0


async def steps(ctx: PlaybookContext) -> JsonValue:
    """Three steps that add a line each; the second writes half of what it should and waits to be killed, once."""
    await ctx.must("Write", file_path="src/one.txt", content="one\n")
    gate = f"if mkdir {OUTSIDE}/half; then while :; do sleep 0.05; done; fi"
    await ctx.tool("Bash", command=f"echo half > half.txt; echo spoiled > src/one.txt; {gate}; rm half.txt")
    seen = (await ctx.must("Bash", command="find . -type f | sort; cat src/*.txt")).content
    await ctx.must("Write", file_path="src/three.txt", content="three\n")
    return seen


async def counts(ctx: PlaybookContext) -> JsonValue:
    """Adds a line to one file in each of five steps, with a wait in the middle."""
    for number in range(5):
        await ctx.tool("Bash", command=f"echo {number} >> lines.txt; echo {number} >> {OUTSIDE}/effects")
        if number == 2:
            await ctx.sleep(0.05)
    return (await ctx.must("Read", file_path="lines.txt")).content


async def family(ctx: PlaybookContext) -> JsonValue:
    """Two children work in its workspace at once, each on another host, and wait for each other."""
    await ctx.must("Write", file_path="plan.txt", content="plan\n")
    orders = [Delegation(agent_id="sibling", task_data={"name": name}, labels={}) for name in ("a", "b")]
    await ctx.must_delegate(*orders)
    return (await ctx.must("Bash", command="for f in *.txt; do echo $f: $(cat $f); done")).content


async def sibling(ctx: PlaybookContext) -> JsonValue:
    """Meets its sibling, so that both are at work, and only then changes files."""
    name = str(ctx.data["name"])
    meet = f"touch {OUTSIDE}/{name}; while ! [ -e {OUTSIDE}/a -a -e {OUTSIDE}/b ]; do sleep 0.05; done"
    await ctx.must("Bash", command=f"{meet}; echo from {name} > {name}.txt")
    await ctx.must("Bash", command=f"echo more >> {name}.txt")
    return None


async def main() -> None:
    told: dict[str, Any] = json.loads(sys.argv[3])
    books = {"steps": steps, "counts": counts, "family": family, "sibling": sibling}
    sandbox = await open_sandbox(SandboxLevel.NONE)
    submit = told.pop("submit", None)
    options: dict[str, Any] = {"workspace_snapshots": "on", "lease_seconds": 1, **told}
    async with given.a_core(Path(sys.argv[1]), playbooks=books, sandbox=sandbox, **options) as core:
        task = await given.a_task(core, submit, idempotency_key="it") if submit else None
        if task is not None:
            sys.stdout.write(json.dumps({"submitted": task.id}) + "\n")
        sys.stdout.write('"ready"\n')
        sys.stdout.flush()
        if task is not None:
            ended = await core.watch.wait(given.ME, task.id, LIMIT_SECONDS)
            said = {
                "status": ended.status.value,
                "result": ended.result,
                "error": ended.error,
            }
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
