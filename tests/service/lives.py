"""A model of what workers, callers and clocks may do to tasks, in any order; test_lives.py plays it.

Whoever holds an attempt may act on it at any later time, also when it was taken over long ago. What the
service answers must agree with the row as plain SQL shows it, and after each act every promise must hold.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chargehand.app.core import Core
from chargehand.domain.history import EventKind, Step, StepKind, StepStatus
from chargehand.domain.task import (
    MAX_WORKER_LOSSES,
    Canceled,
    Completed,
    Failed,
    Outcome,
    Reason,
    Released,
    Suspended,
    Task,
    TaskError,
)
from chargehand.errors import BudgetExhausted, IllegalMove, LeaseLost
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from tests import given
from tests.databases import Looker, a_looker
from tests.given import ME, TestClock
from tests.promises import rules

LEASE_SECONDS = 30
BUDGET = {"steps": 12, "children": 6, "depth": 2}
TABLES = ("task_events", "task_steps", "task_labels", "idempotency_keys", "agent_tasks")

ALL = "SELECT id, last_event, status FROM agent_tasks ORDER BY id"


async def idle(ctx: PlaybookContext) -> None:
    del ctx


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One opened core for all examples: opening one takes longer than playing in it."""

    loop: asyncio.Runner
    core: Core
    clock: TestClock
    outside: Looker
    promises: Sequence[tuple[str, str]]


@contextmanager
def a_world(kind: str) -> Generator[World]:
    """On the database of this kind."""
    shared_memory = Path("/dev/shm")
    place = shared_memory if shared_memory.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder, asyncio.Runner() as loop:
        clock = TestClock()
        opened = given.a_core(
            Path(folder), playbooks={"one": idle}, clock=clock, with_engine=False, lease_seconds=LEASE_SECONDS
        )
        core = loop.run(opened.__aenter__())
        try:
            loop.run(
                given.an_agent(
                    core, "one", playbook="one", delegates=["one"], budget=BUDGET, attempts=2, retry_seconds=5
                )
            )
            with a_looker(kind, core.settings.database_path) as outside:
                yield World(loop=loop, core=core, clock=clock, outside=outside, promises=rules(kind))
        finally:
            loop.run(opened.__aexit__(None, None, None))


ANY = st.integers(0, 30)
"""Which of those that there are, counted round."""


