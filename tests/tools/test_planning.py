"""TodoWrite: the list is kept, replaced whole, and never believed when it is read."""

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from chargehand.domain.values import JsonObject
from chargehand.tools.base import ToolContext, call_tool
from tests.tools.conftest import TOOLS, Call

FIRST: JsonObject = {"content": "Write the tests", "status": "in_progress", "activeForm": "Writing the tests"}
SECOND: JsonObject = {"content": "Run them", "status": "pending"}


def kept(folder: Path) -> JsonObject:
    return json.loads((folder / ".chargehand" / "todo.json").read_bytes())["tasks"]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


async def test_the_list_is_kept_by_task_and_told(call: Call, folder: Path) -> None:
    result = await call("TodoWrite", todos=[FIRST, SECOND])

    assert result.content == "The list has 2 todos: 1 pending, 1 in progress, 0 completed."
    assert result.details["todos"] == [FIRST, {**SECOND, "activeForm": ""}]
    assert kept(folder) == {"task-1": result.details["todos"]}


async def test_a_new_list_replaces_the_one_before_and_leaves_other_tasks_alone(
    call: Call, context: ToolContext, folder: Path
) -> None:
    other = dataclasses.replace(context, task_id="task-2")

    await call("TodoWrite", todos=[FIRST, SECOND])
    await call_tool(TOOLS, other, "TodoWrite", {"todos": [SECOND]})
    await call("TodoWrite", todos=[])

    assert kept(folder) == {"task-1": [], "task-2": [{**SECOND, "activeForm": ""}]}


async def test_the_same_list_again_is_the_same_list(call: Call, folder: Path) -> None:
    await call("TodoWrite", todos=[FIRST])
    before = kept(folder)
    await call("TodoWrite", todos=[FIRST])

    assert kept(folder) == before


async def test_lists_that_tasks_write_at_once_are_all_kept(context: ToolContext, folder: Path) -> None:
    tasks = [dataclasses.replace(context, task_id=f"task-{number}") for number in range(6)]

    for _ in range(5):
        await asyncio.gather(*(call_tool(TOOLS, task, "TodoWrite", {"todos": [SECOND]}) for task in tasks))
        assert sorted(kept(folder)) == [task.task_id for task in tasks]
        (folder / ".chargehand" / "todo.json").unlink()


@pytest.mark.parametrize(
    "todo",
    [
        {"content": "", "status": "pending"},
        {"content": "x", "status": "done"},
        {"content": "x"},
        {"content": "x", "status": "pending", "owner": "me"},
        {"content": "x" * 1_001, "status": "pending"},
        "x",
    ],
)
async def test_a_todo_that_is_none_is_refused_by_its_place(
    call: Call, folder: Path, todo: JsonObject
) -> None:
    result = await call("TodoWrite", todos=[FIRST, todo])

    assert result.is_error
    assert "todos.1" in result.content
    assert names_in(folder) == []


async def test_a_list_that_is_too_long_is_refused(call: Call) -> None:
    assert (await call("TodoWrite", todos=[SECOND] * 101)).is_error


@pytest.mark.parametrize(
    "planted",
    [
        b"",
        b"{",
        b"[]",
        b'{"tasks": 5}',
        b'{"tasks": {"t": [{"content": "\\ud800"}]}}',
        b"[" * 100_000,
        b"\xff\x00",
    ],
)
async def test_a_file_that_a_command_planted_is_not_believed(
    call: Call, folder: Path, planted: bytes
) -> None:
    (folder / ".chargehand").mkdir()
    (folder / ".chargehand" / "todo.json").write_bytes(planted)

    assert not (await call("TodoWrite", todos=[FIRST])).is_error
    assert kept(folder) == {"task-1": [FIRST]}


async def test_a_link_in_the_place_of_the_file_is_replaced(call: Call, folder: Path, outside: Path) -> None:
    (folder / ".chargehand").mkdir()
    (folder / ".chargehand" / "todo.json").symlink_to(outside)

    assert not (await call("TodoWrite", todos=[FIRST])).is_error
    assert kept(folder) == {"task-1": [FIRST]}
    assert text_of(outside) == "the secret"


async def test_a_link_in_the_place_of_the_folder_is_refused(call: Call, folder: Path, outside: Path) -> None:
    (folder / ".chargehand").symlink_to(outside.parent)

    assert (await call("TodoWrite", todos=[FIRST])).is_error
    assert names_in(outside.parent) == ["secret.txt", "workspace"]
