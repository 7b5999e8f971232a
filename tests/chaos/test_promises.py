"""The promises of tests/promises.py can be asked, and can be broken, on each kind of database in its own words."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chargehand.service.journal import Delegation
from tests import databases, given
from tests.given import a_core, a_task, ended
from tests.promises import PROMISES, rules

BREACHES = {
    "a tree's budget is what its tasks have used, and never more than the limit": (
        "UPDATE agent_tasks SET steps_spent = 9999999 WHERE parent_id IS NULL"
    ),
    "a child's step tells of it": "UPDATE task_events SET data = '{}' WHERE kind = 'task.delegated'",
    "a step is finished once": "UPDATE task_events SET kind = 'step.finished' WHERE kind = 'step.started'",
    "a task's events are numbered from 1 without a gap, and its row knows the last number": (
        "DELETE FROM task_events WHERE sequence = 2"
    ),
    "an event belongs to a task": "UPDATE task_events SET task_id = 'nobody' WHERE kind = 'task.delegated'",
    "a task ends once, and once more each time that it was reopened": (
        "UPDATE task_events SET kind = 'task.failed' WHERE sequence = 1"
    ),
    "the last event of an ended task is its end": "UPDATE agent_tasks SET last_event = 1",
}


async def leaf(ctx: given.PlaybookContext) -> None:
    await ctx.once("value", lambda: None)


async def tree(ctx: given.PlaybookContext) -> None:
    await ctx.must_delegate(Delegation(agent_id="leaf", task_data={}, labels={}))
    await leaf(ctx)


class Asked:
    """A database to ask and to change."""

    def __init__(self, kind: str, file: Path) -> None:
        self.kind, self.file = kind, file

    def change(self, statement: str) -> None:
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.file)) as connection:
                connection.execute(statement)
                connection.commit()
        else:
            databases.execute(os.environ[databases.VARIABLE], statement)

    def broken(self) -> set[str]:
        return {promise for promise, statement in rules(self.kind) if self._found(statement)}

    def _found(self, statement: str) -> object:
        if self.kind == "sqlite":
            return given.query(self.file, statement)
        return databases.found(os.environ[databases.VARIABLE], statement)


async def an_ended_tree(folder: Path, kind: str) -> Asked:
    async with a_core(folder, playbooks={"leaf": leaf, "tree": tree}) as core:
        await ended(core, await a_task(core, "tree"))
        return Asked(kind, core.settings.database_path)


async def test_an_ended_tree_keeps_every_promise(tmp_path: Path, database: str) -> None:
    asked = await an_ended_tree(tmp_path, database)

    assert asked.broken() == set()


@pytest.mark.parametrize("promise", BREACHES, ids=lambda promise: promise[:40])
async def test_a_breach_is_found_by_its_promise(tmp_path: Path, database: str, promise: str) -> None:
    asked = await an_ended_tree(tmp_path, database)

    asked.change(BREACHES[promise])

    assert promise in asked.broken()


def test_no_mark_is_left_in_a_statement() -> None:
    for kind in databases.KINDS:
        assert len(rules(kind)) == len(PROMISES)
        for _, statement in rules(kind):
            assert not re.search(r"json_number|json_text|holds\(", statement)
