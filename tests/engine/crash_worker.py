"""The program that test_crash_matrix.py kills: it opens a core on a data folder, takes tasks and ends them.

It is started once and forks a child for each life, so that a life costs milliseconds. A line of JSON on
standard input is one life: where to die, and which tasks to submit. What it says on standard output:
`life PID`, `accepted KEY ID` after each durable answer, `ended STATUS`.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog

from chargehand import failpoint
from chargehand.app.core import Core
from chargehand.domain.history import EventKind
from chargehand.domain.task import OPEN, Status, TaskOrder
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import IllegalMove
from chargehand.runtimes.base import AgentFailure
from chargehand.runtimes.function import FunctionContext
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from chargehand.tools.sandbox import SandboxLevel, open_sandbox
from tests import given
from tests.given import ME

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
EFFECTS = given.Effects(FOLDER / "effects")
LEASE_SECONDS = given.crash_lease_seconds(30)


async def effect(ctx: PlaybookContext, name: str) -> None:
    """An effect that can be counted from outside: by whom, which, in which attempt."""
    mark = f"{ctx.task.id} {name} {ctx.task.attempt}"
    await ctx.once(name, lambda: EFFECTS.leave(mark))


async def effects(ctx: PlaybookContext) -> JsonValue:
    for number in range(3):
        await effect(ctx, f"effect-{number}")
    return "done"


async def fan(ctx: PlaybookContext) -> JsonValue:
    await effect(ctx, "effect-before")
    depth = ctx.data["depth"]
    assert isinstance(depth, int)
    below = [_order("effects"), _order("effects")]
    if depth:
        below.append(_order("fan", depth=depth - 1))
    await ctx.must_delegate(*below)
    await effect(ctx, "effect-after")
    return "done"


async def together(ctx: PlaybookContext) -> JsonValue:
    async def delegating(branch: PlaybookContext) -> None:
        await branch.must_delegate(_order("effects"))

    async def sleeping(branch: PlaybookContext) -> None:
        await branch.sleep(0.01)
        await effect(branch, "effect-slept")

    await ctx.together(delegating, sleeping)
    return "done"


async def asker(ctx: PlaybookContext) -> JsonValue:
    answer = await ctx.ask("Go on?", choices=["yes"])
    await effect(ctx, "effect-answered")
    return answer


async def deliverer(ctx: PlaybookContext) -> JsonValue:
    """Wrong in the first round, right in the repair round."""
    content = "first try" if ctx.round == 0 else "as promised"
    await ctx.must("Write", file_path="report.txt", content=content)
    await effect(ctx, f"effect-round-{ctx.round}")
    return "done"


async def shell(ctx: PlaybookContext) -> JsonValue:
    """Bash is never repeated: after a crash in the middle the playbook is told so and goes on."""
    result = await ctx.tool("Bash", command="echo done >> bash.txt")
    if result.is_error and result.details.get("code") != "outcome_unknown":
        raise AgentFailure(result.content)
    return result.details.get("code")


async def held(ctx: PlaybookContext) -> JsonValue:
    """Waits for a person, with children that do too, until it is canceled."""

    async def delegating(branch: PlaybookContext) -> None:
        await branch.delegate(_order("asker"), _order("asker"))

    async def asking(branch: PlaybookContext) -> None:
        await branch.ask("Cancel me.")

    await ctx.together(delegating, asking)
    return "nobody canceled"


def calls_twice(data: JsonObject, context: FunctionContext) -> JsonValue:
    """Fails until it has been called twice."""
    del data
    EFFECTS.leave(f"called {context.task_id}")
    if EFFECTS.count(f"called {context.task_id}") < 2:
        raise ConnectionError("not yet")
    return "done"


def _order(agent_id: str, **data: JsonValue) -> Delegation:
    return Delegation(agent_id=agent_id, task_data=data, labels={})


PLAYBOOKS: dict[str, Callable[[PlaybookContext], Awaitable[JsonValue]]] = {
    "effects": effects,
    "fan": fan,
    "together": together,
    "asker": asker,
    "deliverer": deliverer,
    "shell": shell,
    "held": held,
}
FUNCTIONS = {"flaky": calls_twice, "broken": calls_twice}
"""The one is tried again by its agent's policy, the other by a person."""
PROMISE = {"name": "report", "path": "report.txt", "checks": [{"contains": "as promised"}]}


async def one_life(orders: dict[str, str]) -> None:
    """Submit what is ordered (key: agent), see to every open task, return when all have ended."""
    sandbox = await open_sandbox(SandboxLevel.NONE)
    opened = given.a_core(
        FOLDER,
        playbooks=PLAYBOOKS,
        functions=FUNCTIONS,
        sandbox=sandbox,
        slots=3,
        lease_seconds=LEASE_SECONDS,
    )
    async with opened as core:
        await given.an_agent(core, "deliverer", playbook="deliverer", deliverables=[PROMISE])
        await given.an_agent(core, "flaky", function="flaky", attempts=10, retry_seconds=0)
        old = await unfinished(core)
        async with asyncio.TaskGroup() as group:
            for task_id in old:
                group.create_task(attend(core, task_id))
            for key, agent_id in orders.items():
                group.create_task(submit(core, key, agent_id))
        # One that moved from one status to another between the looks was seen in neither.
        while left := await unfinished(core):
            await asyncio.gather(*(attend(core, task_id) for task_id in left))


async def unfinished(core: Core) -> list[str]:
    """The tasks, with nobody above them, that are to be seen to."""
    pages = [await core.watch.page(ME, status=status) for status in OPEN]
    pages.append(await core.watch.page(ME, status="failed", agent_id="broken"))
    return [task.id for page in pages for task in page.items if task.parent_id is None]


async def submit(core: Core, key: str, agent_id: str) -> None:
    """As a client would: with a key, so that asking again after a crash makes no second task."""
    accepted = await core.tasks.submit(
        ME, TaskOrder(agent_id=agent_id, task_data={"depth": 1}, idempotency_key=key)
    )
    say(f"accepted {key} {accepted.task.id}")
    await attend(core, accepted.task.id)


async def attend(core: Core, task_id: str) -> None:
    """Be the person: answer what is asked, cancel `held`, retry `broken`, stay until the task has ended."""
    task = await core.watch.get(ME, task_id)
    async for event in core.watch.follow(ME, task_id):
        if event is None or event.kind != EventKind.ASKED:
            continue
        # What was done in a life before this one is refused now.
        with suppress(IllegalMove):
            if task.agent_id == "held":
                await core.tasks.cancel(ME, task_id)
            else:
                await core.tasks.answer(ME, task_id, str(event.data["path"]), "yes")
    task = await core.watch.get(ME, task_id)
    if task.agent_id == "broken" and task.status is Status.FAILED:
        with suppress(IllegalMove):
            await core.tasks.retry(ME, task_id)
        await attend(core, task_id)


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for line in sys.stdin:
        plan = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.environ["CHARGEHAND_FAIL_POINT"] = plan["point"]
            failpoint.arm(plan["point"])
            asyncio.run(one_life(plan["orders"]))
            os._exit(0)
        say(f"life {pid}")
        _, status = os.waitpid(pid, 0)
        say(f"ended {-signal.SIGKILL if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
