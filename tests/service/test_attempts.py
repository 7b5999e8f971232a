"""Attempts: what a worker may do with a task, and what becomes of it when several end at once."""

import asyncio
from pathlib import Path

import pytest

from chargehand.domain.history import EventKind, StepKind, StepStatus
from chargehand.domain.task import Completed, Failed, Reason, Released, Status, Suspended, TaskError
from chargehand.errors import LeaseLost
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from tests import given
from tests.given import ME


async def idle(ctx: PlaybookContext) -> None:
    del ctx


async def test_a_child_that_ends_in_the_same_commit_in_which_its_parent_suspends_wakes_it(
    tmp_path: Path,
) -> None:
    async with given.a_core(tmp_path, playbooks={"one": idle}, with_engine=False) as core:
        parent = await given.a_running_task(core, "one")
        step = core.journal.new_step(parent, "0/0", StepKind.DELEGATION, "one", {}, StepStatus.OPEN)
        await core.journal.delegate(parent, step, [Delegation(agent_id="one", task_data={}, labels={})])
        [child] = (await given.claimed(core)).values()

        await asyncio.gather(
            core.attempts.finish(parent, Suspended(reason=Reason.CHILDREN)),
            core.attempts.finish(child, Completed(result=1)),
        )

        assert (await core.watch.get(ME, parent.id)).status is Status.PENDING
