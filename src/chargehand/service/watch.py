"""Reads: a task, lists, events, the journal, deliverables; and waiting for what comes next.

Rule: whoever waits reads the rows again after each hint and at the latest after POLL_SECONDS (POLL_ALONE_SECONDS
while other processes may write and no hint of theirs can come), so a lost hint costs time, never truth.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import orjson

from chargehand.domain.access import Principal, Scope
from chargehand.domain.deliverable import Deliverable
from chargehand.domain.history import Event, Step
from chargehand.domain.task import FINAL, Status, Task
from chargehand.domain.values import JsonObject
from chargehand.errors import DeliverableNotFound, InvalidCursor
from chargehand.service.pages import Page, check_limit, check_status, page_of
from chargehand.service.visibility import not_found
from chargehand.store import deliverables, history, tasks
from chargehand.store.blobs import Blobs
from chargehand.store.database import Database
from chargehand.store.group import SharedRead
from chargehand.store.signals import Heard, Signals

POLL_SECONDS = 5.0
POLL_ALONE_SECONDS = 1.0
EVENT_BATCH = 500
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of what a model is saying: `data` has the step's `path` and `text`, `thinking` or `restart`."""

    task_id: str
    data: JsonObject


class Watch:
    """What can be read, by those who may."""

    def __init__(self, db: Database, blobs: Blobs, signals: Signals, *, has_others: bool = False) -> None:
        """`has_others`: other processes may work on the same database."""
        self._db = db
        self._blobs = blobs
        self._signals = signals
        self._has_others = has_others
        self._one = SharedRead[tuple[str, str], Task | None](self._get_group)

    @property
    def _poll_seconds(self) -> float:
        alone = self._has_others and not self._signals.bus.is_connected
        return POLL_ALONE_SECONDS if alone else POLL_SECONDS

    async def get(self, who: Principal, task_id: str) -> Task:
        """One task; TaskNotFound also when it is another tenant's."""
        who.require(Scope.TASKS_READ)
        task = await self._one((who.tenant, task_id)) if _UUID.fullmatch(task_id) else None
        if task is None:
            raise not_found(task_id)
        if who.agents is not None:
            root = task if task.id == task.root_id else await self._one((who.tenant, task.root_id))
            if root is None or not who.sees(root.agent_id):
                raise not_found(task_id)
        return task

    async def _get_group(self, wanted: Sequence[tuple[str, str]]) -> Sequence[Task | None]:
        """Of each tenant the tasks of these ids, as (tenant, id)."""
        found: dict[tuple[str, str], Task] = {}
        async with self._db.glance() as tx:
            for tenant in {one for one, _ in wanted}:
                some = await tasks.get_of(tx, tenant, {task_id for one, task_id in wanted if one == tenant})
                found |= {(tenant, task_id): task for task_id, task in some.items()}
        return [found.get(one) for one in wanted]

    async def page(
        self,
        who: Principal,
        *,
        agent_id: str | None = None,
        status: str | None = None,
        parent_id: str | None = None,
        context_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Task, str]:
        """Tasks, newest first, narrowed by what is given."""
        who.require(Scope.TASKS_READ)
        check_limit(limit)
        check_status(status, Status)
        filters = {"agent_id": agent_id, "status": status, "parent_id": parent_id, "context_id": context_id}
        before = None if cursor is None else _read_cursor(cursor)
        async with self._db.read(who.tenant) as tx:
            found = await tasks.page(
                tx,
                tenant=who.tenant,
                filters=filters,
                labels=labels or {},
                before=before,
                limit=limit + 1,
                agents=who.agents,
            )
        return page_of(found, limit, lambda task: _cursor(task.id))

    async def children(self, who: Principal, task_id: str) -> list[Task]:
        """A task's children, oldest first."""
        await self.get(who, task_id)
        async with self._db.read(who.tenant) as tx:
            return await tasks.children(tx, task_id)

    async def steps(self, who: Principal, task_id: str) -> list[Step]:
        """A task's journal, in the order in which the steps began."""
        await self.get(who, task_id)
        async with self._db.read(who.tenant) as tx:
            return await history.steps(tx, task_id)

    async def events(
        self, who: Principal, task_id: str, *, after: int = 0, limit: int = EVENT_BATCH
    ) -> list[Event]:
        """A task's events after a sequence number."""
        await self.get(who, task_id)
        check_limit(limit, EVENT_BATCH)
        return await self._events(who, task_id, after, limit)

    async def _events(
        self, who: Principal, task_id: str, after: int, limit: int = EVENT_BATCH
    ) -> list[Event]:
        async with self._db.glance(who.tenant) as tx:
            return await history.events_after(tx, task_id, after, limit=limit)

    async def follow(
        self, who: Principal, task_id: str, *, after: int = 0
    ) -> AsyncGenerator[Event | None, None]:
        """Events after a sequence number, as they come, to the one that ends the task.

        Yields None when a poll found none, so that the caller can show that it is alive. A task
        that was ended and reopened goes on after its earlier end.
        """
        async with aclosing(self.follow_live(who, task_id, after=after, with_deltas=False)) as events:
            async for event in events:
                if not isinstance(event, Delta):
                    yield event

    async def follow_live(
        self, who: Principal, task_id: str, *, after: int = 0, with_deltas: bool = True
    ) -> AsyncGenerator[Event | Delta | None, None]:
        """As `follow`, and between the events what a model is saying just now, which is kept nowhere."""
        await self.get(who, task_id)
        may_have_come = True
        with self._signals.listen(task_id, takes_said=with_deltas) as heard:
            while True:
                heard.clear()
                # Before the rows: what was said of an answer is old once its step has ended.
                for told in heard.said():
                    yield Delta(task_id, told)
                if may_have_come:
                    batch = await self._events(who, task_id, after)
                    for event in batch:
                        after = event.sequence
                        yield event
                    may_have_come = len(batch) == EVENT_BATCH
                    continue
                # Many that wait share one look at their tasks' rows; only where those tell of more are events read.
                task = await self.get(who, task_id)
                if task.last_event > after:
                    may_have_come = True
                    continue
                if task.status in FINAL:
                    return
                async with aclosing(self._until_rows_change(heard, task_id)) as meanwhile:
                    async for one in meanwhile:
                        yield one
                may_have_come = heard.rows_changed

    async def _until_rows_change(self, heard: Heard, task_id: str) -> AsyncGenerator[Delta | None, None]:
        """What is said until the rows are to be read again; None when nothing came for as long as a poll takes."""
        while not heard.rows_changed:
            if not await _heard(heard, self._poll_seconds):
                yield None
                return
            if not heard.rows_changed:
                heard.clear()
                for told in heard.said():
                    yield Delta(task_id, told)

    async def wait(self, who: Principal, task_id: str, seconds: float) -> Task:
        """The task as soon as it has ended, or as it stands after so many seconds."""
        with self._signals.listen(task_id) as heard:
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        heard.clear()
                        task = await self.get(who, task_id)
                        if task.status in FINAL:
                            return task
                        await _heard(heard, self._poll_seconds)
            except TimeoutError:
                return await self.get(who, task_id)

    async def deliverables(self, who: Principal, task_id: str) -> list[Deliverable]:
        """What a task has delivered, with the evidence."""
        await self.get(who, task_id)
        async with self._db.read(who.tenant) as tx:
            return await deliverables.of_task(tx, task_id)

    async def deliverable(self, who: Principal, task_id: str, name: str) -> Deliverable:
        """One deliverable by name."""
        found = await self.deliverables(who, task_id)
        for one in found:
            if one.name == name:
                return one
        stored = ", ".join(one.name for one in found) or "none yet"
        raise DeliverableNotFound(f"task {task_id} has no deliverable {name[:64]!r}; stored: {stored}")

    async def content(self, digest: str) -> bytes:
        """The bytes of a deliverable's file, by a hash that `deliverable` gave."""
        return await self._blobs.get(digest)

    async def counts(self) -> dict[str, int]:
        """How many tasks stand where, in all tenants; for the operator."""
        async with self._db.read() as tx:
            return await tasks.count_by_status(tx)


async def _heard(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _cursor(task_id: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"before": task_id})).rstrip(b"=").decode()


def _read_cursor(cursor: str) -> str:
    """The id that a cursor stands for; InvalidCursor for anything this service did not make."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        loaded: Any = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        before = cast("dict[str, Any]", loaded)["before"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        before = None
    if not isinstance(before, str) or not _UUID.fullmatch(before):
        raise InvalidCursor("the cursor is not one that this list gave; start again without it")
    return before
