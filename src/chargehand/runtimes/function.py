"""Functions: any Python callable that the operator registered, run as one unit of work.

A callable takes the task's data and, if it has a second argument, a FunctionContext. Async ones run on the
event loop, others in a thread. A function in flight when its worker dies is run again.
"""

import asyncio
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chargehand.domain.history import StepKind
from chargehand.domain.values import JsonObject, JsonValue, check_json
from chargehand.errors import InvalidInput, RuntimeMissing
from chargehand.runtimes.base import AgentFailure, Hands

MAX_RESULT_NODES = 200_000


@dataclass(frozen=True, slots=True)
class FunctionContext:
    """What a function may know of its task."""

    task_id: str
    context_id: str
    labels: Mapping[str, str]
    round: int
    failures: tuple[JsonObject, ...]
    """In a repair round: what the checks of the round before found wrong."""
    workspace: Path
    """Where deliverables are written. What stands there may come from an agent: read it, never run it."""


@dataclass(frozen=True, slots=True)
class FunctionRuntime:
    """Carries out agents of runtime `function`."""

    functions: Mapping[str, Callable[..., Any]]

    async def run(self, hands: Hands) -> JsonValue:
        """Call the function; what it returned is recorded before its deliverables are checked."""
        name = hands.definition.block.entry or ""
        function = self.function(name)

        async def work() -> JsonValue:
            result: object = await _call(function, hands)
            try:
                check_json(result, max_nodes=MAX_RESULT_NODES)
            except InvalidInput as error:
                raise AgentFailure(f"function {name!r} returned what is not JSON: {error.message}") from error
            return result  # pyright: ignore[reportReturnType] - check_json has just shown it to be JSON

        if not hands.definition.block.deliverables:
            # What it returned is recorded by the commit that completes the task; a step would say it twice.
            return await work()
        return await hands.steps.run(f"{hands.task.round}/0", StepKind.TOOL, f"function:{name}", {}, work)

    def function(self, name: str | None) -> Callable[..., Any]:
        """A registered function; RuntimeMissing names the ones that there are."""
        found = self.functions.get(name or "")
        if found is None:
            known = ", ".join(sorted(self.functions)) or "none"
            raise RuntimeMissing(
                f"there is no function {name!r}; registered: {known} (CHARGEHAND_FUNCTIONS adds)"
            )
        return found


async def _call(function: Callable[..., Any], hands: Hands) -> object:
    task = hands.task
    context = FunctionContext(
        task_id=task.id,
        context_id=task.context_id,
        labels=task.labels,
        round=task.round,
        failures=tuple(one.as_data() for one in hands.failures),
        workspace=hands.tools.workspace.folder,
    )
    arguments: list[object] = [task.task_data]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if sum(one.kind in positional for one in inspect.signature(function).parameters.values()) > 1:
        arguments.append(context)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return await function(*arguments)
    return await _in_thread(function, arguments)


async def _in_thread(function: Callable[..., Any], arguments: Sequence[object]) -> object:
    """Call a function in a thread of its own: one that never returns holds up neither others nor the stop."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[object] = loop.create_future()

    def settle(result: object, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def work() -> None:
        result: object = None
        fault: BaseException | None = None
        try:
            result = function(*arguments)
        except StopIteration as error:
            # No future can carry one.
            fault = RuntimeError(f"the function raised {error!r}")
        except BaseException as error:  # noqa: BLE001 - whatever it is, the attempt must hear of it
            fault = error
        # The loop is gone when the service stopped without waiting for this call.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, fault)

    threading.Thread(target=work, name=f"function {function!r:.60}", daemon=True).start()
    return await answer
