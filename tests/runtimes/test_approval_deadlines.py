"""A person's time is nobody's deadline: what the wait adds to a tree is given back, and takes nothing from others."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from chargehand.app.core import Core
from chargehand.domain.task import Status, Task
from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from tests import given
from tests.given import ME
from tests.runtimes.test_approvals import YES, asking, waiting_for

ASK_WRITE = "- {tool: Write, action: ask}\n"


@dataclass(slots=True)
class Crew:
    """`lead` hands work to `careful`, who must ask a person, and to `busy`, who does as the test says."""

    busy_runs: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    orders_more: bool = False

    async def lead(self, ctx: PlaybookContext) -> JsonValue:
        orders = [Delegation(agent_id=name, task_data={}, labels={}) for name in ("careful", "busy")]
        return list(await ctx.delegate(*orders))

    async def careful(self, ctx: PlaybookContext) -> JsonValue:
        await self.busy_runs.wait()
        return (await ctx.tool("Write", file_path="notes.txt", content="x")).content

    async def busy(self, ctx: PlaybookContext) -> JsonValue:
        self.busy_runs.set()
        await self.go_on.wait()
        if self.orders_more:
            return list(await ctx.delegate(Delegation(agent_id="quick", task_data={}, labels={})))
        return "done"

    async def quick(self, ctx: PlaybookContext) -> JsonValue:
        return (await ctx.tool("Write", file_path="more.txt", content="x")).content


@asynccontextmanager
async def at_work(folder: Path, crew: Crew, **options: Any) -> AsyncGenerator[Core, None]:
    books = {name: getattr(crew, name) for name in ("lead", "careful", "busy", "quick")}
    async with asking(folder, policy=ASK_WRITE, playbooks=books, **options) as core:
        yield core


async def child(core: Core, agent_id: str) -> Task:
    async def is_there() -> bool:
        return bool(given.rows(core, "SELECT id FROM agent_tasks WHERE agent_id = ?", agent_id))

    await given.eventually(is_there)
    [(task_id,)] = given.rows(core, "SELECT id FROM agent_tasks WHERE agent_id = ?", agent_id)
    return await core.watch.get(ME, task_id)


async def test_a_decision_takes_no_time_from_what_was_ordered_meanwhile(tmp_path: Path) -> None:
    crew, clock = Crew(orders_more=True), given.TestClock()
    async with at_work(tmp_path, crew, clock=clock) as core:
        await given.an_agent(core, "quick", playbook="quick", timeout_seconds=60)
        await given.a_task(core, "lead")
        [first] = await waiting_for(core, await child(core, "careful"))
        crew.go_on.set()
        [second] = await waiting_for(core, await child(core, "quick"))

        clock.advance(100)
        await core.approvals.decide(ME, first.id, YES)
        await core.approvals.decide(ME, second.id, YES)

        quick = await given.ended(core, await child(core, "quick"))
        assert (quick.status, quick.reason) == (Status.COMPLETED, None)
        assert quick.deadline_at is not None
        assert quick.deadline_at >= clock.now() + timedelta(seconds=60)


async def test_an_attempt_that_runs_while_a_person_is_waited_for_has_that_time_too(tmp_path: Path) -> None:
    crew = Crew()
    async with at_work(tmp_path, crew) as core:
        deadline, careful_waits = core.attempts.deadline, asyncio.Event()

        async def noting(task: Task) -> Any:
            await careful_waits.wait()
            found = await deadline(task)
            crew.go_on.set()
            return found

        core.attempts.deadline = noting  # type: ignore[method-assign]  # pyright: ignore[reportAttributeAccessIssue] - the moment when the old deadline is over cannot be met otherwise
        await given.a_task(core, "lead", timeout_seconds=1)
        await waiting_for(core, await child(core, "careful"))
        careful_waits.set()

        busy = await given.ended(core, await child(core, "busy"))

        assert (busy.status, busy.result) == (Status.COMPLETED, "done")
