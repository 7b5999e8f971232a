"""A delegated task with a workspace of its own (`isolation: worktree`): its copy, and its changes back.

The copy is made by the first attempt, outside any transaction; the changes come back when the task completes, as a
step of its journal, so that they are applied once and the parent can be told.
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from chargehand.domain.history import StepKind, changes_path
from chargehand.domain.task import Task
from chargehand.domain.values import JsonValue
from chargehand.errors import ToolError, Unavailable
from chargehand.runtimes.base import AgentFailure, Hands
from chargehand.runtimes.delivery import PASSED_OVER
from chargehand.tools.own_workspace import bring_back, make_copy, read_base
from chargehand.tools.workspace import Quota, Workspace

Done = TypeVar("Done")


def has_own_workspace(task: Task) -> bool:
    """Whether the task works in a copy; a task at the root works in its own folder anyway."""
    return task.parent_id is not None and task.workspace_id == task.id


async def make_own_workspace(task: Task, shared: Path, folder: Path, quota: Quota) -> None:
    """Copy the shared workspace, unless an earlier attempt has. AgentFailure when it cannot be copied."""
    ended = threading.Event()

    def check() -> None:
        if ended.is_set():
            raise ToolError("the attempt has ended")

    def copy() -> None:
        shared.mkdir(parents=True, exist_ok=True)
        with Workspace(shared, quota=quota) as source:
            make_copy(source, folder, quota, check)

    try:
        await _to_the_end(copy, ended)
    except ToolError as error:
        raise AgentFailure(f"task {task.id} has no workspace of its own: {error.message}") from error
    except OSError as error:
        raise Unavailable(f"the workspace of task {task.id} cannot be copied: {error.strerror}") from error


async def bring_changes_back(hands: Hands, shared: Path, quota: Quota) -> None:
    """Apply what the task has changed to the shared workspace, once; conflicts are told, not settled."""
    folder = hands.tools.workspace.folder

    def apply() -> JsonValue:
        shared.mkdir(parents=True, exist_ok=True)
        with Workspace(shared, quota=quota) as target:
            return bring_back(
                hands.tools.workspace,
                target,
                read_base(folder),
                task_id=hands.task.id,
                passed_over=PASSED_OVER,
            ).as_data()

    async def work() -> JsonValue:
        return await _to_the_end(apply, threading.Event())

    path = changes_path(hands.task.round)
    await hands.steps.run(path, StepKind.VALUE, "changes", {}, work)


async def _to_the_end(work: Callable[[], Done], ended: threading.Event) -> Done:
    """Do it in a thread. A cancel sets `ended` and waits: no later attempt may meet the thread in the same folder."""
    running = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        ended.set()
        await asyncio.wait([running])
        raise