class Lives(RuleBasedStateMachine):
    """The machine. `world` is set by the test that plays it."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        for table in TABLES:
            self.world.outside.execute(f"DELETE FROM {table}")  # noqa: S608 - names of this module
        self.paths = 0
        self.accepted: set[str] = set()
        self.handed_out: dict[tuple[str, int], Task] = {}
        self.seen_ended: dict[tuple[str, int], set[str]] = {}
        self.ended: dict[str, tuple[str, object]] = {}

    def run(self, act: Awaitable[Any]) -> Any:
        async def acting() -> Any:
            return await act

        return self.world.loop.run(acting())

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.world.outside.rows(statement, *parameters)

    def holds(self, task: Task) -> bool:
        """Whether the row says that this attempt carries the task."""
        held = ("running", task.attempt, task.worker_id)
        return self.rows("SELECT status, attempt, worker_id FROM agent_tasks WHERE id = ?", task.id) == [held]

    def act(self, task: Task, act: Awaitable[Any]) -> Any:
        """Act as the holder; LeaseLost exactly when the row is another's, and then nothing is changed."""
        holds, before = self.holds(task), self.rows(ALL)
        try:
            answer = self.run(act)
        except LeaseLost:
            assert not holds, f"the holder of attempt {task.attempt} was fenced off"
            assert self.rows(ALL) == before
            return None
        except BudgetExhausted:
            assert holds
            assert self.rows(ALL) == before
            return None
        assert holds, f"attempt {task.attempt} was taken over and could still write"
        return answer

    def claimed(self, worker: str, limit: int) -> list[Task]:
        tasks: list[Task] = self.run(self.world.core.attempts.claim(worker, limit=limit))
        for task in tasks:
            self.handed_out[task.id, task.attempt] = task
            self.seen_ended[task.id, task.attempt] = self.delegations(task, "ended")
        return tasks

    def delegations(self, task: Task, which: str) -> set[str]:
        """Paths of the task's delegations that it has not closed: all, or those whose children have ended."""
        statement = (
            "SELECT path, (SELECT count(*) FROM agent_tasks c WHERE c.parent_id = s.task_id AND"
            " c.parent_step = s.path AND c.status NOT IN ('completed', 'failed', 'canceled'))"
            " FROM task_steps s WHERE task_id = ? AND kind = 'delegation' AND status = 'open'"
        )
        return {
            path for path, still_open in self.rows(statement, task.id) if which == "all" or not still_open
        }

    def running(self, number: int) -> Task:
        """One of the attempts that run; one is begun when there is none."""
        found = self.rows(
            "SELECT id, attempt FROM agent_tasks WHERE status = 'running' ORDER BY created_at, id"
        )
        if not found:
            if not self.claimed("w1", 2):
                self.submit(1)
                self.claimed("w1", 1)
            return self.running(number)
        return self.handed_out[found[number % len(found)]]

    def new_step(self, task: Task, kind: StepKind, status: StepStatus) -> Step:
        self.paths += 1
        return self.world.core.journal.new_step(task, f"0/{self.paths}", kind, "x", {}, status)

    def is_written(self, step: Step) -> bool:
        statement = "SELECT 1 FROM task_steps WHERE task_id = ? AND path = ?"
        return self.rows(statement, step.task_id, step.path) != []

    @initialize()
    def there_is_work(self) -> None:
        self.submit(2)
        self.claimed("w1", 2)

    @rule(count=st.integers(1, 2))
    def submit(self, count: int) -> None:
        for _ in range(count):
            self.accepted.add(self.run(given.a_task(self.world.core, "one", timeout_seconds=5000)).id)

    @rule(worker=st.sampled_from(["w1", "w2"]), limit=st.integers(1, 3))
    def claim(self, worker: str, limit: int) -> None:
        self.claimed(worker, limit)

    @rule(limit=st.integers(1, 3), ends=st.sampled_from([Completed(result="done"), Released()]))
    def work_off(self, limit: int, ends: Outcome) -> None:
        """As most attempts go: claimed and ended with nothing between."""
        for task in self.claimed("w3", limit):
            self.finish(task, ends)

    @rule(number=ANY, ends=st.booleans())
    def take_a_step(self, number: int, ends: bool) -> None:
        task = self.running(number)
        step = self.new_step(task, StepKind.TOOL, StepStatus.RUNNING)
        self.act(task, self.world.core.journal.begin(task, step))
        if ends and self.is_written(step):
            self.act(task, self.world.core.journal.end(task, step, {"is_error": False}))

    @rule(number=ANY, count=st.integers(1, 3), then=st.sampled_from(["wait", "claim", "both", "neither"]))
    def delegate(self, number: int, count: int, then: str) -> None:
        task = self.running(number)
        step = self.new_step(task, StepKind.DELEGATION, StepStatus.OPEN)
        orders = [Delegation(agent_id="one", task_data={}, labels={})] * count
        opened = self.act(task, self.world.core.journal.delegate(task, step, orders))
        if opened is not None and then in ("wait", "both"):
            self.finish(task, Suspended(reason=Reason.CHILDREN))
        if then in ("claim", "both"):
            self.claimed("w2", 3)

    @rule(number=ANY)
    def wait_for_children(self, number: int) -> None:
        """Also for such as have ended since they were last looked at."""
        task = self.running(number)
        if self.has_open_delegation(task):
            self.finish(task, Suspended(reason=Reason.CHILDREN))

    @rule(parent_first=st.booleans())
    def a_parent_waits_in_the_commit_in_which_its_children_end(self, parent_first: bool) -> None:
        families = self.rows(
            "SELECT p.id, p.attempt FROM agent_tasks p WHERE p.status = 'running' AND EXISTS"
            " (SELECT 1 FROM agent_tasks c WHERE c.parent_id = p.id AND c.status = 'running')"
        )
        for family in families[:1]:
            parent = self.handed_out[family]
            children = self.rows(
                "SELECT id, attempt FROM agent_tasks WHERE parent_id = ? AND status = 'running'", parent.id
            )
            outcomes: list[tuple[Task, Outcome]] = [
                (self.handed_out[child], Completed(result="done")) for child in children
            ]
            waits = self.has_open_delegation(parent)
            outcome = Suspended(reason=Reason.CHILDREN) if waits else Completed(result="done")
            outcomes.insert(0 if parent_first else len(outcomes), (parent, outcome))
            self.finish_at_once(outcomes)

    def finish_at_once(self, outcomes: list[tuple[Task, Outcome]]) -> None:
        async def at_once() -> None:
            finish = self.world.core.attempts.finish
            await asyncio.gather(*(finish(task, outcome) for task, outcome in outcomes))

        self.run(at_once())

    def has_open_delegation(self, task: Task) -> bool:
        """Whether the attempt, which looked when it began, has seen a child that had not ended."""
        return self.delegations(task, "all") - self.seen_ended[task.id, task.attempt] != set()

    @rule(number=ANY, answered_first=st.booleans())
    def ask_and_wait(self, number: int, answered_first: bool) -> None:
        task = self.running(number)
        step = self.new_step(task, StepKind.QUESTION, StepStatus.OPEN)
        self.act(task, self.world.core.journal.ask(task, step))
        if self.is_written(step):
            if answered_first:
                self.run(self.world.core.tasks.answer(ME, task.id, step.path, "yes"))
            self.finish(task, Suspended(reason=Reason.QUESTION))

    @rule(number=ANY)
    def sleep_and_wait(self, number: int) -> None:
        until = self.world.clock.now() + timedelta(seconds=20)
        self.finish(self.running(number), Suspended(reason=Reason.TIMER, until=until))

    @rule(
        number=ANY,
        outcome=st.sampled_from(
            [
                Completed(result="done"),
                Failed(error=TaskError(reason=Reason.AGENT_ERROR, message="broke")),
                Failed(error=TaskError(reason=Reason.AGENT_ERROR, message="broke"), may_retry=True),
                Released(),
                Canceled(),
            ]
        ),
    )
    def end(self, number: int, outcome: Outcome) -> None:
        self.finish(self.running(number), outcome)

    def finish(self, task: Task, outcome: Outcome) -> None:
        self.act(task, self.world.core.attempts.finish(task, outcome))

    @rule(
        number=ANY, what=st.sampled_from(["finish", "begin", "report", "delegate", "ask", "round", "deliver"])
    )
    def anyone_who_ever_held_a_task_acts_on_it(self, number: int, what: str) -> None:
        core, handed_out = self.world.core, list(self.handed_out.values())
        if not handed_out:
            return
        task = handed_out[number % len(handed_out)]
        step = self.new_step(task, StepKind.TOOL, StepStatus.RUNNING)
        acts: dict[str, Awaitable[Any]] = {
            "finish": core.attempts.finish(task, Completed(result="late")),
            "begin": core.journal.begin(task, step),
            "report": core.attempts.report(task, EventKind.PROGRESS, {"message": "late"}),
            "delegate": core.journal.delegate(
                task, step, [Delegation(agent_id="one", task_data={}, labels={})]
            ),
            "ask": core.journal.ask(task, replace(step, kind=StepKind.QUESTION, status=StepStatus.OPEN)),
            "round": core.attempts.next_round(task, []),
            "deliver": core.deliveries.store(task, []),
        }
        chosen = acts.pop(what)
        for other in acts.values():
            other.close()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - a coroutine
        self.act(task, chosen)

    @rule(number=ANY)
    def answer(self, number: int) -> None:
        questions = self.rows(
            "SELECT s.task_id, s.path FROM task_steps s JOIN agent_tasks t ON t.id = s.task_id"
            " WHERE s.kind = 'question' AND s.status = 'open'"
            " AND t.status NOT IN ('completed', 'failed', 'canceled') ORDER BY 1, 2"
        )
        if questions:
            task_id, path = questions[number % len(questions)]
            self.run(self.world.core.tasks.answer(ME, task_id, path, "yes"))

    @rule(number=ANY)
    def cancel(self, number: int) -> None:
        tasks = self.rows(
            "SELECT id FROM agent_tasks WHERE status NOT IN ('completed', 'failed') ORDER BY created_at, id"
        )
        if tasks:
            said = self.run(self.world.core.tasks.cancel(ME, tasks[number % len(tasks)][0]))
            assert said in ("requested", "confirmed")

    @rule(number=ANY)
    def retry(self, number: int) -> None:
        tasks = self.rows(
            "SELECT id FROM agent_tasks WHERE status IN ('canceled', 'failed') AND parent_id IS NULL ORDER BY id"
        )
        if tasks:
            task_id = tasks[number % len(tasks)][0]
            try:
                self.run(self.world.core.tasks.retry(ME, task_id))
            except IllegalMove as error:
                assert "still being stopped" in error.message  # noqa: PT017 - only that may refuse it
            else:
                del self.ended[task_id]

    @rule(seconds=st.sampled_from([1, LEASE_SECONDS + 1, 6000, -10, -3600]))
    def time_passes_and_someone_sweeps(self, seconds: int) -> None:
        self.world.clock.jump(seconds)
        self.run(self.world.core.upkeep.sweep())

    @rule()
    def every_worker_dies_and_the_service_starts_again(self) -> None:
        self.run(self.world.core.upkeep.sweep(of_any_worker=True))

    @rule(worker=st.sampled_from(["w1", "w2"]))
    def renew(self, worker: str) -> None:
        """As a worker does that has not heard of anything that happened since it got its tasks."""
        mine = {task.id: task for task in self.handed_out.values() if task.worker_id == worker}
        attempts = {task.id: task.attempt for task in mine.values()}
        lost, _ = self.run(self.world.core.attempts.renew(worker, attempts))
        assert lost == {task.id for task in mine.values() if not self.holds(task)}

    @invariant()
    def every_promise_holds(self) -> None:
        for promise, broken in self.world.promises:
            assert self.rows(broken) == [], promise

    @invariant()
    def what_was_accepted_is_stored_and_what_ended_stays_as_it_ended(self) -> None:
        rows = self.rows("SELECT id, status, result, attempt, losses, tries FROM agent_tasks")
        assert self.accepted <= {row[0] for row in rows}
        stored = {task_id: (status, result) for task_id, status, result, *_ in rows}
        for task_id, end in self.ended.items():
            assert stored[task_id] == end, "an ended task was changed"
        for task_id, status, result, _attempt, losses, tries in rows:
            assert losses <= MAX_WORKER_LOSSES
            assert tries < 2
            if status in ("completed", "failed", "canceled"):
                self.ended[task_id] = (status, result)
