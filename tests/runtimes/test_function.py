"""Functions: any callable, journaled as one step, wherever it blocks and whatever it returns or raises."""

import asyncio
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chargehand.app.core import Core, open_core
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.task import Status, Task
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import InvalidInput
from chargehand.runtimes.function import FunctionContext
from chargehand.settings import Settings
from tests import given
from tests.given import ME


async def run(folder: Path, function: Any, data: JsonObject | None = None, **options: Any) -> Task:
    async with given.a_core(folder, functions={"it": function}, **options) as core:
        return await given.ended(core, await given.a_task(core, "it", data))


def message(task: Task) -> str:
    assert task.error is not None
    return str(task.error["message"])


def plain(data: JsonObject) -> JsonValue:
    return {"got": data, "thread": threading.current_thread() is not threading.main_thread()}


async def coroutine(data: JsonObject) -> JsonValue:
    await asyncio.sleep(0)
    return {"got": data, "thread": threading.current_thread() is not threading.main_thread()}


class Callable:
    async def __call__(self, data: JsonObject) -> JsonValue:
        return await coroutine(data)


@pytest.mark.parametrize(
    ("function", "in_thread"),
    [
        (plain, True),
        (partial(plain), True),
        (coroutine, False),
        (partial(coroutine), False),
        (Callable(), False),
    ],
    ids=["def", "partial", "async def", "async partial", "async __call__"],
)
async def test_sync_callables_run_in_a_thread_and_async_ones_on_the_loop(
    tmp_path: Path, function: Any, in_thread: bool
) -> None:
    ended = await run(tmp_path, function, {"n": 1})

    assert ended.result == {"got": {"n": 1}, "thread": in_thread}


async def test_a_second_argument_gets_what_a_function_may_know(tmp_path: Path) -> None:
    def it(data: JsonObject, context: FunctionContext) -> JsonValue:
        del data
        return [
            context.task_id,
            context.context_id,
            dict(context.labels),
            context.round,
            list(context.failures),
        ]

    async with given.a_core(tmp_path, functions={"it": it}) as core:
        task = await given.a_task(core, "it", labels={"team": "blue"}, context_id="talk")

        assert (await given.ended(core, task)).result == [task.id, "talk", {"team": "blue"}, 0, []]


REPORT = {"name": "report", "path": "report.txt", "checks": [{"contains": "right"}]}


async def test_a_function_delivers_what_it_writes_and_repairs_what_its_checks_found_wrong(
    tmp_path: Path,
) -> None:
    def it(data: JsonObject, context: FunctionContext) -> JsonValue:
        del data
        wrong = [str(failure["check"]) for failure in context.failures]
        (context.workspace / "report.txt").write_text("right" if wrong else "?", encoding="utf-8")
        return list(wrong)

    async with given.a_core(tmp_path, functions={"it": it}) as core:
        await given.an_agent(core, "it", function="it", deliverables=[REPORT])
        task = await given.ended(core, await given.a_task(core, "it"))

        assert (task.status, task.result) == (Status.COMPLETED, ["right"])
        delivered = await core.watch.deliverable(ME, task.id, "report")
        assert await core.watch.content(delivered.sha256) == b"right"
        paths = [step.path for step in await core.watch.steps(ME, task.id) if step.kind is StepKind.TOOL]
        assert paths == ["0/0", "1/0"]


def returning(value: Any) -> Any:
    def it(data: JsonObject) -> Any:
        del data
        return value

    return it


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1, 2}, "function 'it' returned what is not JSON: set is not a JSON value"),
        (float("nan"), "NaN"),
        ([["x"] * 1000] * 1000, "more than 200000 values"),
    ],
)
async def test_what_is_no_json_fails_the_task(tmp_path: Path, value: Any, said: str) -> None:
    ended = await run(tmp_path, returning(value))

    assert (ended.status, ended.reason) == (Status.FAILED, "agent_error")
    assert said in message(ended)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("bad"), "ValueError: bad"),
        (StopIteration("over"), "RuntimeError: the function raised StopIteration('over')"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyError("\ud800"), "KeyError: '\\ud800'"),
    ],
)
@pytest.mark.parametrize("is_async", [True, False])
async def test_what_a_function_raises_fails_its_task_and_nothing_else(
    tmp_path: Path, error: BaseException, told: str, is_async: bool
) -> None:
    if is_async and isinstance(error, StopIteration):
        told = "RuntimeError: coroutine raised StopIteration"

    def sync(data: JsonObject) -> JsonValue:
        raise error

    async def with_await(data: JsonObject) -> JsonValue:
        raise error

    ended = await run(tmp_path, with_await if is_async else sync)

    assert ended.status is Status.FAILED
    assert message(ended) == told


