"""Playbooks: replayed from the journal, checked against it, and told what went wrong."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core
from chargehand.domain.history import EventKind, StepStatus
from chargehand.domain.task import Status, Task
from chargehand.domain.values import JsonValue
from chargehand.runtimes.base import AgentFailure
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from tests import given
from tests.given import ME, Effects, TestClock
from tests.invariants import violations

pytestmark = pytest.mark.usefixtures("database")


def order(agent_id: str, **data: JsonValue) -> Delegation:
    return Delegation(agent_id=agent_id, task_data=data, labels={})


async def run(folder: Path, body: given.PlaybookBody, data: Any = None, **options: Any) -> Task:
    """The task of a playbook `it`, ended."""
    async with given.a_core(folder, playbooks={"it": body}, **options) as core:
        ended = await given.ended(core, await given.a_task(core, "it", data))
        assert violations(core.settings.database_path) == []
        return ended


def message(task: Task) -> str:
    assert task.error is not None
    return str(task.error["message"])


async def paused(core: Core, task: Task, *, count: int = 1) -> None:
    """Wait until the task waits, then let it go on: the next attempt replays what is recorded."""
    await given.event(core, task, EventKind.WAITING, count=count)


async def test_a_result_is_the_tasks_result(tmp_path: Path) -> None:
    async def it(ctx: PlaybookContext) -> JsonValue:
        return {"got": ctx.data["n"], "round": ctx.round, "failures": len(ctx.failures)}

    assert (await run(tmp_path, it, {"n": 7})).result == {"got": 7, "round": 0, "failures": 0}


async def test_time_chance_and_ids_stay_the_same_on_every_replay(tmp_path: Path) -> None:
    seen: list[tuple[object, ...]] = []

    async def it(ctx: PlaybookContext) -> JsonValue:
        seen.append((await ctx.now(), await ctx.random(), await ctx.new_id()))
        await ctx.sleep(1)
        seen.append((await ctx.now(), await ctx.random(), await ctx.new_id()))
        await ctx.sleep(1)
        return None

    clock = TestClock()
    async with given.a_core(tmp_path, playbooks={"it": it}, clock=clock) as core:
        task = await given.a_task(core, "it")
        for count in (1, 2):
            await given.event(core, task, EventKind.WAITING, count=count)
            clock.advance(1)
        await given.ended(core, task)

    first, again, later, last_of_first, last = seen
    assert first == again == last_of_first
    assert later == last != first


async def test_a_finished_step_is_not_run_again(tmp_path: Path) -> None:
    effects = Effects(tmp_path / "effects")
    clock = TestClock()

    async def it(ctx: PlaybookContext) -> JsonValue:
        for number in range(4):
            await ctx.once(f"step-{number}", lambda n=number: effects.leave(str(n)))
            await ctx.report(f"did {number}")
            await ctx.sleep(1)
        return None

    async with given.a_core(tmp_path, playbooks={"it": it}, clock=clock) as core:
        task = await given.a_task(core, "it")
        for count in range(1, 5):
            await given.event(core, task, EventKind.WAITING, count=count)
            clock.advance(1)
        assert (await given.ended(core, task)).attempt == 5

        assert effects.marks() == ["0", "1", "2", "3"]
        assert (await given.kinds(core, task)).count("task.progress") == 4


@pytest.mark.parametrize(
    ("before", "after", "held", "asked"),
    [
        (("once", "a"), ("once", "b"), "value a {}", "value b {}"),
        (("sleep", 0), ("once", "a"), 'timer sleep {"seconds":0}', "value a {}"),
        (("sleep", 0), ("sleep", 0.5), 'timer sleep {"seconds":0}', 'timer sleep {"seconds":0.5}'),
        (("ask", "Red?"), ("ask", "Blue?"), '"question":"Red?"', '"question":"Blue?"'),
        (
            ("delegate", 1),
            ("delegate", 2),
            'delegation noop {"orders":[{"agent_id":"noop","task_data":{"n":1}}]}',
            '"n":2',
        ),
    ],
)
async def test_a_replay_that_takes_another_way_is_an_error_that_names_both(
    tmp_path: Path, before: tuple[str, Any], after: tuple[str, Any], held: str, asked: str
) -> None:
    attempts: list[int] = []
    clock = TestClock()

    async def step(ctx: PlaybookContext, kind: str, what: Any) -> None:
        match kind:
            case "once":
                await ctx.once(what, lambda: None)
            case "sleep":
                await ctx.sleep(what)
            case "ask":
                await ctx.ask(what)
            case _:
                await ctx.delegate(order("noop", n=what))

    async def it(ctx: PlaybookContext) -> JsonValue:
        attempts.append(1)
        await step(ctx, *(before if len(attempts) == 1 else after))
        await ctx.sleep(60)
        return None

    async def noop(ctx: PlaybookContext) -> JsonValue:
        return ctx.data

    async with given.a_core(tmp_path, playbooks={"it": it, "noop": noop}, clock=clock) as core:
        task = await given.a_task(core, "it")
        await given.event(core, task, EventKind.WAITING)
        if before[0] == "ask":
            await core.tasks.answer(ME, task.id, "0/0", "yes")
        clock.advance(60)
        ended = await given.ended(core, task)

    assert (ended.status, ended.reason) == (Status.FAILED, "journal_mismatch")
    assert "step 0/0 of task" in message(ended)
    assert f"the journal holds {held}" in message(ended) or held in message(ended)
    assert asked in message(ended).partition("the replay asks for")[2]


async def test_together_runs_branches_at_once_and_keeps_their_steps_apart(tmp_path: Path) -> None:
    both_entered = asyncio.Barrier(2)

    async def branch(ctx: PlaybookContext) -> str:
        await ctx.once("meet", lambda: _pass(both_entered))
        return str(await ctx.once("name", lambda: "x"))

    async def _pass(barrier: asyncio.Barrier) -> JsonValue:
        async with asyncio.timeout(given.LIMIT_SECONDS):
            await barrier.wait()
        return None

    async def it(ctx: PlaybookContext) -> JsonValue:
        before = await ctx.once("before", lambda: 1)
        both: list[JsonValue] = list(await ctx.together(branch, branch))
        return [before, both, await ctx.once("after", lambda: 2)]

    async with given.a_core(tmp_path, playbooks={"it": it}) as core:
        task = await given.ended(core, await given.a_task(core, "it"))

        assert task.result == [1, ["x", "x"], 2]
        paths = sorted(step.path for step in await core.watch.steps(ME, task.id))
        assert paths == ["0/0", "0/1.0.0", "0/1.0.1", "0/1.1.0", "0/1.1.1", "0/2"]


async def test_together_nests_and_waits_for_everything_that_its_branches_wait_for(tmp_path: Path) -> None:
    clock = TestClock()
    effects = Effects(tmp_path / "effects")

    async def asking(ctx: PlaybookContext) -> JsonValue:
        return await ctx.ask("Which?")

    async def sleeping(ctx: PlaybookContext) -> JsonValue:
        await ctx.sleep(10)
        return "slept"

    async def delegating(ctx: PlaybookContext) -> JsonValue:
        return await ctx.must_delegate(order("noop"), order("noop"))

    async def busy(ctx: PlaybookContext) -> JsonValue:
        return await ctx.once("busy", lambda: effects.leave("busy"))

    async def nested(ctx: PlaybookContext) -> JsonValue:
        return list(await ctx.together(sleeping, delegating, busy))

    async def it(ctx: PlaybookContext) -> JsonValue:
        return list(await ctx.together(asking, nested))

    async def noop(ctx: PlaybookContext) -> JsonValue:
        return "child"

    async with given.a_core(tmp_path, playbooks={"it": it, "noop": noop}, clock=clock) as core:
        task = await given.a_task(core, "it")
        question = await given.event(core, task, EventKind.ASKED)
        await given.event(core, task, EventKind.CHILD_FINISHED, count=2)
        await core.tasks.answer(ME, task.id, str(question.data["path"]), "red")

        async def waits_for_the_timer() -> bool:
            now = await core.watch.get(ME, task.id)
            return now.status is Status.WAITING and now.reason == "timer"

        await given.eventually(waits_for_the_timer)
        clock.advance(10)

        assert (await given.ended(core, task)).result == ["red", ["slept", ["child", "child"], None]]
        assert effects.marks() == ["busy"]
        assert violations(core.settings.database_path) == []


async def test_one_failing_branch_fails_the_task_and_cuts_the_others_off(tmp_path: Path) -> None:
    cut = asyncio.Event()

    async def stuck(ctx: PlaybookContext) -> None:
        async def forever() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cut.set()

        await ctx.once("forever", forever)

    async def breaking(ctx: PlaybookContext) -> None:
        await ctx.once("first", lambda: None)
        raise AgentFailure("one branch broke")

    async def it(ctx: PlaybookContext) -> JsonValue:
        await ctx.together(stuck, breaking)
        return None

    ended = await run(tmp_path, it)

    assert message(ended) == "one branch broke"
    assert cut.is_set()


async def test_a_stop_lets_the_steps_of_other_branches_end(tmp_path: Path) -> None:
    entered, may_go = asyncio.Event(), asyncio.Event()
    effects = Effects(tmp_path / "effects")

    async def slow(ctx: PlaybookContext) -> None:
        async def work() -> None:
            entered.set()
            await may_go.wait()
            effects.leave("slow")

        await ctx.once("slow", work)

    async def quick(ctx: PlaybookContext) -> None:
        async def wait_for_the_other() -> None:
            await entered.wait()
            asyncio.get_running_loop().call_later(0.05, may_go.set)

        await ctx.once("meet", wait_for_the_other)
        # The service stops about now: this step is not begun, and must not cut off the other branch's.
        await stopping.wait()
        await ctx.once("next", lambda: effects.leave("next"))

    async def it(ctx: PlaybookContext) -> JsonValue:
        await ctx.together(slow, quick)
        return "done"

    stopping = asyncio.Event()
    async with given.a_core(tmp_path, playbooks={"it": it}) as core:
        task = await given.a_task(core, "it")
        async with asyncio.timeout(given.LIMIT_SECONDS):
            await entered.wait()
        asyncio.get_running_loop().call_later(0.01, stopping.set)
    async with given.a_core(tmp_path, playbooks={"it": it}) as core:
        assert (await given.ended(core, task)).result == "done"

    assert sorted(effects.marks()) == ["next", "slow"]


async def test_a_wait_is_not_swallowed_by_an_agent_that_catches_every_exception(tmp_path: Path) -> None:
    async def it(ctx: PlaybookContext) -> JsonValue:
        try:
            return await ctx.ask("Which?")
        except Exception:  # noqa: BLE001 - what is under test
            return "swallowed"

    async with given.a_core(tmp_path, playbooks={"it": it}) as core:
        task = await given.a_task(core, "it")
        await given.event(core, task, EventKind.WAITING)
        await core.tasks.answer(ME, task.id, "0/0", "red")

        assert (await given.ended(core, task)).result == "red"


async def test_a_mismatch_is_not_swallowed_either(tmp_path: Path) -> None:
    clock = TestClock()
    attempts: list[int] = []

    async def it(ctx: PlaybookContext) -> JsonValue:
        attempts.append(1)
        try:
            await ctx.once(f"attempt-{len(attempts)}", lambda: None)
        except Exception:  # noqa: BLE001 - what is under test
            return "swallowed"
        await ctx.sleep(1)
        return "done"

    async with given.a_core(tmp_path, playbooks={"it": it}, clock=clock) as core:
        task = await given.a_task(core, "it")
        await given.event(core, task, EventKind.WAITING)
        clock.advance(1)

        assert (await given.ended(core, task)).reason == "journal_mismatch"


async def test_children_that_fail_are_told_to_the_parent_which_may_go_on(tmp_path: Path) -> None:
    async def it(ctx: PlaybookContext) -> JsonValue:
        good, bad = await ctx.delegate(order("child", fails=False), order("child", fails=True))
        return [good["status"], good["result"], bad["status"], bad["error"]]

    async def child(ctx: PlaybookContext) -> JsonValue:
        if ctx.data["fails"]:
            raise AgentFailure("no luck", details={"why": "bad day"})
        return "luck"

    async with given.a_core(tmp_path, playbooks={"it": it, "child": child}) as core:
        task = await given.ended(core, await given.a_task(core, "it"))

    error = {"reason": "agent_error", "message": "no luck", "details": {"why": "bad day"}}
    assert task.result == ["completed", "luck", "failed", error]


async def test_a_child_that_must_succeed_and_does_not_fails_its_parent_with_its_words(tmp_path: Path) -> None:
    async def it(ctx: PlaybookContext) -> JsonValue:
        return await ctx.must_delegate(order("child"))

    async def child(ctx: PlaybookContext) -> JsonValue:
        raise AgentFailure("no luck")

    async with given.a_core(tmp_path, playbooks={"it": it, "child": child}) as core:
        task = await given.ended(core, await given.a_task(core, "it"))

        [below] = await core.watch.children(ME, task.id)
    assert message(task) == f"child ({below.id}) failed: no luck"


async def test_delegating_to_nobody_is_answered_with_nothing(tmp_path: Path) -> None:
    async def it(ctx: PlaybookContext) -> JsonValue:
        orders: list[Delegation] = []
        await ctx.delegate(*orders)
        return await ctx.once("next", lambda: "done")

    assert (await run(tmp_path, it)).result == "done"


async def test_a_wait_that_is_over_when_it_is_reached_does_not_wait(tmp_path: Path) -> None:
    async def it(ctx: PlaybookContext) -> JsonValue:
        await ctx.sleep(0)
        await ctx.sleep(-5)
        return ctx.task.attempt

    assert (await run(tmp_path, it)).result == 1


@pytest.mark.parametrize(
    ("budget", "reached"),
    [({"steps": 3}, "3 steps"), ({"children": 2}, "2 children"), ({"depth": 1}, "1 deep")],
)
async def test_a_spent_budget_fails_the_task_that_would_overspend(
    tmp_path: Path, budget: dict[str, int], reached: str
) -> None:
    async def it(ctx: PlaybookContext) -> JsonValue:
        for number in range(3):
            await ctx.once(f"step-{number}", lambda: None)
        await ctx.must_delegate(order("below"))
        await ctx.must_delegate(order("noop"))
        await ctx.must_delegate(order("noop"))
        return "done"

    async def below(ctx: PlaybookContext) -> JsonValue:
        answers = await ctx.delegate(order("noop"))
        return answers[0]["status"]

    async def noop(ctx: PlaybookContext) -> JsonValue:
        return None

    async with given.a_core(tmp_path, playbooks={"it": it, "below": below, "noop": noop}) as core:
        await given.an_agent(core, "it", playbook="it", delegates=["below", "noop"], budget=budget)
        task = await given.ended(core, await given.a_task(core, "it"))

        assert task.status is Status.FAILED
        failed = given.rows(core, "SELECT reason, error FROM agent_tasks WHERE reason = 'budget_exhausted'")
        assert failed
        assert reached in failed[0][1]
        assert violations(core.settings.database_path) == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "object is not a JSON value"),
        ({1, 2}, "set is not a JSON value"),
        (b"bytes", "bytes is not a JSON value"),
        (float("nan"), "NaN"),
        ("\ud800", "surrogate"),
        ([[0] * 1000] * 1000, "more than 200000 values"),
    ],
)
async def test_results_that_are_no_json_fail_the_task_and_say_why(
    tmp_path: Path, value: Any, said: str
) -> None:
    async def returns(ctx: PlaybookContext) -> JsonValue:
        return value

    async def computes(ctx: PlaybookContext) -> JsonValue:
        return await ctx.once("it", lambda: value)

    for number, body in enumerate((returns, computes)):
        ended = await run(tmp_path / str(number), body)
        assert ended.status is Status.FAILED
        assert said in message(ended)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("a plain one"), "ValueError: a plain one"),
        (ValueError("nul \x00 and \ud800"), "ValueError: nul ? and ?"),
        (ValueError("x" * 10_000), "ValueError: " + "x" * (2000 - len("ValueError: "))),
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError(), "the agent canceled its own work"),
        (TimeoutError(), "the agent ran into a time-out of its own"),
        (StopAsyncIteration("over"), "StopAsyncIteration: over"),
        (AgentFailure("said so", details={"x": "\ud800"}), "said so"),
        (
            BaseExceptionGroup("many", [ValueError("one"), KeyError("two")]),
            "ExceptionGroup: many (2 sub-exceptions)",
        ),
    ],
)
async def test_whatever_an_agent_raises_fails_its_task_and_nothing_else(
    tmp_path: Path, error: BaseException, told: str
) -> None:
    async def it(ctx: PlaybookContext) -> JsonValue:
        raise error

    async def noop(ctx: PlaybookContext) -> JsonValue:
        return "fine"

    async with given.a_core(tmp_path, playbooks={"it": it, "noop": noop}) as core:
        ended = await given.ended(core, await given.a_task(core, "it"))
        assert (ended.status, ended.reason) == (Status.FAILED, "agent_error")
        assert message(ended) == told
        assert (await given.ended(core, await given.a_task(core, "noop"))).result == "fine"


async def test_a_step_whose_computation_raises_is_computed_again_when_the_task_is_tried_again(
    tmp_path: Path,
) -> None:
    tries: list[int] = []

    async def it(ctx: PlaybookContext) -> JsonValue:
        def sometimes() -> JsonValue:
            tries.append(1)
            if len(tries) < 3:
                raise ConnectionError("not yet")
            return "at last"

        return await ctx.once("it", sometimes)

    async with given.a_core(tmp_path, playbooks={"it": it}) as core:
        await given.an_agent(core, "it", playbook="it", attempts=3, retry_seconds=0)
        task = await given.ended(core, await given.a_task(core, "it"))

        assert task.result == "at last"
        assert [step.status for step in await core.watch.steps(ME, task.id)] == [StepStatus.DONE]
        assert violations(core.settings.database_path) == []


async def test_a_progress_report_that_no_reader_takes_fails_the_task(tmp_path: Path) -> None:
    async def it(ctx: PlaybookContext) -> JsonValue:
        await ctx.report("fine\x00", detail=float("inf"))
        return None

    assert "Infinity" in message(await run(tmp_path, it))


async def test_steps_can_be_as_many_as_the_budget_allows_in_one_together(tmp_path: Path) -> None:
    async def branch(ctx: PlaybookContext) -> int:
        return len(str(await ctx.once("x", lambda: "y")))

    async def it(ctx: PlaybookContext) -> JsonValue:
        return sum(await ctx.together(*[branch] * 300))

    assert (await run(tmp_path, it)).result == 300
