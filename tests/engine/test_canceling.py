"""A cancel of the caller: heard at any moment, by agents that would rather not hear it too."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from chargehand.domain.task import Status
from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from tests import given
from tests.gate import Gate, until_entered
from tests.given import ME
from tests.invariants import violations

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def test_a_running_task_that_is_canceled_is_cut_off(tmp_path: Path, gate: Gate) -> None:
    async with given.a_core(tmp_path, playbooks={"gated": gate.playbook}) as core:
        task = await given.a_task(core, "gated")
        await until_entered(gate)

        assert await core.tasks.cancel(ME, task.id) == "requested"

        ended = await given.ended(core, task)
        assert (ended.status, ended.reason) == (Status.CANCELED, "canceled_by_caller")
        assert await core.tasks.cancel(ME, task.id) == "confirmed"
        assert violations(core.settings.database_path) == []


async def test_canceling_while_an_attempt_is_stopping_does_not_disturb_it(tmp_path: Path) -> None:
    entered, cleaned = asyncio.Event(), asyncio.Event()

    async def slow_to_clean(ctx: PlaybookContext) -> JsonValue:
        async def work() -> JsonValue:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.1)
                cleaned.set()
            return None

        return await ctx.once("work", work)

    async with given.a_core(tmp_path, playbooks={"slow": slow_to_clean}) as core:
        task = await given.a_task(core, "slow")
        async with asyncio.timeout(given.LIMIT_SECONDS):
            await entered.wait()

        await asyncio.gather(*(core.tasks.cancel(ME, task.id) for _ in range(5)))

        assert (await given.ended(core, task)).status is Status.CANCELED
        assert cleaned.is_set()


async def test_an_agent_that_swallows_its_cancel_begins_nothing_more(tmp_path: Path, gate: Gate) -> None:
    begun: list[str] = []

    async def stubborn(ctx: PlaybookContext) -> JsonValue:
        for number in range(5):
            try:
                await ctx.once("gate", gate.step)
            except BaseException:  # noqa: BLE001 - what is under test
                begun.append(f"swallowed {number}")
        await ctx.once("last", lambda: begun.append("last"))
        return "done"

    async with given.a_core(tmp_path, playbooks={"stubborn": stubborn}) as core:
        task = await given.a_task(core, "stubborn")
        await until_entered(gate)

        await core.tasks.cancel(ME, task.id)

        assert (await given.ended(core, task)).status is Status.CANCELED
        assert gate.calls == 1
        assert "last" not in begun


async def test_an_agent_that_answers_its_cancel_with_a_result_is_canceled(tmp_path: Path, gate: Gate) -> None:
    async def stubborn(ctx: PlaybookContext) -> JsonValue:
        with suppress(BaseException):
            await ctx.once("gate", gate.step)
        return "done"

    async with given.a_core(tmp_path, playbooks={"stubborn": stubborn}) as core:
        task = await given.a_task(core, "stubborn")
        await until_entered(gate)

        await core.tasks.cancel(ME, task.id)

        ended = await given.ended(core, task)
        assert (ended.status, ended.result) == (Status.CANCELED, None)


def leave_a_cancel_behind() -> None:
    """As a time-out in the style from before Python 3.11 does: it cancels the task, and never takes that back."""
    current = asyncio.current_task()
    assert current is not None
    current.cancel()


async def test_an_agent_that_cancels_its_own_work_for_a_time_out_is_not_canceled(tmp_path: Path) -> None:
    async def impatient(ctx: PlaybookContext) -> JsonValue:
        leave_a_cancel_behind()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return "done"

    async with given.a_core(tmp_path, playbooks={"impatient": impatient}) as core:
        ended = await given.ended(core, await given.a_task(core, "impatient"))

        assert (ended.status, ended.result) == (Status.COMPLETED, "done")


async def test_a_step_after_a_cancel_of_the_agents_own_fails_the_attempt_and_does_not_go_on_for_ever(
    tmp_path: Path,
) -> None:
    async def impatient(ctx: PlaybookContext) -> JsonValue:
        leave_a_cancel_behind()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return await ctx.once("step", lambda: None)

    async with given.a_core(tmp_path, playbooks={"impatient": impatient}) as core:
        await given.an_agent(core, "impatient", playbook="impatient", attempts=2)
        ended = await given.ended(core, await given.a_task(core, "impatient"))

        assert (ended.status, ended.reason, ended.attempt) == (Status.FAILED, "agent_error", 2)
        assert "canceled its own work" in str(ended.error)


async def test_an_agent_that_swallows_its_deadline_has_run_out_of_time(tmp_path: Path) -> None:
    async def stubborn(ctx: PlaybookContext) -> JsonValue:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return "done"

    async with given.a_core(tmp_path, playbooks={"stubborn": stubborn}) as core:
        task = await given.a_task(core, "stubborn", timeout_seconds=1)

        ended = await given.ended(core, task)
        assert (ended.status, ended.reason) == (Status.FAILED, "timeout")


async def noop(ctx: PlaybookContext) -> JsonValue:
    return ctx.data


async def test_canceling_at_every_moment_of_short_lives_ends_each_task_once(tmp_path: Path) -> None:
    async def parent(ctx: PlaybookContext) -> JsonValue:
        await ctx.once("a", lambda: None)
        await ctx.delegate(*[Delegation(agent_id="noop", task_data={}, labels={})] * 2)
        await ctx.sleep(0)
        return "done"

    async with given.a_core(tmp_path, playbooks={"parent": parent, "noop": noop}, slots=3) as core:

        async def live(delay: float) -> Status:
            task = await given.a_task(core, "parent")
            await asyncio.sleep(delay)
            try:
                await core.tasks.cancel(ME, task.id)
            except Exception as error:  # noqa: BLE001 - it was quicker
                assert "only an open task can be canceled" in str(error)  # noqa: PT017 - only if it was
            return (await given.ended(core, task)).status

        ends = await asyncio.gather(*(live(number * 0.004) for number in range(60)))

        assert set(ends) <= {Status.CANCELED, Status.COMPLETED}
        assert Status.CANCELED in ends

        async def nothing_is_open() -> bool:
            return not (await core.watch.counts()).keys() & {"pending", "running", "waiting"}

        await given.eventually(nothing_is_open)
        assert violations(core.settings.database_path) == []
