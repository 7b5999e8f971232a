"""Commands in the background end with the attempt, and who looks after them in a later one is told."""

from pathlib import Path

from chargehand.domain.history import EventKind
from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.tools.sandbox.environment import find_toolchains
from chargehand.tools.sandbox.plain import PlainSandbox
from tests import given

BEATS = "touch begun; while :; do echo x >> beats; sleep 0.02; done"


async def test_a_wait_ends_what_runs_in_the_background_and_the_resumed_attempt_is_told(
    tmp_path: Path,
) -> None:
    async def serve(ctx: PlaybookContext) -> JsonValue:
        begun = await ctx.must("Bash", command=BEATS, run_in_background=True)
        await ctx.must("Bash", command="until [ -e begun ]; do sleep 0.02; done")
        await ctx.sleep(60)
        size = "wc -c < beats; sleep 0.2; wc -c < beats"
        sizes = (await ctx.must("Bash", command=size)).content.split()
        told = await ctx.tool("BashOutput", bash_id=begun.details["shell_id"])
        return {"code": told.details["code"], "told": told.content, "still": sizes[0] == sizes[1]}

    clock = given.TestClock()
    sandbox = PlainSandbox(toolchains=find_toolchains())
    async with given.a_core(tmp_path, playbooks={"serve": serve}, clock=clock, sandbox=sandbox) as core:
        task = await given.a_task(core, "serve")
        await given.event(core, task, EventKind.WAITING)
        clock.advance(61)

        result = (await given.ended(core, task)).result

        assert isinstance(result, dict)
        assert (result["code"], result["still"]) == ("outcome_unknown", True)
        assert "does not run any more" in str(result["told"])