async def test_more_functions_than_a_thread_pool_holds_block_at_once_without_blocking_others(
    tmp_path: Path,
) -> None:
    everyone_is_in = threading.Barrier(41)

    def blocks(data: JsonObject) -> JsonValue:
        everyone_is_in.wait(given.LIMIT_SECONDS)
        return "through"

    async with given.a_core(tmp_path, functions={"blocks": blocks, "plain": plain}, slots=50) as core:
        tasks = [await given.a_task(core, "blocks") for _ in range(40)]
        assert (await given.ended(core, await given.a_task(core, "plain"))).status is Status.COMPLETED

        await asyncio.to_thread(everyone_is_in.wait, given.LIMIT_SECONDS)

        assert [(await given.ended(core, task)).result for task in tasks] == ["through"] * 40


async def test_a_function_that_never_returns_does_not_hold_up_a_cancel_or_the_stop(tmp_path: Path) -> None:
    release = threading.Event()
    entered = threading.Event()

    def stuck(data: JsonObject) -> JsonValue:
        entered.set()
        release.wait()
        return None

    async with given.a_core(tmp_path, functions={"stuck": stuck}, shutdown_grace_seconds=0) as core:
        canceled, left = await given.a_task(core, "stuck"), await given.a_task(core, "stuck")
        await asyncio.to_thread(entered.wait, given.LIMIT_SECONDS)
        await core.tasks.cancel(ME, canceled.id)
        assert (await given.ended(core, canceled)).status is Status.CANCELED
    release.set()

    assert given.rows(core, "SELECT status FROM agent_tasks WHERE id = ?", left.id) == [("pending",)]


async def test_a_function_in_flight_when_its_worker_died_is_run_again_and_a_finished_one_is_not(
    tmp_path: Path,
) -> None:
    calls: list[str] = []

    def counted(data: JsonObject, context: FunctionContext) -> JsonValue:
        calls.append(str(data["name"]))
        (context.workspace / "report.txt").write_text("right", encoding="utf-8")
        return "now"

    async with given.a_core(tmp_path, functions={"it": counted}, with_engine=False) as core:
        await given.an_agent(core, "it", function="it", deliverables=[REPORT])
        names = ("in flight", "finished")
        in_flight, finished = [await given.a_running_task(core, "it", {"name": name}) for name in names]
        for task in (in_flight, finished):
            step = core.journal.new_step(task, "0/0", StepKind.TOOL, "function:it", {}, StepStatus.RUNNING)
            await core.journal.begin(task, step)
        await core.journal.end(finished, step, "then")
        workspace = core.settings.workspaces_dir / finished.id
        workspace.mkdir(parents=True)
        (workspace / "report.txt").write_text("right", encoding="utf-8")

    async with given.a_core(tmp_path, functions={"it": counted}) as core:
        assert (await given.ended(core, in_flight)).result == "now"
        assert (await given.ended(core, finished)).result == "then"
    assert calls == ["in flight"]


async def test_a_function_that_fails_is_tried_again_as_its_policy_says(tmp_path: Path) -> None:
    tries: list[int] = []

    def sometimes(data: JsonObject) -> JsonValue:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("not yet")
        return len(tries)

    async def tried(core: Core) -> Task:
        await given.an_agent(core, "it", function="it", attempts=3, retry_seconds=0)
        return await given.ended(core, await given.a_task(core, "it"))

    async with given.a_core(tmp_path, functions={"it": sometimes}) as core:
        assert (await tried(core)).result == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("greet", "is not of the form name=package.module:callable"),
        ("=package.module:greet", "is not of the form name="),
        ("greet=nowhere_at_all", "is not of the form package.module:function"),
        ("greet=nowhere_at_all:greet", "cannot be loaded: ModuleNotFoundError"),
        ("greet=falls_over:greet", "cannot be loaded: RuntimeError: while it was imported"),
    ],
)
async def test_a_callable_that_cannot_be_loaded_is_told_at_the_start_with_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    (tmp_path / "falls_over.py").write_text("raise RuntimeError('while it was imported')\n", "utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    with pytest.raises(InvalidInput, match=f"^CHARGEHAND_PLAYBOOKS: .*{told}"):
        async with open_core(Settings(data_dir=tmp_path / "data", playbooks=(text,)), with_engine=False):
            pass
