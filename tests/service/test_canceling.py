"""A cancel goes down the whole tree, is asked of who runs, and is told once."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from chargehand.app.core import Core
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.task import Canceled, Completed, Failed, Reason, Released, Status, Suspended, Task
from chargehand.errors import IllegalMove
from chargehand.service import endings
from chargehand.service.endings import Hints
from chargehand.service.journal import Delegation
from chargehand.service.ports import NoEngine
from chargehand.store import tasks
from chargehand.store.signals import Signals
from tests import given
from tests.given import ME
from tests.invariants import violations
from tests.service.test_tasks import BROKEN, a_waiting_tree, idle, stands, submit


@pytest_asyncio.fixture
async def core(tmp_path: Path) -> AsyncGenerator[Core, None]:
    async with given.a_core(tmp_path, playbooks={"one": idle}, with_engine=False) as opened:
        yield opened
        assert violations(opened.settings.database_path) == []


async def test_canceling_what_nobody_carries_is_confirmed_at_once(core: Core) -> None:
    task = await submit(core)

    assert await core.tasks.cancel(ME, task.id) == "confirmed"

    assert await stands(core, task) == (Status.CANCELED, "canceled_by_caller")
    assert await given.claimed(core) == {}
    assert await core.tasks.cancel(ME, task.id) == "confirmed"
    assert await given.kinds(core, task) == ["task.submitted", "task.canceled"]


async def test_canceling_goes_down_the_whole_tree_and_is_requested_of_those_who_run(core: Core) -> None:
    root, running, waiting = await a_waiting_tree(core)

    assert await core.tasks.cancel(ME, root.id) == "requested"

    assert (await stands(core, root))[0] is Status.CANCELED
    assert (await stands(core, waiting))[0] is Status.CANCELED
    assert (await stands(core, running))[0] is Status.RUNNING
    assert (await core.attempts.renew("worker-1", {running.id: 1}))[1] == {running.id}
    await core.attempts.finish(running, Canceled())
    assert (await stands(core, running))[0] is Status.CANCELED
    assert await core.tasks.cancel(ME, running.id) == "confirmed"
    assert (await given.kinds(core, root))[-1] == "task.canceled"


async def a_middle_that_waits(core: Core) -> tuple[Task, Task, Task]:
    """A waiting root, below it a waiting child, below that a running one."""
    root = await given.a_running_task(core, "one")
    middle = await a_delegated_one(core, root)
    return root, middle, await a_delegated_one(core, middle)


async def a_delegated_one(core: Core, parent: Task) -> Task:
    """A running child, for which its parent waits."""
    step = core.journal.new_step(parent, "0/0", StepKind.DELEGATION, "one", {}, StepStatus.OPEN)
    await core.journal.delegate(parent, step, [Delegation(agent_id="one", task_data={}, labels={})])
    [child] = (await given.claimed(core)).values()
    await core.attempts.finish(parent, Suspended(reason=Reason.CHILDREN))
    return child


async def test_what_runs_below_a_canceled_task_in_the_middle_is_seen_by_all_who_ask(core: Core) -> None:
    root, middle, lowest = await a_middle_that_waits(core)

    assert await core.tasks.cancel(ME, root.id) == "requested"
    assert await core.tasks.cancel(ME, root.id) == "requested"
    with pytest.raises(IllegalMove, match="still being stopped"):
        await core.tasks.retry(ME, root.id)

    assert (await stands(core, middle))[0] is Status.CANCELED
    await core.attempts.finish(lowest, Canceled())
    assert await core.tasks.cancel(ME, root.id) == "confirmed"


async def test_a_task_that_delegated_and_waits_since_it_was_found_takes_its_child_along(core: Core) -> None:
    root, middle, lowest = await a_middle_that_waits(core)
    await core.attempts.finish(lowest, Released())

    # As a transaction does that found the middle at work, and then waited for its row.
    async with core.db.write() as tx:
        found = (await tasks.get(tx, [middle.id])).values()
        await endings.cancel_all(tx, Hints(Signals(), NoEngine()), list(found), Reason.PARENT_ENDED)

    assert (await stands(core, lowest)) == (Status.CANCELED, "parent_ended")
    assert (await stands(core, root))[0] is Status.PENDING


async def test_a_cancel_that_is_repeated_is_told_once(core: Core) -> None:
    task = await given.a_running_task(core, "one")

    for _ in range(3):
        assert await core.tasks.cancel(ME, task.id) == "requested"

    assert (await given.kinds(core, task)).count("task.cancel_requested") == 1


async def test_a_child_that_is_canceled_alone_lets_its_parent_go_on(core: Core) -> None:
    root, running, waiting = await a_waiting_tree(core)
    await core.attempts.finish(running, Completed())

    await core.tasks.cancel(ME, waiting.id)

    assert await stands(core, root) == (Status.PENDING, None)


@pytest.mark.parametrize("outcome", [Completed(), BROKEN])
async def test_what_has_ended_otherwise_cannot_be_canceled(core: Core, outcome: Completed | Failed) -> None:
    task = await given.a_running_task(core, "one")
    await core.attempts.finish(task, outcome)

    with pytest.raises(IllegalMove, match="only an open task can be canceled"):
        await core.tasks.cancel(ME, task.id)
