"""TodoWrite: an agent's own list of what it means to do, shown to whoever watches the task.

Rule: the list in the call replaces the list before. Nothing is decided by the file, since a command in the
workspace could have written it.
"""

import asyncio
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from chargehand.domain.values import JsonValue
from chargehand.errors import ToolError
from chargehand.tools.base import AfterCrash, FunctionTool, Risk, ToolArguments, ToolContext, ToolResult
from chargehand.tools.disk_errors import FileChanged
from chargehand.tools.entries import MIB
from chargehand.tools.ledger import Stamp
from chargehand.tools.paths import SERVICE_FOLDER, LogicalPath
from chargehand.tools.workspace import Workspace

LISTS_FILE = LogicalPath((SERVICE_FOLDER, "todo.json"))
MAX_TODOS = 100
MAX_FILE_BYTES = 8 * MIB
WRITE_TRIES = 10


class TodoStatus(StrEnum):
    """How far a todo is."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


class Todo(ToolArguments):
    model_config = ConfigDict(populate_by_name=True)

    content: str = Field(min_length=1, max_length=1_000, description="What is to be done.")
    status: TodoStatus = Field(description="How far it is.")
    active_form: str = Field(
        default="", alias="activeForm", max_length=1_000, description="How to call it while it is being done."
    )


class TodoLists(ToolArguments):
    """The file: the lists of all tasks that work in this workspace, by task id."""

    version: Literal[1] = 1
    tasks: dict[str, list[Todo]] = Field(default_factory=dict[str, list[Todo]])


class TodoWriteArguments(ToolArguments):
    todos: list[Todo] = Field(max_length=MAX_TODOS, description="The whole list; it replaces the one before.")


async def _todo_write(context: ToolContext, arguments: TodoWriteArguments) -> ToolResult:
    await asyncio.to_thread(_keep, context.workspace, context.task_id, arguments.todos)
    counts = {status: sum(todo.status is status for todo in arguments.todos) for status in TodoStatus}
    told = ", ".join(f"{count} {status.value.replace('_', ' ')}" for status, count in counts.items())
    todos: list[JsonValue] = [todo.model_dump(mode="json", by_alias=True) for todo in arguments.todos]
    return ToolResult(content=f"The list has {len(todos)} todos: {told}.", details={"todos": todos})


def _keep(workspace: Workspace, task_id: str, todos: list[Todo]) -> None:
    for _ in range(WRITE_TRIES):
        is_missing = not workspace.exists(LISTS_FILE)
        lists, stamp = _lists(workspace)
        kept = TodoLists(tasks={**lists.tasks, task_id: todos})
        try:
            data = kept.model_dump_json(by_alias=True, indent=1).encode()
            workspace.write_bytes(LISTS_FILE, data, expected=stamp, only_new=is_missing and stamp is None)
        except FileChanged:
            continue
        return
    raise FileChanged("the list is being written by many tasks at once; try again")


def _lists(workspace: Workspace) -> tuple[TodoLists, Stamp | None]:
    """The lists of all tasks in this workspace. A file that is none of ours begins anew."""
    try:
        content = workspace.read_bytes(LISTS_FILE, max_bytes=MAX_FILE_BYTES)
    except ToolError:
        return TodoLists(), None
    try:
        return TodoLists.model_validate_json(content.data), content.stamp
    except ValidationError:
        return TodoLists(), content.stamp


PLAN = FunctionTool(
    name="TodoWrite",
    description=(
        "Keep a list of what you mean to do, for yourself and for those who watch. Send the whole list each"
        " time, with one todo in progress at most; mark each completed as soon as it is."
    ),
    arguments=TodoWriteArguments,
    # The list is the agent's own note: nobody need be asked before it is written.
    risk=Risk.READ,
    # The same list again is the same list.
    after_crash=AfterCrash.REPEAT,
    run=_todo_write,
)
